//! `[inbound.receivers.NAME]`: one provider's way of telling.

use std::collections::BTreeMap;

use evergrant_core::ids::{ClientName, ProviderName, ReceiverName};
use evergrant_providers::Catalogue;
use url::Url;

use crate::config::clients::{Client, is_loopback};
use crate::config::defaults;
use crate::config::error::ConfigError;
use crate::config::print::{Printer, bare, quoted_list};
use crate::config::secret::Secret;
use crate::config::section::{Key, Section};

/// Whose grants die of what is received, and how a report is known to be the provider's.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// The provider, by its name in the catalogue.
    pub provider: ProviderName,
    /// Only grants that were given to this client; `None` means any of the provider's.
    pub client: Option<ClientName>,
    /// How a report looks and how it is authenticated.
    pub kind: Kind,
    provider_key: Key,
    client_key: Key,
}

/// How a report looks and how it is authenticated.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Security event tokens (RFC 8417) that are pushed (RFC 8935).
    Set(SetIssuer),
    /// Slack's Events API; the signing secrets, tried in this order.
    Slack(Vec<Secret>),
    /// GitHub's webhooks; their secrets, tried in this order.
    GitHub(Vec<Secret>),
}

/// Who issues security event tokens, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetIssuer {
    /// What `iss` must be.
    pub issuer: String,
    /// `aud` must hold one of these.
    pub audience: Vec<String>,
    /// Where the issuer's key set is.
    pub jwks_url: String,
    /// What the header's `typ` must be; empty: anything.
    pub typ: String,
}

impl Receiver {
    pub(super) fn read_all(
        mut section: Section<'_>,
    ) -> Result<BTreeMap<ReceiverName, Self>, ConfigError> {
        section
            .rest()
            .into_iter()
            .map(|(name, key, node)| {
                let receiver = ReceiverName::parse(&name)
                    .map_err(|why| key.refuse(format!("has a name that {why}")))?;
                Ok((receiver, Self::read(section.child_of(key, node)?)?))
            })
            .collect()
    }

    fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let (kind_key, kind) = section.required("kind")?;
        let (provider_key, provider) = section.required("provider")?;
        let provider =
            ProviderName::parse(&provider).map_err(|why| provider_key.refuse(why.to_string()))?;
        let client_key = section.key_of("client");
        let client = section
            .text("client")?
            .map(|(key, name)| ClientName::parse(&name).map_err(|why| key.refuse(why.to_string())))
            .transpose()?;
        let kind = match kind.as_str() {
            "set" => Kind::Set(SetIssuer::read(&mut section)?),
            "slack" => Kind::Slack(secrets(&mut section, "signing_secret")?),
            "github" => Kind::GitHub(secrets(&mut section, "secret")?),
            other => {
                let why = format!("must be \"set\", \"slack\" or \"github\", not {other:?}");
                return Err(kind_key.refuse(why));
            }
        };
        section.finish()?;
        Ok(Self {
            provider,
            client,
            kind,
            provider_key,
            client_key,
        })
    }

    pub(super) fn check(
        &self,
        catalogue: &Catalogue,
        clients: &BTreeMap<ClientName, Client>,
    ) -> Result<(), ConfigError> {
        let provider = &self.provider;
        if catalogue.get(provider).is_none() {
            let why = format!("\"{provider}\" is not in the catalogue");
            return Err(self.provider_key.refuse(why));
        }
        let Some(name) = &self.client else {
            return self.check_sole_client(clients);
        };
        match clients.get(name) {
            Some(client) if client.provider == *provider => Ok(()),
            _ => Err(self
                .client_key
                .refuse(format!("\"{name}\" is no client of provider {provider}"))),
        }
    }

    /// Whose secret it is says whose grants a report may end: each app of Slack and GitHub has its own.
    fn check_sole_client(&self, clients: &BTreeMap<ClientName, Client>) -> Result<(), ConfigError> {
        let provider = &self.provider;
        let of_provider = clients.iter().filter(|(_, it)| it.provider == *provider);
        let names: Vec<&str> = of_provider.map(|(name, _)| name.as_str()).collect();
        match self.kind {
            Kind::Slack(_) | Kind::GitHub(_) if names.len() > 1 => {
                Err(self.client_key.refuse(format!(
                    "must say whose secret it is: provider {provider} has the clients {}",
                    names.join(", ")
                )))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn print(&self, name: &ReceiverName, out: &mut Printer) {
        let Self {
            provider,
            client,
            kind,
            provider_key: _,
            client_key: _,
        } = self;
        out.section(&format!("[inbound.receivers.{}]", bare(name.as_str())));
        let name = match kind {
            Kind::Set(_) => "set",
            Kind::Slack(_) => "slack",
            Kind::GitHub(_) => "github",
        };
        out.text("kind", name);
        out.text("provider", provider);
        if let Some(client) = client {
            out.text("client", client);
        }
        match kind {
            Kind::Set(SetIssuer {
                issuer,
                audience,
                jwks_url,
                typ,
            }) => {
                out.text("issuer", issuer);
                let audience = audience.iter().map(String::as_str);
                out.raw("audience", quoted_list(audience));
                out.text("jwks_url", jwks_url);
                out.text("typ", typ);
            }
            Kind::Slack(secrets) => print_secrets("signing_secret", secrets, out),
            Kind::GitHub(secrets) => print_secrets("secret", secrets, out),
        }
    }
}

impl SetIssuer {
    fn read(section: &mut Section<'_>) -> Result<Self, ConfigError> {
        let (_, issuer) = section.required("issuer")?;
        let audience_key = section.key_of("audience");
        let audience: Vec<_> = section
            .texts("audience")?
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        if audience.iter().all(String::is_empty) {
            return Err(audience_key.refuse("must name at least one audience"));
        }
        let (jwks_key, jwks_url) = section.required("jwks_url")?;
        let url =
            Url::parse(&jwks_url).map_err(|why| jwks_key.refuse(format!("is no URL: {why}")))?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(jwks_key.refuse("must be https, except on a loopback address"));
        }
        let typ = section.text("typ")?;
        let typ = typ.map_or_else(|| defaults::SET_TYPE.to_owned(), |(_, typ)| typ);
        Ok(Self {
            issuer,
            audience,
            jwks_url,
            typ,
        })
    }
}

/// At least one.
fn secrets(section: &mut Section<'_>, name: &'static str) -> Result<Vec<Secret>, ConfigError> {
    let missing = section.missing(name);
    match section.secrets(name)? {
        secrets if secrets.is_empty() => Err(missing),
        secrets => Ok(secrets),
    }
}

fn print_secrets(key: &str, secrets: &[Secret], out: &mut Printer) {
    match secrets {
        [secret] => out.raw(key, secret.redacted()),
        secrets => {
            let secrets: Vec<_> = secrets.iter().map(Secret::redacted).collect();
            out.raw(key, format_args!("[{}]", secrets.join(", ")));
        }
    }
}
