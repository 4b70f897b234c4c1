//! A user's consent: the URL that it begins with, and the exchange of the code that it ends with.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::ids::ClientKey;
use evergrant_core::provider::{CallError, Issued, UnknownClient};
use secrecy::SecretString;
use thiserror::Error;
use url::Url;

use super::ask::{Ask, deadline};
use super::{HttpProviders, Lack, then};
use crate::catalogue::{Entry, Fact, Parameter, TokenGrant};
use crate::placeholders::Placeholders;
use crate::request::{self, Inexpressible};
use crate::response::{self, Granted};

/// What a user is asked to consent to.
#[derive(Clone, Copy)]
pub struct Consent<'a> {
    /// The client that asks.
    pub client: &'a ClientKey,
    /// Where the provider sends the user back to.
    pub redirect_uri: &'a str,
    /// What ties the answer to this question (RFC 6749 section 10.12).
    pub state: &'a str,
    /// The S256 challenge of RFC 7636 section 4.2; not sent to a provider that refuses it.
    pub code_challenge: Option<&'a str>,
    /// What ties an identity token to this question (OpenID Connect Core section 3.1.2.1).
    pub nonce: Option<&'a str>,
    /// The scopes to ask for.
    pub scopes: &'a [String],
    /// Further parameters of the query. They replace those of the catalogue entry, never those of the protocol.
    pub parameters: &'a BTreeMap<String, String>,
    /// Values for placeholders of the entry, e.g. a tenant or a host. They become metadata of the grant.
    pub placeholders: &'a BTreeMap<String, String>,
}

/// What a consent brought, to be exchanged for tokens.
#[derive(Clone, Copy)]
pub struct CodeExchange<'a> {
    /// The client that asked.
    pub client: &'a ClientKey,
    /// The authorization code; good for one use.
    pub code: &'a str,
    /// As in the question.
    pub redirect_uri: &'a str,
    /// What the challenge was made of (RFC 7636 section 4.5).
    pub code_verifier: Option<&'a str>,
    /// As in the question. Sent only where the entry says so.
    pub state: &'a str,
    /// As in the question. The engine takes no notice of it; whoever verifies the identity token does.
    pub nonce: Option<&'a str>,
    /// As in the question.
    pub placeholders: &'a BTreeMap<String, String>,
}

/// The tokens that a consent brought.
#[derive(Debug, Clone)]
pub struct Consented {
    /// The tokens; the metadata holds the placeholders of the consent too.
    pub issued: Issued,
    /// An identity token, not verified.
    pub id_token: Option<SecretString>,
    /// What names the account at the provider, where the entry says where it stands.
    pub account: Option<String>,
}

/// Why there is no URL at which a user could consent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConsentError {
    /// There is no such client.
    #[error(transparent)]
    UnknownClient(#[from] UnknownClient),
    /// The provider has no authorization endpoint that is known.
    #[error("catalogue entry {0}: authorize_url is missing")]
    NoAuthorizeUrl(String),
    /// The entry and the values at hand make no URL.
    #[error("catalogue entry {provider}: {problem}")]
    Inexpressible {
        /// The entry.
        provider: String,
        /// What is lacking.
        lack: Lack,
        /// The field, and what is wrong with it; holds no value.
        problem: String,
    },
}

impl HttpProviders {
    /// Where to send a user who is to consent (RFC 6749 section 4.1.1). Makes no call. The URL holds no secret but
    /// the state and the nonce.
    pub fn authorization_url(&self, consent: &Consent<'_>) -> Result<Url, ConsentError> {
        let client = self.client(consent.client)?;
        let entry = &client.entry;
        let Some(template) = &entry.authorize_url else {
            return Err(ConsentError::NoAuthorizeUrl(entry.name.to_string()));
        };
        let mut placeholders = Placeholders::default();
        placeholders.add("client_id", &client.config.client_id);
        placeholders.add("redirect_uri", consent.redirect_uri);
        placeholders.add_all(consent.placeholders);
        placeholders.add_all(&client.config.parameters);
        placeholders.add_all(&entry.placeholders);
        let template = Fact {
            field: "authorize_url".to_owned(),
            value: template,
        };
        let unfit = |error: Inexpressible| ConsentError::Inexpressible {
            provider: entry.name.to_string(),
            lack: Lack::of(&error, template.value),
            problem: error.to_string(),
        };
        let mut url = request::url(entry, &template, &placeholders).map_err(unfit)?;
        let query = query(entry, consent, &client.config.client_id, &placeholders);
        url.query_pairs_mut().extend_pairs(query.map_err(unfit)?);
        Ok(url)
    }

