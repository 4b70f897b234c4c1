//! One question to a token endpoint, asked with each of the client's secrets until one is not refused.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::provider::{CallError, Delivery, Verdict};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::client::Client;
use super::{HttpProviders, not_sent};
use crate::assertion::{self, SigningKey};
use crate::catalogue::{ClientAuth, Entry, Parameter, TokenGrant};
use crate::client::SendFault;
use crate::placeholders::Placeholders;
use crate::request::{self, ClientProof, Content, Inexpressible, TokenRequest};
use crate::response::{self, Context, Granted, Refusal};

/// Everything about a request but the client that sends it.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    pub(super) grant: TokenGrant,
    /// Standard parameters, those of scopes, client and assertion aside.
    pub(super) values: Vec<(Parameter, &'a str)>,
    /// The scopes that fill `{scopes}`.
    pub(super) scopes: &'a [String],
    /// What comes before the client's own parameters.
    pub(super) placeholders: Placeholders<'a>,
    /// Credentials that the grant brings, in place of the client's.
    pub(super) own: OwnCredentials<'a>,
    /// What must not appear in any message, besides the values.
    pub(super) secrets: Vec<&'a str>,
}

/// Credentials that a minted grant brings.
#[derive(Clone, Copy, Default)]
pub(super) struct OwnCredentials<'a> {
    pub(super) client_id: Option<&'a str>,
    pub(super) client_secret: Option<&'a str>,
    pub(super) signing_key: Option<&'a str>,
}

impl HttpProviders {
    /// Asks until no other secret is worth trying. That is safe: a provider checks the client before the grant
    /// (RFC 6749 section 5.2), so a refused client has spent nothing. The secret that was accepted is the first to be
    /// tried from then on.
    pub(super) async fn ask(
        &self,
        client: &Client,
        ask: &Ask<'_>,
        deadline: Instant,
    ) -> Result<Granted, CallError> {
        let secrets = match ask.own.client_secret {
            Some(own) => vec![(0, own)],
            None => client.secrets(),
        };
        let mut untried = secrets.into_iter().peekable();
        loop {
            let (index, secret) = untried
                .next()
                .expect("there is one secret, if an empty one");
            let outcome = self.attempt(client, ask, secret, deadline).await;
            let accepted = match &outcome {
                Ok(_) => true,
                Err(refusal) => matches!(refusal.error.verdict, Verdict::Grant(_)),
            };
            if accepted && ask.own.client_secret.is_none() {
                client.accepted(index);
            }
            match outcome {
                Err(refusal)
                    if refusal.try_next_secret
                        && untried.peek().is_some()
                        && Instant::now() < deadline => {}
                outcome => return outcome.map_err(|refusal| refusal.error),
            }
        }
    }

    /// One request with one secret.
    async fn attempt(
        &self,
        client: &Client,
        ask: &Ask<'_>,
        client_secret: &str,
        deadline: Instant,
    ) -> Result<Granted, Refusal> {
        let entry = &client.entry;
        let sent_at = self.clock.now();
        let request = express(client, ask, client_secret, sent_at)
            .map_err(|error| Refusal::of(cannot_ask(entry, &error)))?;
        let answer = self
            .http
            .send(request, deadline)
            .await
            .map_err(|fault| Refusal::of(unanswered(entry, fault)))?;
        let mut secrets: Vec<&str> = ask.values.iter().map(|(_, value)| *value).collect();
        secrets.extend(&ask.secrets);
        secrets.push(client_secret);
        let context = Context {
            entry,
            facts: &entry.grants.get(ask.grant).response,
            sent_at,
            now: self.clock.now(),
            secrets: &secrets,
        };
        response::read(context, &answer)
    }
}

