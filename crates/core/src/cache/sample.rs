//! Grants to be remembered.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ageing::Dates;
use crate::clock::Timestamp;
use crate::grant::{
    Attempts, Grant, GrantFacts, GrantState, GrantType, Invalidation, InvalidationReason, Means,
    TokenSet,
};
use crate::ids::{ClientKey, ClientName, Generation, GrantId, ProviderName, TenantId};
use crate::provider::{Profile, Renewal, Rotation};
use crate::scopes::ScopeSet;
use crate::secret::AccessToken;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A grant as it was read at `version`, with a token of an hour.
pub(crate) fn grant(id: &GrantId, version: u64) -> Grant {
    let expires_at = Some(NOW.plus(Duration::from_secs(3_600)));
    Grant {
        facts: GrantFacts {
            id: id.clone(),
            tenant: TenantId::parse("t1").unwrap(),
            client: ClientKey {
                provider: ProviderName::parse("acme").unwrap(),
                client: ClientName::parse("main").unwrap(),
            },
            account: None,
            grant_type: GrantType::AuthorizationCode,
            parent: None,
            requested_scopes: ScopeSet::default(),
            generation: Generation(version),
            version,
            state: GrantState::Active,
            consented_at: NOW,
            issued_at: NOW,
            expires_at,
            refresh_expires_at: None,
            refreshable: false,
            dates: Dates::default(),
            announced: None,
            scopes: Vec::new(),
            attempts: Attempts::default(),
            lease: None,
            in_doubt: false,
            created_at: NOW,
        },
        tokens: TokenSet {
            access_token: AccessToken::new(format!("access-{version}")),
            token_type: "Bearer".into(),
            expires_at,
            refresh_token: None,
            refresh_expires_at: None,
            scopes: Vec::new(),
            metadata: BTreeMap::new(),
            means: Means::default(),
            minted_by: None,
        },
    }
}

/// A grant as it was read at `version`, when it was dead.
pub(crate) fn dead_grant(id: &GrantId, version: u64) -> Grant {
    let mut grant = grant(id, version);
    grant.facts.state = GrantState::Invalidated(Invalidation {
        reason: InvalidationReason::GrantRevoked,
        provider_error: "invalid_grant".into(),
        message: "the provider says so".into(),
        at: NOW,
        reported: false,
    });
    grant
}

pub(crate) fn profile() -> Profile {
    Profile {
        rotation: Rotation::SingleUse,
        grant_types: Vec::new(),
        flaky_refusals: false,
        renewal: Renewal::default(),
        header_name: "Authorization".into(),
        header_scheme: "Bearer".into(),
        limits: crate::provider::Limits::default(),
    }
}
