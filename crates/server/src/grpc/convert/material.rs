//! Token material: what a caller brings by name, as a provider's own answer, or to mint with.

use std::collections::BTreeMap;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{GrantType, Means, TokenSet};
use evergrant_core::ids::ProviderName;
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_proto::v1;
use evergrant_providers::HttpProviders;
use evergrant_providers::engine::TokenResponse;

use super::credential::account;
use super::means::{refuse_unknown_placeholders, to_mint, unfit};
use super::timestamp;
use crate::consent::token_set;
use crate::grpc::status::ApiError;

/// Longest token in bytes; providers' own limits are far below.
const MAX_TOKEN_BYTES: usize = 64 * 1024;
/// Longest answer in bytes: three tokens of that length, and what comes with them.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
const MAX_METADATA: usize = 64;

const TOKEN_RESPONSE: &str = "material.token_response";

/// What a caller brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Brought {
    /// The tokens, or the means to mint them.
    pub tokens: TokenSet,
    /// The account that the provider's answer names.
    pub account: Option<String>,
}

/// What a request brings for a grant of this type at `provider`, with all that is known of when it ends. Makes no call.
pub fn brought(
    providers: &HttpProviders,
    provider: &ProviderName,
    grant_type: GrantType,
    material: Option<v1::TokenMaterial>,
    now: Timestamp,
) -> Result<Brought, ApiError> {
    let material = material.ok_or_else(|| ApiError::invalid("material", "must be set"))?;
    if grant_type.is_minted() {
        let (tokens, account) = (to_mint(grant_type, material)?, None);
        return Ok(Brought { tokens, account });
    }
    let given = [
        ("signing_key", !material.signing_key.is_empty()),
        ("parameters", !material.parameters.is_empty()),
    ];
    if let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        return Err(unfit(&format!("material.{field}")));
    }
    if material.metadata.len() > MAX_METADATA {
        let why = "must have at most 64 pairs";
        return Err(ApiError::invalid("material.metadata", why));
    }
    let (brought, field) = match material.token_response.is_empty() {
        true => {
            let (mut tokens, account) = (named(grant_type, material, now)?, None);
            providers.date(provider, grant_type, &mut tokens, now);
            (Brought { tokens, account }, "material.access_token")
        }
        false => {
            let brought = answered(providers, provider, grant_type, material, now)?;
            (brought, TOKEN_RESPONSE)
        }
    };
    if is_over(&brought.tokens, now) {
        let why = "the access token says itself (claim exp) that it has ended, and without a refresh token there is \
                   no other";
        return Err(ApiError::invalid(field, why));
    }
    Ok(brought)
}

/// Tokens by their names.
fn named(
    grant_type: GrantType,
    material: v1::TokenMaterial,
    now: Timestamp,
) -> Result<TokenSet, ApiError> {
    let v1::TokenMaterial {
        access_token,
        refresh_token,
        token_type,
        expires_at,
        refresh_expires_at,
        scopes,
        metadata,
        signing_key: _,
        parameters: _,
        token_response: _,
    } = material;
    if grant_type == GrantType::Static {
        let given = [
            ("refresh_token", !refresh_token.is_empty()),
            ("refresh_expires_at", refresh_expires_at.is_some()),
        ];
        if let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            return Err(unfit(&format!("material.{field}")));
        }
    }
    token_text("material.access_token", &access_token)?;
    if access_token.is_empty() {
        return Err(ApiError::invalid(
            "material.access_token",
            "must not be empty",
        ));
    }
    token_text("material.refresh_token", &refresh_token)?;
    if refresh_token.is_empty() && refresh_expires_at.is_some() {
        let why = "must be unset without a refresh token";
        return Err(ApiError::invalid("material.refresh_expires_at", why));
    }
    let expires_at = expires_at
        .map(|stamp| timestamp("material.expires_at", stamp))
        .transpose()?;
    let refresh_expires_at = refresh_expires_at
        .map(|stamp| timestamp("material.refresh_expires_at", stamp))
        .transpose()?;
    if refresh_expires_at.is_some_and(|end| end <= now) {
        return Err(ApiError::invalid(
            "material.refresh_expires_at",
            "has passed",
        ));
    }
    let tokens = TokenSet {
        access_token: AccessToken::new(access_token),
        token_type: if token_type.is_empty() {
            "Bearer".into()
        } else {
            token_type
        },
        expires_at,
        refresh_token: (!refresh_token.is_empty()).then(|| RefreshToken::new(refresh_token)),
        refresh_expires_at,
        scopes,
        metadata: metadata.into_iter().collect::<BTreeMap<_, _>>(),
        means: Means::default(),
        minted_by: None,
    };
    if is_over(&tokens, now) {
        let why = "has passed, and without a refresh token there is no other access token";
        return Err(ApiError::invalid("material.expires_at", why));
    }
    Ok(tokens)
}