fn express(
    client: &Client,
    ask: &Ask<'_>,
    client_secret: &str,
    now: Timestamp,
) -> Result<TokenRequest, Inexpressible> {
    let Client { config, entry, .. } = client;
    let facts = entry.grants.get(ask.grant);
    let client_id = ask.own.client_id.unwrap_or(&config.client_id);
    let scopes = ask.scopes.join(&facts.request.scope_separator);
    let client_key = config.private_key.as_ref().map(ExposeSecret::expose_secret);
    let key = ask.own.signing_key.or(client_key).map(SigningKey::read);
    let jti = assertion::random_id();

    let mut placeholders = Placeholders::default();
    placeholders.add("client_id", client_id);
    let sent_redirect = ask
        .values
        .iter()
        .find(|(known, _)| *known == Parameter::RedirectUri)
        .map(|(_, uri)| *uri);
    let usual_redirect = config.redirect_uris.first().map(String::as_str);
    if let Some(uri) = sent_redirect.or(usual_redirect) {
        placeholders.add("redirect_uri", uri);
    }
    placeholders.add("scopes", &scopes);
    placeholders.add("jti", &jti);
    placeholders.add_from(&ask.placeholders);
    if let Some(key) = &key {
        placeholders.add_all(key.fields());
    }
    if ask.own.signing_key.is_none()
        && let Some(key_id) = &config.key_id
    {
        placeholders.add("key_id", key_id);
    }
    if let Some(key_id) = placeholders.get("private_key_id") {
        placeholders.add("key_id", key_id);
    }
    placeholders.add_all(&config.parameters);
    placeholders.add_all(&entry.placeholders);

    let url = request::url(entry, &facts.url, &placeholders)?;
    let address = url.to_string();
    placeholders.add("token_url", &address);
    let key = key.as_ref();
    let mut values = ask.values.clone();
    values.push((Parameter::GrantType, &facts.grant_type));
    if sends_scope(ask.grant) && !scopes.is_empty() {
        values.push((Parameter::Scope, &scopes));
    }
    let assertion = match (&entry.assertion, ask.grant) {
        (Some(facts), TokenGrant::JwtBearer) => Some(assertion::sign(
            "assertion",
            facts,
            key,
            &placeholders,
            now,
        )?),
        _ => None,
    };
    if let Some(assertion) = &assertion {
        values.push((Parameter::Assertion, assertion));
    }
    let client_assertion = match facts.request.client_auth {
        ClientAuth::PrivateKeyJwt => {
            let facts = &entry.client_assertion;
            let signed = assertion::sign("client_assertion", facts, key, &placeholders, now)?;
            Some(signed)
        }
        _ => None,
    };
    let bearer = ask
        .values
        .iter()
        .find(|(known, _)| *known == Parameter::RefreshToken)
        .map_or("", |(_, token)| *token);
    let content = Content {
        client: ClientProof {
            id: client_id,
            secret: client_secret,
            assertion: client_assertion.as_deref(),
        },
        values: &values,
        bearer,
        placeholders: &placeholders,
    };
    request::build(&facts.request, url, content)
}

/// The other grants have scopes that were settled before.
fn sends_scope(grant: TokenGrant) -> bool {
    matches!(
        grant,
        TokenGrant::ClientCredentials | TokenGrant::TokenExchange
    )
}

pub(super) fn cannot_ask(entry: &Entry, error: &Inexpressible) -> CallError {
    let message = format!("catalogue entry {}: {error}", entry.name);
    not_sent(Verdict::Request, message)
}

pub(super) fn unanswered(entry: &Entry, fault: SendFault) -> CallError {
    let (delivery, message) = match fault {
        SendFault::NotSent(why) => (
            Delivery::NotSent,
            format!("{} cannot be reached: {why}", entry.name),
        ),
        SendFault::Unknown(why) => (
            Delivery::Unknown,
            format!("{} did not answer: {why}", entry.name),
        ),
    };
    CallError {
        delivery,
        ..not_sent(Verdict::Transient, message)
    }
}

/// The time that is left of `timeout`, as a point in time.
pub(super) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}

#[cfg(test)]
mod tests;
