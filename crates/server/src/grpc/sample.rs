//! A grant to try the edge with.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::ageing::Dates;
use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{
    Attempts, Grant, GrantFacts, GrantState, GrantType, Invalidation, InvalidationReason, Means,
    TokenSet,
};
use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, Generation, GrantId, ProviderName, TenantId,
};
use evergrant_core::scopes::ScopeSet;
use evergrant_core::secret::{AccessToken, RefreshToken};

/// When the grant was issued.
pub const ISSUED_AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// `acme/slack-7`
pub fn key() -> CredentialKey {
    CredentialKey {
        tenant: TenantId::parse("acme").unwrap(),
        id: CredentialId::parse("slack-7").unwrap(),
    }
}

/// The grant of `key`: generation 7, valid for an hour.
pub fn grant() -> Grant {
    let expires_at = Some(ISSUED_AT.plus(Duration::from_secs(3_600)));
    Grant {
        facts: GrantFacts {
            id: GrantId::random(),
            tenant: key().tenant,
            client: ClientKey {
                provider: ProviderName::parse("slack").unwrap(),
                client: ClientName::parse("main").unwrap(),
            },
            account: Some("T1".into()),
            grant_type: GrantType::AuthorizationCode,
            parent: None,
            requested_scopes: ScopeSet::default(),
            generation: Generation(7),
            version: 9,
            state: GrantState::Active,
            consented_at: ISSUED_AT,
            issued_at: ISSUED_AT,
            expires_at,
            refresh_expires_at: None,
            refreshable: true,
            dates: Dates::default(),
            announced: None,
            scopes: vec!["chat:write".into()],
            attempts: Attempts::default(),
            lease: None,
            in_doubt: false,
            created_at: ISSUED_AT,
        },
        tokens: TokenSet {
            access_token: AccessToken::new("hush-access".into()),
            token_type: "Bearer".into(),
            expires_at,
            refresh_token: Some(RefreshToken::new("hush-refresh".into())),
            refresh_expires_at: None,
            scopes: vec!["chat:write".into()],
            metadata: BTreeMap::from([("team_id".into(), "T1".into())]),
            means: Means::default(),
        },
    }
}

/// How the grant of `key` died.
pub fn revoked() -> Invalidation {
    Invalidation {
        reason: InvalidationReason::GrantRevoked,
        provider_error: "token_revoked".into(),
        message: "slack answered HTTP 200 at its token_url with token_revoked".into(),
        at: ISSUED_AT.plus(Duration::from_secs(60)),
        reported: false,
    }
}