/// Tokens as the provider's token endpoint answered them.
fn answered(
    providers: &HttpProviders,
    provider: &ProviderName,
    grant_type: GrantType,
    material: v1::TokenMaterial,
    now: Timestamp,
) -> Result<Brought, ApiError> {
    let v1::TokenMaterial {
        access_token,
        refresh_token,
        token_type,
        expires_at,
        refresh_expires_at,
        scopes,
        metadata,
        signing_key: _,
        parameters: _,
        token_response,
    } = material;
    let invalid = |why: &str| ApiError::invalid(TOKEN_RESPONSE, why);
    let given = [
        ("access_token", !access_token.is_empty()),
        ("refresh_token", !refresh_token.is_empty()),
        ("token_type", !token_type.is_empty()),
        ("expires_at", expires_at.is_some()),
        ("refresh_expires_at", refresh_expires_at.is_some()),
    ];
    if let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        let why = "must be unset beside token_response, which says it";
        return Err(ApiError::invalid(format!("material.{field}"), why));
    }
    if token_response.len() > MAX_ANSWER_BYTES {
        return Err(invalid("must have at most 262,144 bytes"));
    }
    let placeholders = metadata.into_iter().collect::<BTreeMap<_, _>>();
    if let Some(entry) = providers.entry(provider) {
        refuse_unknown_placeholders(entry, &placeholders)?;
    }
    let response = TokenResponse {
        provider,
        grant_type,
        text: &token_response,
        placeholders: &placeholders,
    };
    let consented = providers.read_token_response(&response, now);
    let consented = consented.map_err(|why| invalid(&why.to_string()))?;
    let refresh_token = consented.issued.refresh_token.as_ref();
    if refresh_token.is_some() && grant_type == GrantType::Static {
        return Err(invalid(
            "holds a refresh token, which does not fit the grant type",
        ));
    }
    if refresh_token.is_some_and(|token| token_text("", token.expose()).is_err()) {
        return Err(invalid(
            "holds a refresh token that is no visible ASCII of at most 65,536 bytes",
        ));
    }
    // A consent takes the name of the account from the id_token, once it is verified. Another name for the same account
    // would keep its credentials apart, and none would let another account in unseen. Whoever brings the answer may name
    // any account.
    let has_openid = providers
        .entry(provider)
        .is_some_and(|entry| entry.openid.is_some());
    let named = match &consented.id_token {
        Some(id_token) if has_openid => providers.claimed_account(provider, id_token),
        _ => consented.account,
    };
    let named = account(grant_type, TOKEN_RESPONSE, named.unwrap_or_default());
    Ok(Brought {
        account: named.map_err(|_| invalid("names an account that cannot be stored"))?,
        tokens: token_set(consented.issued, &placeholders, &scopes),
    })
}

/// Whether all there is is an access token that has expired.
fn is_over(tokens: &TokenSet, now: Timestamp) -> bool {
    tokens.refresh_token.is_none() && tokens.expires_at.is_some_and(|end| end <= now)
}

/// Tokens go into HTTP headers and forms, so they hold no space and no control character (RFC 6749 appendix A
/// allows visible ASCII).
fn token_text(field: &str, text: &str) -> Result<(), ApiError> {
    if text.len() > MAX_TOKEN_BYTES {
        return Err(ApiError::invalid(field, "must have at most 65,536 bytes"));
    }
    if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) || text.trim() != text {
        let why = "must be visible ASCII without space at its ends";
        return Err(ApiError::invalid(field, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
