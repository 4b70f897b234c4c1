//! Revocation (RFC 7009).

use std::time::Duration;

use evergrant_core::grant::{Grant, InvalidationReason, TokenSet};
use evergrant_core::provider::{CallError, Revocation, Verdict};
use evergrant_core::secret::SigningKey;

use super::HttpProviders;
use super::ask::{Ask, OwnCredentials, deadline};
use crate::catalogue::{ClientAuth, Entry, Parameter, TokenKind};
use crate::response;

impl HttpProviders {
    /// One request, or one for each secret that the client has. Not supported is a provider without `revoke_url`, and
    /// one that does not revoke tokens of that kind.
    pub(super) async fn take_back(
        &self,
        grant: &Grant,
        timeout: Duration,
    ) -> Result<Revocation, CallError> {
        let deadline = deadline(timeout);
        let client = self.known_client(&grant.facts.client)?;
        let entry = &client.entry;
        let Some(url) = &entry.revoke_url else {
            return Ok(Revocation::NotSupported);
        };
        let tokens = &grant.tokens;
        let access_token = tokens.access_token.expose();
        let (token, kind) = match (entry.revoke.token, &tokens.refresh_token) {
            (TokenKind::RefreshToken, Some(token)) => (token.expose(), TokenKind::RefreshToken),
            _ => (access_token, TokenKind::AccessToken),
        };
        let values = vec![
            (Parameter::Token, token),
            (Parameter::TokenTypeHint, kind.name()),
        ];
        let facts = &entry.revoke;
        let mut ask = Ask::call(response::SUCCESS, "revoke_url", url, facts, values);
        ask.bearer = access_token;
        ask.secrets = vec![access_token];
        for (name, value) in &tokens.means.parameters {
            ask.placeholders.add(name, value.expose());
        }
        ask.placeholders.add_all(&tokens.metadata);
        let parameter = |name: &str| Some(tokens.means.parameters.get(name)?.expose());
        ask.own = OwnCredentials {
            client_id: parameter("client_id"),
            client_secret: parameter("client_secret"),
            signing_key: tokens.means.signing_key.as_ref().map(SigningKey::expose),
        };
        let success = &entry.revoke.success;
        let done =
            |context: response::Context<'_>, answer: &_| response::done(context, answer, success);
        match self.ask(client, &ask, deadline, done).await {
            Ok(_) => Ok(Revocation::Revoked),
            Err(error) => what_it_says(entry, tokens, error),
        }
    }
}

/// What a refusal of a revocation says of the tokens. One that is gone counts as taken back (RFC 7009 section 2.2); that
/// somebody may not revoke, or has to consent again, leaves it as good as it was.
fn what_it_says(
    entry: &Entry,
    tokens: &TokenSet,
    error: CallError,
) -> Result<Revocation, CallError> {
    // Where the access token is the proof, it may have ended while the refresh token lives on.
    let proves = entry.revoke.request.client_auth == ClientAuth::BearerAccessToken;
    match (error.verdict, error.code.as_str()) {
        (_, "unsupported_token_type") => Ok(Revocation::NotSupported),
        (_, "invalid_token") if !proves || tokens.refresh_token.is_none() => {
            Ok(Revocation::Revoked)
        }
        (
            Verdict::Grant(
                InvalidationReason::GrantRevoked | InvalidationReason::RefreshTokenExpired,
            ),
            code,
        ) if code != "invalid_token" && !is_status(&error) => Ok(Revocation::Revoked),
        (Verdict::Grant(_), _) => Err(CallError {
            verdict: Verdict::Request,
            ..error
        }),
        _ => Err(error),
    }
}

/// Whether the code repeats the HTTP status, as at Reddit. At the token endpoint that is enough; here the request itself may
/// be wrong.
fn is_status(error: &CallError) -> bool {
    error
        .status
        .is_some_and(|status| status.to_string() == error.code)
}

#[cfg(test)]
mod tests;
