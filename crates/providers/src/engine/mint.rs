//! Minting: tokens that a grant gets with means of its own, without any user.

use evergrant_core::grant::{GrantType, Means};
use evergrant_core::minted::MintedBy;
use evergrant_core::provider::{CallError, Verdict};
use evergrant_core::secret::SigningKey;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::ask::{Ask, OwnCredentials};
use super::client::Client;
use super::configured::fingerprint;
use super::{HttpProviders, not_sent};
use crate::catalogue::{Entry, GrantKind, Parameter, TokenGrant};
use crate::placeholders::Placeholders;
use crate::response::{self, Granted};

/// The type of a token that is exchanged, unless the grant says otherwise (RFC 8693 section 3).
const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What is shorter than this is no secret, and would tear holes into messages.
const SHORTEST_SECRET: usize = 8;

/// The request that mints grants of a type, and the word of `grant_types` that allows it. `None` for grants that have
/// a user behind them.
pub(super) fn minting(grant_type: GrantType) -> Option<(TokenGrant, GrantKind)> {
    match grant_type {
        GrantType::ClientCredentials => {
            Some((TokenGrant::ClientCredentials, GrantKind::ClientCredentials))
        }
        GrantType::JwtBearer => Some((TokenGrant::JwtBearer, GrantKind::JwtBearer)),
        GrantType::TokenExchange => Some((TokenGrant::TokenExchange, GrantKind::TokenExchange)),
        GrantType::AuthorizationCode | GrantType::Static => None,
    }
}

impl HttpProviders {
    /// Mints a token with `means`. `facts` are the grant's metadata, which fills placeholders after the means.
    ///
    /// The means' `client_id` and `client_secret`, if any, replace the client's. A refresh token in the answer is
    /// left out, since the means bring new tokens as often as they are wanted (RFC 6749 section 4.4.3).
    pub(super) async fn mint(
        &self,
        client: &Client,
        minting: (TokenGrant, GrantKind),
        means: &Means,
        facts: Placeholders<'_>,
        deadline: Instant,
    ) -> Result<Granted, CallError> {
        let entry = &client.entry;
        let ask = ask(entry, minting, means, &facts).map_err(|why| {
            let message = format!("catalogue entry {}: {why}", entry.name);
            not_sent(Verdict::Request, message)
        })?;
        let outcome = self.ask(client, &ask, deadline, response::read).await?;
        let secret = client.config.client_secrets.get(outcome.secret);
        let secret = secret.map_or("", |secret| secret.expose_secret());
        let minted_by = MintedBy {
            fingerprint: fingerprint(client, minting.0, means, secret),
            since: self.since,
        };
        let mut granted = outcome.granted();
        granted.issued.minted_by = Some(minted_by);
        granted.issued.refresh_token = None;
        granted.issued.refresh_expires_at = None;
        Ok(granted)
    }
}

/// What mints with `means`. An error says which field of the entry they do not fit.
pub(super) fn ask<'a>(
    entry: &'a Entry,
    (grant, kind): (TokenGrant, GrantKind),
    means: &'a Means,
    facts: &Placeholders<'a>,
) -> Result<Ask<'a>, String> {
    if !entry.grant_types.contains(&kind) {
        return Err(format!("grant_types has no {}", kind.name()));
    }
    let wanted = entry.grants.get(grant);
    let parameter = |name: &str| Some(means.parameters.get(name)?.expose());
    if let Some(lacking) = wanted
        .required
        .iter()
        .find(|name| parameter(name).is_none())
    {
        let field = format!("grants.{}.required", grant.name());
        return Err(format!(
            "{field} names {lacking}, which the grant does not have"
        ));
    }

    let mut values = Vec::new();
    if grant == TokenGrant::TokenExchange {
        let subject = means.subject_token.as_ref().map(|token| token.expose());
        let subject = subject.or_else(|| parameter("subject_token"));
        let subject = subject.ok_or("there is no subject_token")?;
        values.push((Parameter::SubjectToken, subject));
        let subject_type = parameter("subject_token_type").unwrap_or(ACCESS_TOKEN_TYPE);
        values.push((Parameter::SubjectTokenType, subject_type));
    }
    let mut ask = Ask::token(entry, grant, values);
    ask.scopes = match means.scopes.as_slice() {
        [] => &wanted.default_scopes,
        scopes => scopes,
    };
    for (name, value) in &means.parameters {
        ask.placeholders.add(name, value.expose());
        if value.expose().len() >= SHORTEST_SECRET {
            ask.secrets.push(value.expose());
        }
    }
    ask.placeholders.add_from(facts);
    ask.own = OwnCredentials {
        client_id: parameter("client_id"),
        client_secret: parameter("client_secret"),
        signing_key: means.signing_key.as_ref().map(SigningKey::expose),
    };
    Ok(ask)
}
