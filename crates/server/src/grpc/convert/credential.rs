//! Credentials and token material.

use std::collections::BTreeMap;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{GrantType, Invalidation, Means, TokenSet};
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_core::store::CredentialView;
use evergrant_proto::v1;

use super::means::{to_mint, unfit};
use super::{free_of_nul, invalidation_reason, timestamp, to_timestamp};
use crate::grpc::status::ApiError;

/// Longest token in bytes; providers' own limits are far below.
const MAX_TOKEN_BYTES: usize = 64 * 1024;
const MAX_METADATA: usize = 64;
const MAX_ACCOUNT_BYTES: usize = 512;
const MAX_MESSAGE_BYTES: usize = 1024;

/// A credential for the wire. It holds no secret.
pub fn to_credential(view: CredentialView) -> v1::Credential {
    let CredentialView {
        credential,
        grant,
        integrations: _,
    } = view;
    let (state, invalidation) = match grant.state.invalidation() {
        None => (v1::CredentialState::Active, None),
        Some(dead) => (
            v1::CredentialState::Invalidated,
            Some(to_invalidation(dead)),
        ),
    };
    let held = grant.state.suspicion().map(to_invalidation);
    // A credential that nothing was minted for yet has none of the dates of a token.
    let has_token = grant.has_token();
    let of_token = |at: Option<Timestamp>| at.filter(|_| has_token).map(to_timestamp);
    v1::Credential {
        tenant_id: credential.key.tenant.to_string(),
        credential_id: credential.key.id.to_string(),
        provider: grant.client.provider.to_string(),
        client: grant.client.client.to_string(),
        grant_type: to_grant_type(grant.grant_type).into(),
        provider_account: grant.account.unwrap_or_default(),
        labels: credential.labels.into_iter().collect(),
        state: state.into(),
        generation: grant.generation.0,
        scopes: grant.scopes,
        created_at: Some(to_timestamp(credential.created_at)),
        refreshed_at: of_token(Some(grant.issued_at)),
        expires_at: of_token(grant.expires_at),
        refresh_expires_at: grant.refresh_expires_at.map(to_timestamp),
        refreshable: invalidation.is_none()
            && (grant.refreshable || grant.dates.renew_by.is_some()),
        invalidation,
        failed_attempts: grant.attempts.failed,
        next_attempt_at: grant.attempts.next_at.map(to_timestamp),
        etag: credential.version.to_string(),
        grant_id: credential.grant.to_string(),
        held,
    }
}

fn to_invalidation(dead: &Invalidation) -> v1::Invalidation {
    let Invalidation {
        reason,
        provider_error,
        message,
        at,
        reported: _,
    } = dead;
    v1::Invalidation {
        reason: invalidation_reason(*reason).into(),
        provider_error: provider_error.clone(),
        message: message.clone(),
        invalidated_at: Some(to_timestamp(*at)),
    }
}

/// A grant type for the wire.
pub fn to_grant_type(grant_type: GrantType) -> v1::GrantType {
    match grant_type {
        GrantType::AuthorizationCode => v1::GrantType::AuthorizationCode,
        GrantType::ClientCredentials => v1::GrantType::ClientCredentials,
        GrantType::JwtBearer => v1::GrantType::JwtBearer,
        GrantType::TokenExchange => v1::GrantType::TokenExchange,
        GrantType::Static => v1::GrantType::Static,
    }
}

/// The grant type that a request asks for; unspecified means a user's consent.
pub fn grant_type(value: i32) -> Result<GrantType, ApiError> {
    match v1::GrantType::try_from(value) {
        Ok(v1::GrantType::Unspecified | v1::GrantType::AuthorizationCode) => {
            Ok(GrantType::AuthorizationCode)
        }
        Ok(v1::GrantType::ClientCredentials) => Ok(GrantType::ClientCredentials),
        Ok(v1::GrantType::JwtBearer) => Ok(GrantType::JwtBearer),
        Ok(v1::GrantType::TokenExchange) => Ok(GrantType::TokenExchange),
        Ok(v1::GrantType::Static) => Ok(GrantType::Static),
        Err(_) => Err(ApiError::invalid(
            "credential.grant_type",
            "is no known grant type",
        )),
    }
}

