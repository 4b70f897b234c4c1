//! One question to an endpoint, asked with each of a client's secrets, and by each of its alternates, until one is
//! not refused.

mod alternates;
mod express;
mod send;
mod trace;

use std::time::Duration;

use evergrant_core::grant::TokenSet;
use evergrant_core::provider::Verdict;
use tokio::time::Instant;

pub(super) use self::express::express;
use super::HttpProviders;
use super::client::Client;
use crate::catalogue::{
    AssertionFacts, ClientAuth, Entry, Fact, Parameter, RequestFacts, ResponseFacts,
    TokenCallFacts, TokenGrant, UrlTemplate,
};
use crate::client::Answer;
use crate::placeholders::Placeholders;
use crate::response::{ACCESS_TOKEN, Context, Granted, Refusal};

/// The metadata of a grant that names the client which was accepted, where there are alternates.
const OAUTH_CLIENT: &str = "oauth_client";

/// Everything about a request but the client that sends it.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    pub(super) url: Fact<&'a UrlTemplate>,
    pub(super) request: &'a RequestFacts,
    pub(super) response: &'a ResponseFacts,
    /// What the answer is to hold, in words.
    pub(super) wanted: &'static str,
    /// Standard parameters, those of scopes, client and assertion aside.
    pub(super) values: Vec<(Parameter, &'a str)>,
    /// The scopes that fill `{scopes}`.
    pub(super) scopes: &'a [String],
    /// Whether the scopes are a parameter of their own.
    pub(super) sends_scopes: bool,
    /// What the parameter `assertion` is made by.
    pub(super) assertion: Option<&'a AssertionFacts>,
    /// The token that a bearer header carries, where the client proves itself with one.
    pub(super) bearer: &'a str,
    /// Whether a token is minted by it, for which the grant says by whom and for whom.
    pub(super) mints: bool,
    /// Whether a token is renewed by it.
    pub(super) renews: bool,
    /// Whether the client's alternates may ask too. A code belongs to the client that sent the user.
    pub(super) alternates: bool,
    /// What fills `{state}`, but in the URL.
    pub(super) state: Option<&'a str>,
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

impl<'a> Ask<'a> {
    /// A request to the token endpoint.
    pub(super) fn token(
        entry: &'a Entry,
        grant: TokenGrant,
        mut values: Vec<(Parameter, &'a str)>,
    ) -> Self {
        let facts = entry.grants.get(grant);
        values.push((Parameter::GrantType, &facts.grant_type));
        Self {
            url: Fact {
                field: facts.url.field.clone(),
                value: &facts.url.value,
            },
            request: &facts.request,
            response: &facts.response,
            wanted: ACCESS_TOKEN,
            values,
            scopes: &[],
            // The scopes of the others were settled before.
            sends_scopes: matches!(
                grant,
                TokenGrant::ClientCredentials | TokenGrant::TokenExchange
            ),
            assertion: match grant {
                TokenGrant::JwtBearer => entry.assertion.as_ref(),
                _ => None,
            },
            bearer: "",
            mints: matches!(
                grant,
                TokenGrant::ClientCredentials | TokenGrant::JwtBearer | TokenGrant::TokenExchange
            ),
            renews: grant == TokenGrant::RefreshToken,
            alternates: grant == TokenGrant::RefreshToken,
            state: None,
            placeholders: Placeholders::default(),
            own: OwnCredentials::default(),
            secrets: Vec::new(),
        }
    }

    /// The request that redeems `token`, a refresh token or one that renews itself, for the successors of `tokens`.
    pub(super) fn renewal(
        entry: &'a Entry,
        token: &'a str,
        tokens: &'a TokenSet,
        facts: Placeholders<'a>,
    ) -> Self {
        let values = vec![(Parameter::RefreshToken, token)];
        Self {
            scopes: &tokens.scopes,
            bearer: token,
            placeholders: facts,
            secrets: vec![tokens.access_token.expose()],
            ..Self::token(entry, TokenGrant::RefreshToken, values)
        }
    }

    /// A request to another endpoint that a token is sent to.
    pub(super) fn call(
        wanted: &'static str,
        field: &str,
        url: &'a UrlTemplate,
        facts: &'a TokenCallFacts,
        values: Vec<(Parameter, &'a str)>,
    ) -> Self {
        Self {
            alternates: true,
            ..Self::plain(wanted, field, url, &facts.request, &facts.response, values)
        }
    }

    /// A request that has nothing but values.
    pub(super) fn plain(
        wanted: &'static str,
        field: &str,
        url: &'a UrlTemplate,
        request: &'a RequestFacts,
        response: &'a ResponseFacts,
        values: Vec<(Parameter, &'a str)>,
    ) -> Self {
        Self {
            url: Fact {
                field: field.to_owned(),
                value: url,
            },
            request,
            response,
            wanted,
            values,
            scopes: &[],
            sends_scopes: false,
            assertion: None,
            bearer: "",
            mints: false,
            renews: false,
            alternates: false,
            state: None,
            placeholders: Placeholders::default(),
            own: OwnCredentials::default(),
            secrets: Vec::new(),
        }
    }
}

impl Ask<'_> {
    /// Whether the request carries an assertion, of the grant or of the client.
    fn is_signed(&self) -> bool {
        self.assertion.is_some() || self.request.client_auth == ClientAuth::PrivateKeyJwt
    }

    /// Whether the grant decides where the endpoint is, so that what it answers says little of the provider for others.
    fn has_own_endpoint(&self) -> bool {
        let mut placeholders = self.url.value.template().placeholders();
        placeholders.any(|name| self.placeholders.get(name).is_some())
    }
}

/// What an answer came to, and which client got it.
pub(super) struct Outcome<'c, T> {
    pub(super) value: T,
    /// The client that was accepted, where there are alternates.
    pub(super) alternate_of: Option<&'c Client>,
    /// The index of the client's secret that was accepted; without a meaning where the grant brought one.
    pub(super) secret: usize,
}

impl Outcome<'_, Granted> {
    /// What was granted, with the accepted client among its metadata, so that it is tried first from then on.
    pub(super) fn granted(self) -> Granted {
        let mut granted = self.value;
        if let Some(client) = self.alternate_of {
            let name = client.config.name.to_string();
            granted
                .issued
                .metadata
                .insert(OAUTH_CLIENT.to_owned(), name);
        }
        granted
    }
}

impl HttpProviders {
    /// Asks until no other secret is worth trying. The secret that was accepted, whose index comes with the answer, is the
    /// first to be tried from then on.
    async fn ask_as<T>(
        &self,
        client: &Client,
        ask: &Ask<'_>,
        deadline: Instant,
        read: impl Fn(Context<'_>, &Answer) -> Result<T, Refusal>,
    ) -> Result<(T, usize), Refusal> {
        let secrets = match ask.own.client_secret {
            Some(own) => vec![(0, own)],
            None => client.secrets(),
        };
        let mut untried = secrets.into_iter().peekable();
        loop {
            let (index, secret) = untried
                .next()
                .expect("there is one secret, if an empty one");
            let outcome = self.attempt(client, ask, secret, deadline, &read).await;
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
                outcome => return outcome.map(|value| (value, index)),
            }
        }
    }
}

/// The point in time at which `timeout` ends that begins now.
pub(super) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}

#[cfg(test)]
mod tests;
