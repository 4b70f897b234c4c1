//! Credentials.

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{GrantType, Invalidation};
use evergrant_core::store::CredentialView;
use evergrant_proto::v1;

use super::means::unfit;
use super::{free_of_nul, invalidation_reason, to_timestamp};
use crate::grpc::status::ApiError;

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use evergrant_core::grant::GrantState;
    use evergrant_core::store::Credential;

    use super::*;
    use crate::grpc::sample;

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