/// The tokens that a request brings for a grant of this type.
pub fn tokens(
    grant_type: GrantType,
    material: Option<v1::TokenMaterial>,
    now: Timestamp,
) -> Result<TokenSet, ApiError> {
    let material = material.ok_or_else(|| ApiError::invalid("material", "must be set"))?;
    if grant_type.is_minted() {
        return to_mint(grant_type, material);
    }
    let v1::TokenMaterial {
        access_token,
        refresh_token,
        token_type,
        expires_at,
        refresh_expires_at,
        scopes,
        metadata,
        signing_key,
        parameters,
    } = material;
    let unfit = |field: &str, given: bool| match given {
        true => Err(unfit(&format!("material.{field}"))),
        false => Ok(()),
    };
    unfit("signing_key", !signing_key.is_empty())?;
    unfit("parameters", !parameters.is_empty())?;
    if grant_type == GrantType::Static {
        unfit("refresh_token", !refresh_token.is_empty())?;
        unfit("refresh_expires_at", refresh_expires_at.is_some())?;
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
    if metadata.len() > MAX_METADATA {
        return Err(ApiError::invalid(
            "material.metadata",
            "must have at most 64 pairs",
        ));
    }
    let expires_at = expires_at
        .map(|stamp| timestamp("material.expires_at", stamp))
        .transpose()?;
    let refresh_expires_at = refresh_expires_at
        .map(|stamp| timestamp("material.refresh_expires_at", stamp))
        .transpose()?;
    let is_over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    if is_over(expires_at) && refresh_token.is_empty() {
        let why = "has passed, and without a refresh token there is no other access token";
        return Err(ApiError::invalid("material.expires_at", why));
    }
    if is_over(refresh_expires_at) {
        return Err(ApiError::invalid(
            "material.refresh_expires_at",
            "has passed",
        ));
    }
    Ok(TokenSet {
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
    })
}

/// An account at a provider; an empty text names none. What is minted belongs to one credential, so none is shared.
pub fn account(
    grant_type: GrantType,
    field: &str,
    text: String,
) -> Result<Option<String>, ApiError> {
    if grant_type.is_minted() && !text.is_empty() {
        return Err(unfit(field));
    }
    if text.len() > MAX_ACCOUNT_BYTES {
        return Err(ApiError::invalid(field, "must have at most 512 bytes"));
    }
    free_of_nul(field, &text)?;
    Ok((!text.is_empty()).then_some(text))
}

/// Refuses a text that cannot tell why a credential is invalidated.
pub fn check_message(text: &str) -> Result<(), ApiError> {
    if text.len() > MAX_MESSAGE_BYTES {
        let why = "must have at most 1,024 bytes";
        return Err(ApiError::invalid("message", why));
    }
    free_of_nul("message", text)
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
mod tests {
    use std::time::Duration;

    use evergrant_core::grant::GrantState;
    use evergrant_core::store::Credential;

    use super::*;
    use crate::grpc::sample;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn material() -> v1::TokenMaterial {
        v1::TokenMaterial {
            access_token: "at".into(),
            refresh_token: "rt".into(),
            expires_at: Some(to_timestamp(NOW.plus(Duration::from_secs(60)))),
            ..v1::TokenMaterial::default()
        }
    }

    fn refusal(grant_type: GrantType, material: v1::TokenMaterial) -> String {
        tokens(grant_type, Some(material), NOW)
            .unwrap_err()
            .message()
            .to_owned()
    }

    #[test]
    fn good_material_becomes_tokens_of_type_bearer() {
        let set = tokens(GrantType::AuthorizationCode, Some(material()), NOW).unwrap();
        assert_eq!(set.token_type, "Bearer");
        assert_eq!(set.refresh_token.unwrap().expose(), "rt");
    }

    // C86, W14
    #[test]
    fn contradictory_material_is_refused_and_the_field_named() {
        let consent = GrantType::AuthorizationCode;
        let empty = v1::TokenMaterial {
            access_token: String::new(),
            ..material()
        };
        assert!(refusal(consent, empty).starts_with("material.access_token"));
        let blank = v1::TokenMaterial {
            access_token: " ".into(),
            ..material()
        };
        assert!(refusal(consent, blank).starts_with("material.access_token"));
        let key = v1::TokenMaterial {
            signing_key: "k".into(),
            ..material()
        };
        assert!(refusal(consent, key).starts_with("material.signing_key"));
        assert!(refusal(GrantType::Static, material()).starts_with("material.refresh_token"));
        let past = Some(to_timestamp(NOW));
        let over = v1::TokenMaterial {
            refresh_token: String::new(),
            expires_at: past,
            ..material()
        };
        assert!(refusal(consent, over).starts_with("material.expires_at"));
        let over = v1::TokenMaterial {
            refresh_expires_at: past,
            ..material()
        };
        assert!(refusal(consent, over).starts_with("material.refresh_expires_at"));
        assert!(refusal(GrantType::JwtBearer, material()).starts_with("material.access_token"));
        assert!(tokens(consent, None, NOW).is_err());
    }

    // C84
    #[test]
    fn without_an_expiry_or_a_refresh_token_material_is_good_too() {
        let lasting = v1::TokenMaterial {
            refresh_token: String::new(),
            expires_at: None,
            ..material()
        };
        for grant_type in [GrantType::AuthorizationCode, GrantType::Static] {
            let set = tokens(grant_type, Some(lasting.clone()), NOW).unwrap();
            assert_eq!((set.expires_at, set.refresh_token), (None, None));
        }
    }

    // B46, W40
    #[test]
    fn a_dead_credential_shows_why_and_since_when_and_no_secret() {
        let mut grant = sample::grant();
        grant.facts.state = GrantState::Invalidated(sample::revoked());
        let shown = to_credential(CredentialView {
            credential: Credential {
                key: sample::key(),
                grant: grant.facts.id.clone(),
                labels: BTreeMap::new(),
                created_at: sample::ISSUED_AT,
                version: 3,
            },
            grant: grant.facts,
            integrations: Vec::new(),
        });
        assert_eq!(shown.state(), v1::CredentialState::Invalidated);
        assert!(!format!("{shown:?}").contains("hush"));
        let dead = shown.invalidation.unwrap();
        assert_eq!(dead.reason(), v1::InvalidationReason::GrantRevoked);
        assert_eq!(dead.provider_error, "token_revoked");
        assert_eq!(
            dead.invalidated_at,
            Some(to_timestamp(sample::revoked().at))
        );
    }

    // W58, D5
    #[test]
    fn minted_grants_of_one_account_are_not_shared() {
        let field = "provider_account";
        let error = account(GrantType::ClientCredentials, field, "corp".into()).unwrap_err();
        assert_eq!(
            error.message(),
            "provider_account: does not fit the grant type"
        );
        let none = account(GrantType::ClientCredentials, field, String::new());
        assert_eq!(none, Ok(None));
    }

    #[test]
    fn no_refusal_repeats_a_secret() {
        let odd = v1::TokenMaterial {
            access_token: "hush\n".into(),
            ..material()
        };
        assert!(!refusal(GrantType::AuthorizationCode, odd).contains("hush"));
    }

    #[test]
    fn what_postgres_cannot_store_is_refused_with_its_field() {
        let consent = GrantType::AuthorizationCode;
        let error = account(consent, "provider_account", "a\0b".into()).unwrap_err();
        assert_eq!(error.message(), "provider_account: must not contain NUL");
        let error = check_message("gone\0").unwrap_err();
        assert_eq!(error.message(), "message: must not contain NUL");
        assert_eq!(
            account(consent, "provider_account", "ü".into()),
            Ok(Some("ü".into()))
        );
        assert_eq!(check_message("ü\n"), Ok(()));
    }
}
