//! Grants to be remembered.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::grant::{Grant, GrantFacts, GrantState, Invalidation, InvalidationReason, TokenSet};
use crate::ids::{Generation, GrantId};
use crate::provider::{Profile, Renewal, Rotation};
use crate::secret::AccessToken;
use crate::testing::sample;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A grant as it was read at `version`, with a token of an hour and nothing that renews it.
pub(crate) fn grant(id: &GrantId, version: u64) -> Grant {
    let tokens = TokenSet {
        access_token: AccessToken::new(format!("access-{version}")),
        expires_at: Some(NOW.plus(Duration::from_secs(3_600))),
        refresh_token: None,
        ..sample::tokens()
    };
    Grant {
        facts: GrantFacts {
            id: id.clone(),
            generation: Generation(version),
            version,
            ..sample::facts(sample::client("acme"), &tokens, NOW)
        },
        tokens,
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
