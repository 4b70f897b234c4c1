//! What ends at the provider in memory by itself.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::grant::Grant;
use crate::provider::Renewal;

/// When refresh tokens end.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) lifetime: Option<Duration>,
    by_token: HashMap<String, Timestamp>,
}

impl Ends {
    /// The end of a token that is issued, perhaps again, at `now`.
    pub(super) fn issue(&mut self, token: &str, now: Timestamp, moves: bool) -> Option<Timestamp> {
        let end = now.plus(self.lifetime?);
        let known = self.by_token.entry(token.to_owned()).or_insert(end);
        if moves {
            *known = end;
        }
        Some(*known)
    }

    pub(super) fn has_ended(&self, token: &str, now: Timestamp) -> bool {
        self.by_token.get(token).is_some_and(|end| *end <= now)
    }
}

/// Whether a provider without refresh tokens renews the access token of a grant.
pub(super) fn renews(renewal: &Renewal, grant: &Grant, now: Timestamp) -> bool {
    let facts = &grant.facts;
    let has_expired = facts.expires_at.is_some_and(|end| end <= now);
    let is_young = renewal
        .min_age
        .is_some_and(|age| now.since(facts.issued_at) < age);
    let is_late = renewal.only_while_valid && has_expired;
    !is_young && !is_late
}
