//! Whether requests can be made of what a grant brings or a consent has, told before any is needed.

use std::collections::BTreeMap;

use evergrant_core::grant::{GrantType, TokenSet};
use evergrant_core::ids::{ClientKey, ProviderName};
use evergrant_core::secret::AccessToken;
use thiserror::Error;

use super::HttpProviders;
use super::ask::{Ask, express};
use super::client::Client;
use super::device::NO_DEVICE_URL;
use super::mint::{self, minting};
use super::{then, userinfo};
use crate::catalogue::{Entry, GrantKind, Parameter, TemplateError, TokenGrant, UrlTemplate};
use crate::placeholders::Placeholders;
use crate::request::Inexpressible;

/// No request can be made, and none will until somebody brings what is lacking. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("catalogue entry {provider}: {why}")]
pub struct Unusable {
    /// The entry.
    pub provider: ProviderName,
    /// What is lacking or does not fit.
    pub lack: Lack,
    /// The field of the entry, and what is wrong.
    pub why: String,
}

/// What keeps a request from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// The value of a placeholder: there is none, or it does not fit.
    Placeholder(String),
    /// A private key.
    SigningKey,
    /// A client secret.
    ClientSecret,
    /// Anything else.
    Other,
}

impl Lack {
    /// `url` is where the request would have gone.
    pub(super) fn of(error: &Inexpressible, url: &UrlTemplate) -> Self {
        match error {
            Inexpressible::Template { error, .. } => match error {
                TemplateError::NoValue(name) | TemplateError::BadValue(name) => {
                    Self::Placeholder(name.clone())
                }
                // Whatever the values make of the URL, they make it of the host.
                _ => {
                    let mut names = url.template().placeholders();
                    let host = names.next().map(str::to_owned);
                    host.map_or(Self::Other, Self::Placeholder)
                }
            },
            Inexpressible::Signature { .. } => Self::SigningKey,
            Inexpressible::NoSecret => Self::ClientSecret,
            Inexpressible::Authorization => Self::Other,
        }
    }
}

impl HttpProviders {
    /// Whether the tokens of a new grant can be renewed, or minted with the means that it brings. What is never renewed
    /// is always usable, and so is what an unknown client is asked about. Makes no call.
    pub fn check_grant(
        &self,
        client: &ClientKey,
        grant_type: GrantType,
        tokens: &TokenSet,
    ) -> Result<(), Unusable> {
        let Ok(client) = self.client(client) else {
            return Ok(());
        };
        let entry = &client.entry;
        let mut facts = Placeholders::default();
        facts.add_all(&tokens.metadata);
        if let Some(minting) = minting(grant_type) {
            let mut means = tokens.means.clone();
            // It is known only when it is exchanged.
            if grant_type == GrantType::TokenExchange {
                means.subject_token = Some(AccessToken::new("subject".to_owned()));
            }
            let ask = mint::ask(entry, minting, &means, &facts);
            let ask = ask.map_err(|why| unusable(entry, Lack::Other, why))?;
            return self.expressible(client, &ask);
        }
        let renewing = entry.renewable && grant_type != GrantType::Static;
        let token = match &tokens.refresh_token {
            _ if !renewing => None,
            _ if entry.renewal.self_renewing => Some(tokens.access_token.expose()),
            token => token.as_ref().map(|token| token.expose()),
        };
        match token {
            Some(token) => self.expressible(client, &Ask::renewal(entry, token, tokens, facts)),
            None => Ok(()),
        }
    }

    /// Whether the code of a consent with these placeholders can be redeemed, and the request be made that may follow.
    /// Makes no call.
    pub fn check_consent(
        &self,
        client: &ClientKey,
        redirect_uri: &str,
        placeholders: &BTreeMap<String, String>,
    ) -> Result<(), Unusable> {
        let values = vec![
            (Parameter::Code, "code"),
            (Parameter::RedirectUri, redirect_uri),
        ];
        self.check_asking(client, TokenGrant::AuthorizationCode, values, placeholders)?;
        self.check_then(client, placeholders)?;
        self.check_userinfo(client, TokenGrant::AuthorizationCode, placeholders)
    }

