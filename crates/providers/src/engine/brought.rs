//! Tokens that somebody else got from a provider: read like those that this engine gets, and dated without a call.

use std::collections::BTreeMap;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{GrantType, TokenSet};
use evergrant_core::ids::ProviderName;
use thiserror::Error;

use super::consent::consented;
use super::{Consented, HttpProviders};
use crate::catalogue::{Entry, GrantKind, ResponseFacts, TokenGrant};
use crate::response::{
    self, ACCESS_TOKEN, Context, earlier, own_end, usual_end, usual_refresh_end,
};

/// What a provider answered to somebody else.
#[derive(Clone, Copy)]
pub struct TokenResponse<'a> {
    /// The provider.
    pub provider: &'a ProviderName,
    /// What the tokens are to be stored as.
    pub grant_type: GrantType,
    /// The body as it came, JSON or a form. It is secret.
    pub text: &'a str,
    /// Values for placeholders of the entry. They become metadata of the grant.
    pub placeholders: &'a BTreeMap<String, String>,
}

/// No tokens can be taken from such an answer. Holds no value of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// Nobody knows how the provider answers.
    #[error("provider {0} is not in the catalogue")]
    UnknownProvider(ProviderName),
    /// It is no success, or none of the kind that the entry describes.
    #[error("catalogue entry {provider}: {why}")]
    NoTokens {
        /// The entry.
        provider: ProviderName,
        /// Its key, where it points to, and what is wrong.
        why: String,
    },
}

impl HttpProviders {
    /// The tokens in an answer that came to somebody else, as if it had come at `now`. Makes no call.
    ///
    /// It is read as [`exchange_code`](Self::exchange_code) reads the answer to a code: of two requests, the answer to
    /// the second. But it may be old: a point in time at which a token ends counts before a duration, and even if it has
    /// passed. When the access token ends is told as by [`date`](Self::date) else, without asking the provider. An
    /// id_token is not verified.
    pub fn read_token_response(
        &self,
        response: &TokenResponse<'_>,
        now: Timestamp,
    ) -> Result<Consented, Unreadable> {
        let provider = response.provider;
        let unknown = || Unreadable::UnknownProvider(provider.clone());
        let entry = self.entry(provider).ok_or_else(unknown)?;
        let context = Context {
            entry,
            field: "token_url",
            facts: facts(entry),
            wanted: ACCESS_TOKEN,
            sent_at: now,
            now,
            secrets: &[],
            oddities: &self.oddities,
        };
        let granted = response::read_text(context, response.text);
        let granted = granted.map_err(|why| Unreadable::NoTokens {
            provider: provider.clone(),
            why,
        })?;
        let mut consented = consented(granted, response.placeholders);
        let issued = &mut consented.issued;
        let access_token = issued.access_token.expose();
        let end = issued.expires_at;
        issued.expires_at = end_of(Some(entry), response.grant_type, access_token, end, now);
        Ok(consented)
    }

    /// Adds when `tokens` end that were brought at `now` by name, as far as nobody says so yet. Makes no call.
    ///
    /// The access token ends when it says itself, if that is sooner than what is stated, even if it has passed; else,
    /// unless the grant is static, after the entry's lifetime. A static token may be of another kind than those that the
    /// entry knows. When the tokens were issued is not known, so what counts from then ends here no sooner than it does
    /// at the provider.
    pub fn date(
        &self,
        provider: &ProviderName,
        grant_type: GrantType,
        tokens: &mut TokenSet,
        now: Timestamp,
    ) {
        let entry = self.entry(provider).map(AsRef::as_ref);
        let access_token = tokens.access_token.expose();
        tokens.expires_at = end_of(entry, grant_type, access_token, tokens.expires_at, now);
        if tokens.refresh_token.is_some() && tokens.refresh_expires_at.is_none() {
            tokens.refresh_expires_at = entry.and_then(|entry| usual_refresh_end(entry, true, now));
        }
    }
}

/// When an access token ends, by what is `stated` of it, by its own word, and else by what is usual.
fn end_of(
    entry: Option<&Entry>,
    grant_type: GrantType,
    access_token: &str,
    stated: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let known = earlier(stated, own_end(access_token, now));
    let entry = entry.filter(|_| grant_type != GrantType::Static);
    known.or_else(|| entry.and_then(|entry| usual_end(entry, facts(entry), now)))
}

/// Where things stand in what a consent brings at last.
fn facts(entry: &Entry) -> &ResponseFacts {
    let has = |kind| entry.grant_types.contains(&kind);
    let by_device = has(GrantKind::DeviceCode) && !has(GrantKind::AuthorizationCode);
    let code = entry.grants.get(match by_device {
        true => TokenGrant::DeviceCode,
        false => TokenGrant::AuthorizationCode,
    });
    code.then
        .as_ref()
        .map_or(&code.response, |then| &then.response)
}
