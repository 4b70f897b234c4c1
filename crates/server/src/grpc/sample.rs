//! A grant to try the edge with.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{Grant, GrantFacts, Invalidation, InvalidationReason, TokenSet};
use evergrant_core::ids::{CredentialId, CredentialKey, Generation, TenantId};
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_core::testing::sample;

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
    let tokens = TokenSet {
        access_token: AccessToken::new("hush-access".into()),
        expires_at: Some(ISSUED_AT.plus(Duration::from_secs(3_600))),
        refresh_token: Some(RefreshToken::new("hush-refresh".into())),
        scopes: vec!["chat:write".into()],
        metadata: BTreeMap::from([("team_id".into(), "T1".into())]),
        ..sample::tokens()
    };
    Grant {
        facts: GrantFacts {
            tenant: key().tenant,
            account: Some("T1".into()),
            generation: Generation(7),
            version: 9,
            ..sample::facts(sample::client("slack"), &tokens, ISSUED_AT)
        },
        tokens,
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
