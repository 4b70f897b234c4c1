//! `[clients.NAME]`: the OAuth clients.

use std::collections::BTreeMap;

use evergrant_core::ids::{ClientName, ProviderName};
use evergrant_core::provider::Limits;
use evergrant_providers::catalogue::Entry;
use evergrant_providers::engine::takes_private_key;
use evergrant_providers::{Catalogue, OAuthClient};
use url::{Host, Url};

use super::error::ConfigError;
use super::print::{Printer, bare, quoted_list};
use super::secret::Secret;
use super::section::{Key, Section, text_of};

/// An OAuth client as it is registered with a provider.
#[derive(Debug, Clone)]
pub struct Client {
    /// The provider, by its name in the catalogue.
    pub provider: ProviderName,
    /// Its id there (RFC 6749 section 2.2).
    pub client_id: String,
    /// Its secrets, tried in this order; empty for a public client.
    pub client_secret: Vec<Secret>,
    /// Its private key, PEM or a service-account file's JSON, where the provider takes signatures.
    pub private_key: Option<Secret>,
    /// The `kid` of that key, where the provider wants one.
    pub key_id: Option<String>,
    /// Where the provider may send a user back to (RFC 6749 section 3.1.2); the first is the default.
    pub redirect_uris: Vec<String>,
    /// What fills the placeholders of the provider's catalogue entry, e.g. a tenant. Not secret.
    pub parameters: BTreeMap<String, String>,
    /// How much one replica may ask of the token endpoint; what is not set is for the catalogue entry to say.
    pub limits: Limits,
    /// Other clients of the same provider that a grant of this one may really belong to.
    pub alternates: Vec<ClientName>,
    provider_key: Key,
    secret_key: Key,
    private_key_key: Key,
    parameter_keys: BTreeMap<String, Key>,
    alternates_key: Key,
}

impl Client {
    pub(super) fn read_all(
        mut section: Section<'_>,
    ) -> Result<BTreeMap<ClientName, Self>, ConfigError> {
        section
            .rest()
            .into_iter()
            .map(|(name, key, node)| {
                let client = ClientName::parse(&name)
                    .map_err(|why| key.refuse(format!("has a name that {why}")))?;
                Ok((client, Self::read(section.child_of(key, node)?)?))
            })
            .collect()
    }

    fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let (provider_key, provider) = section.required("provider")?;
        let provider =
            ProviderName::parse(&provider).map_err(|why| provider_key.refuse(why.to_string()))?;
        let (_, client_id) = section.required("client_id")?;
        let secret_key = section.key_of("client_secret");
        let client_secret = section.secrets("client_secret")?;
        let private_key_key = section.key_of("private_key");
        let private_key = section.secret("private_key")?.map(|(_, secret)| secret);
        let key_id = section.text("key_id")?.map(|(_, text)| text);
        let redirect_uris = section
            .texts("redirect_uris")?
            .into_iter()
            .map(|(key, text)| redirect_uri(&key, text))
            .collect::<Result<_, _>>()?;
        let (mut parameters, mut parameter_keys) = (BTreeMap::new(), BTreeMap::new());
        for (name, key, node) in section.section("parameters")?.rest() {
            parameters.insert(name.clone(), text_of(&key, node)?);
            parameter_keys.insert(name, key);
        }
        let limits = limits(section.section("limits")?)?;
        let alternates_key = section.key_of("alternates");
        let alternates = section
            .texts("alternates")?
            .into_iter()
            .map(|(key, text)| ClientName::parse(&text).map_err(|why| key.refuse(why.to_string())))
            .collect::<Result<_, _>>()?;
        section.finish()?;
        Ok(Self {
            provider,
            client_id,
            client_secret,
            private_key,
            key_id,
            redirect_uris,
            parameters,
            limits,
            alternates,
            provider_key,
            secret_key,
            private_key_key,
            parameter_keys,
            alternates_key,
        })
    }

    /// This client as the engine takes it.
    pub fn to_oauth(&self, name: &ClientName) -> OAuthClient {
        OAuthClient {
            name: name.clone(),
            provider: self.provider.clone(),
            client_id: self.client_id.clone(),
            client_secrets: self
                .client_secret
                .iter()
                .map(Secret::to_secret_string)
                .collect(),
            redirect_uris: self.redirect_uris.clone(),
            parameters: self.parameters.clone(),
            limits: self.limits,
            private_key: self.private_key.as_ref().map(Secret::to_secret_string),
            key_id: self.key_id.clone(),
            alternates: self.alternates.clone(),
        }
    }

    /// That its provider is known, that it has what that provider demands and no parameter besides, and that its
    /// alternates are other clients of that provider. No parameter may lead a request astray.
    pub(super) fn check(
        &self,
        name: &ClientName,
        clients: &BTreeMap<ClientName, Self>,
        catalogue: &Catalogue,
    ) -> Result<(), ConfigError> {
        let provider = &self.provider;
        let Some(entry) = catalogue.get(provider) else {
            let why = format!("\"{provider}\" is not in the catalogue");
            return Err(self.provider_key.refuse(why));
        };
        if entry.demands_secret() && self.client_secret.is_empty() {
            let why = format!("is missing, and provider {provider} demands one");
            return Err(self.secret_key.refuse(why));
        }
        if entry.demands_private_key() && self.private_key.is_none() {
            let why = format!("is missing, and provider {provider} demands one");
            return Err(self.private_key_key.refuse(why));
        }
        let private_key = self.private_key.as_ref().and_then(Secret::known);
        if private_key.is_some_and(|key| !takes_private_key(entry, key)) {
            let why = format!(
                "must be a private key in PEM or a service account's JSON that signs as provider {provider} demands"
            );
            return Err(self.private_key_key.refuse(why));
        }
        self.check_parameters(entry)?;
        let is_other = |alternate: &&ClientName| {
            let found = clients.get(*alternate);
            *alternate != name && found.is_some_and(|client| client.provider == *provider)
        };
        if let Some(stranger) = self.alternates.iter().find(|name| !is_other(name)) {
            let why = format!("names {stranger}, which is no other client of provider {provider}");
            return Err(self.alternates_key.refuse(why));
        }
        Ok(())
    }

    fn check_parameters(&self, entry: &Entry) -> Result<(), ConfigError> {
        let known = entry.placeholder_names();
        let mut keys = self.parameter_keys.iter();
        match keys.find(|(name, _)| !known.contains(name.as_str())) {
            None => match entry.astray(&self.parameters) {
                None => Ok(()),
                Some(astray) => Err(self.parameter_keys[&astray.placeholder].refuse(astray.why)),
            },
            Some((_, key)) => {
                let known: Vec<&str> = known.into_iter().collect();
                let known = known.join(", ");
                let provider = &entry.name;
                Err(key.refuse(match known.as_str() {
                    "" => format!("is no placeholder of provider {provider}, which has none"),
                    known => format!("is no placeholder of provider {provider}; it has {known}"),
                }))
            }
        }
    }

    pub(super) fn print(&self, name: &ClientName, out: &mut Printer) {
        let Self {
            provider,
            client_id,
            client_secret,
            private_key,
            key_id,
            redirect_uris,
            parameters,
            limits,
            alternates,
            provider_key: _,
            secret_key: _,
            private_key_key: _,
            parameter_keys: _,
            alternates_key: _,
        } = self;
        out.section(&format!("[clients.{}]", bare(name.as_str())));
        out.text("provider", provider);
        out.text("client_id", client_id);
        match client_secret.as_slice() {
            [] => {}
            [secret] => out.raw("client_secret", secret.redacted()),
            secrets => {
                let secrets: Vec<_> = secrets.iter().map(Secret::redacted).collect();
                out.raw("client_secret", format_args!("[{}]", secrets.join(", ")));
            }
        }
        if let Some(private_key) = private_key {
            out.raw("private_key", private_key.redacted());
        }
        if let Some(key_id) = key_id {
            out.text("key_id", key_id);
        }
        if !redirect_uris.is_empty() {
            let uris = redirect_uris.iter().map(String::as_str);
            out.raw("redirect_uris", quoted_list(uris));
        }
        print_limits(*limits, out);
        if !alternates.is_empty() {
            let names = alternates.iter().map(ClientName::as_str);
            out.raw("alternates", quoted_list(names));
        }
        if !parameters.is_empty() {
            out.section(&format!("[clients.{}.parameters]", bare(name.as_str())));
            for (parameter, value) in parameters {
                out.text(&bare(parameter), value);
            }
        }
    }
}

fn limits(mut section: Section<'_>) -> Result<Limits, ConfigError> {
    let mut limit = |name| {
        let limit = section.count(name, 0, 1..=100_000)?;
        Ok((limit > 0).then_some(limit))
    };
    let limits = Limits {
        concurrent: limit("concurrent")?,
        per_minute: limit("per_minute")?,
    };
    section.finish()?;
    Ok(limits)
}

fn print_limits(limits: Limits, out: &mut Printer) {
    let Limits {
        concurrent,
        per_minute,
    } = limits;
    let named = [("concurrent", concurrent), ("per_minute", per_minute)];
    let set: Vec<_> = named
        .into_iter()
        .filter_map(|(name, limit)| Some(format!("{name} = {}", limit?)))
        .collect();
    if !set.is_empty() {
        out.raw("limits", format_args!("{{ {} }}", set.join(", ")));
    }
}

/// The text itself is kept, since a provider compares it letter by letter (RFC 9700 section 2.1).
fn redirect_uri(key: &Key, text: String) -> Result<String, ConfigError> {
    let url = Url::parse(&text).map_err(|why| key.refuse(format!("is no URL: {why}")))?;
    if url.fragment().is_some() {
        return Err(key.refuse("must have no fragment (RFC 6749 section 3.1.2)"));
    }
    if url.cannot_be_a_base() {
        return Err(key.refuse("must be whole, e.g. https://app.example/callback"));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(key.refuse("must be https, except on a loopback address"));
    }
    Ok(text)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