    /// Exchanges an authorization code for tokens (RFC 6749 section 4.1.3), in one request, or one for each secret
    /// that the client has. Where the entry has a `[grants.authorization_code.then]`, that second request follows at
    /// once, and its tokens are the outcome; without them, there is none. Where it has a `userinfo_url` and nothing in the
    /// answer says whose the tokens are, that is asked last; without that, there is no outcome either.
    ///
    /// It ends within `timeout`, bodies included. A code is good for one use, so it is awaited only by tasks that
    /// nobody cancels.
    pub async fn exchange_code(
        &self,
        exchange: &CodeExchange<'_>,
        timeout: Duration,
    ) -> Result<Consented, CallError> {
        let deadline = deadline(timeout);
        let client = self.known_client(exchange.client)?;
        let mut values = vec![
            (Parameter::Code, exchange.code),
            (Parameter::RedirectUri, exchange.redirect_uri),
        ];
        if let Some(verifier) = exchange.code_verifier
            && client.entry.authorize.pkce
        {
            values.push((Parameter::CodeVerifier, verifier));
        }
        let mut ask = Ask::token(&client.entry, TokenGrant::AuthorizationCode, values);
        ask.state = Some(exchange.state);
        ask.secrets.push(exchange.state);
        ask.placeholders.add_all(exchange.placeholders);
        let then = client
            .entry
            .grants
            .get(TokenGrant::AuthorizationCode)
            .then
            .as_ref();
        let outcome = self.ask(client, &ask, deadline, response::read).await;
        let granted = match then {
            None => outcome?.granted(),
            Some(then) => {
                let first = outcome.map_err(then::in_first)?.granted();
                self.follow_up(client, then, first, exchange, deadline)
                    .await?
            }
        };
        let facts = &ask.placeholders;
        let granted = self.dated(client, granted, facts, deadline).await;
        let given = exchange.placeholders;
        let granted = self.named(client, granted, given, deadline).await?;
        Ok(consented(granted, given))
    }
}

/// What was granted, with the placeholders of its consent among its metadata.
pub(super) fn consented(granted: Granted, placeholders: &BTreeMap<String, String>) -> Consented {
    let Granted {
        mut issued,
        id_token,
        account,
        ..
    } = granted;
    let mut metadata = placeholders.clone();
    metadata.append(&mut issued.metadata);
    issued.metadata = metadata;
    Consented {
        issued,
        id_token,
        account,
    }
}

fn query(
    entry: &Entry,
    consent: &Consent<'_>,
    client_id: &str,
    placeholders: &Placeholders<'_>,
) -> Result<Vec<(String, String)>, Inexpressible> {
    let facts = &entry.authorize;
    let scope = consent.scopes.join(&facts.scope_separator);
    let challenge = consent.code_challenge.filter(|_| facts.pkce);
    let protocol = [
        ("response_type", Some("code")),
        (&facts.client_id, Some(client_id)),
        (&facts.redirect_uri, Some(consent.redirect_uri)),
        (
            &facts.scope,
            Some(scope.as_str()).filter(|scope| !facts.scope.is_empty() && !scope.is_empty()),
        ),
        ("state", Some(consent.state)),
        ("nonce", consent.nonce),
        ("code_challenge", challenge),
        ("code_challenge_method", challenge.map(|_| "S256")),
    ];
    let mut pairs: Vec<(String, String)> = protocol
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    let mut further = BTreeMap::new();
    for (name, template) in &facts.parameters {
        if let Some(value) = request::fill(template, placeholders)? {
            further.insert(name.clone(), value);
        }
    }
    further.extend(consent.parameters.clone());
    let settled: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
    further.retain(|name, _| !settled.contains(name));
    pairs.extend(further);
    Ok(pairs)
}