    /// A URL that the first answer has a part in is known only then.
    fn check_then(
        &self,
        client: &ClientKey,
        placeholders: &BTreeMap<String, String>,
    ) -> Result<(), Unusable> {
        let Ok(client) = self.client(client) else {
            return Ok(());
        };
        let code = client.entry.grants.get(TokenGrant::AuthorizationCode);
        let Some(then) = &code.then else {
            return Ok(());
        };
        let mut of_url = then.url.value.template().placeholders();
        if of_url.any(|name| code.gives(name)) {
            return Ok(());
        }
        let kept = code.response.metadata.keys();
        let metadata = kept.map(|name| (name.clone(), "fact".to_owned())).collect();
        let given = then::Given {
            access_token: "token",
            refresh_token: Some("token"),
            account: Some("account"),
            metadata: &metadata,
        };
        self.expressible(client, &then::ask(then, &given, placeholders))
    }

    /// Whether a user can consent on another device, with these placeholders. Makes no call.
    pub fn check_device(
        &self,
        client: &ClientKey,
        placeholders: &BTreeMap<String, String>,
    ) -> Result<(), Unusable> {
        let values = vec![(Parameter::DeviceCode, "code")];
        if let Ok(client) = self.client(client) {
            let entry = &client.entry;
            let lacking = [
                (entry.device_url.is_none(), NO_DEVICE_URL.to_owned()),
                (
                    !entry.grant_types.contains(&GrantKind::DeviceCode),
                    format!("grant_types has no {}", GrantKind::DeviceCode.name()),
                ),
            ];
            if let Some((_, why)) = lacking.into_iter().find(|(is_lacking, _)| *is_lacking) {
                return Err(unusable(entry, Lack::Other, why));
            }
        }
        self.check_asking(client, TokenGrant::DeviceCode, values, placeholders)?;
        self.check_userinfo(client, TokenGrant::DeviceCode, placeholders)
    }

    /// A question that has a part in what comes with the tokens can be put only then.
    fn check_userinfo(
        &self,
        client: &ClientKey,
        grant: TokenGrant,
        placeholders: &BTreeMap<String, String>,
    ) -> Result<(), Unusable> {
        let Ok(client) = self.client(client) else {
            return Ok(());
        };
        let entry = &client.entry;
        let comes = &entry.grants.get(grant).response.metadata;
        let mut named = entry.userinfo_placeholders();
        if named.any(|name| comes.contains_key(name)) {
            return Ok(());
        }
        match userinfo::ask(entry, "token", &BTreeMap::new(), placeholders) {
            Some(ask) => self.expressible(client, &ask),
            None => Ok(()),
        }
    }

    fn check_asking(
        &self,
        client: &ClientKey,
        grant: TokenGrant,
        values: Vec<(Parameter, &str)>,
        placeholders: &BTreeMap<String, String>,
    ) -> Result<(), Unusable> {
        let Ok(client) = self.client(client) else {
            return Ok(());
        };
        let mut ask = Ask::token(&client.entry, grant, values);
        ask.state = (grant == TokenGrant::AuthorizationCode).then_some("state");
        ask.placeholders.add_all(placeholders);
        self.expressible(client, &ask)
    }

    fn expressible(&self, client: &Client, ask: &Ask<'_>) -> Result<(), Unusable> {
        let secrets = client.secrets();
        let secret = ask.own.client_secret.or(secrets.first().map(|(_, it)| *it));
        let request = express(client, ask, secret.unwrap_or_default(), |_| {
            self.clock.now()
        });
        let Err(error) = request else {
            return Ok(());
        };
        let lack = Lack::of(&error, ask.url.value);
        Err(unusable(&client.entry, lack, error.to_string()))
    }
}

fn unusable(entry: &Entry, lack: Lack, why: String) -> Unusable {
    Unusable {
        provider: entry.name.clone(),
        lack,
        why,
    }
}
