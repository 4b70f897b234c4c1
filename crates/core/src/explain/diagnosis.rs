//! When the next refresh of a grant comes, or why none does.

use std::time::Duration;

use crate::breaker::Refusal;
use crate::clock::Timestamp;
use crate::grant::{GrantFacts, Invalidation, PassingFailure};
use crate::provider::{Renewal, UnknownClient};

/// A refresh that has been due for so long is overdue: background work looks every second, and takes turns.
pub const OVERDUE_AFTER: Duration = Duration::from_mins(1);

/// What follows from all that is known of a grant for its next refresh: the first that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// It is dead, and is never refreshed until its user connects again.
    Dead(Invalidation),
    /// The provider refused it, and that is held instead of believed.
    Held {
        /// What the provider said.
        refusal: Invalidation,
        /// When it is tried again.
        next_at: Option<Timestamp>,
    },
    /// An attempt is under way.
    Refreshing {
        /// Who makes it, if that is known.
        replica: Option<String>,
        /// When its lease ends.
        until: Timestamp,
    },
    /// It cannot be renewed without its user.
    NotRenewable {
        /// When its access token ends, if known.
        ends_at: Option<Timestamp>,
    },
    /// Its client or provider is not configured any more.
    UnknownClient(UnknownClient),
    /// The provider rejects its OAuth client, and one probe at a time finds out whether it still does.
    ClientRejected(Refusal),
    /// It failed for a passing reason and is not tried again yet.
    CoolingDown {
        /// What it failed of; `None` if that is not known.
        failure: Option<PassingFailure>,
        /// How often in a row.
        failed: u32,
        /// Until when.
        until: Timestamp,
    },
    /// The provider asked for the whole client to be left alone.
    Throttled {
        /// Until when.
        until: Timestamp,
    },
    /// It is due, and its provider renews no token that is so young.
    TooYoung {
        /// Until when.
        until: Timestamp,
    },
    /// It has been due for long, and nobody can tell why it was not refreshed.
    Overdue {
        /// Since when.
        since: Timestamp,
    },
    /// It works, and is renewed in the background.
    Works {
        /// When.
        due_at: Timestamp,
    },
    /// It works, and is renewed when somebody asks for it.
    OnRequest,
}

/// What a diagnosis is made from.
pub(super) struct Evidence<'a> {
    pub(super) grant: &'a GrantFacts,
    pub(super) now: Timestamp,
    /// As it holds for grants of this type.
    pub(super) renewal: Renewal,
    pub(super) unknown: Option<UnknownClient>,
    pub(super) refusal: Option<Refusal>,
    pub(super) throttled_for: Option<Duration>,
}

impl Evidence<'_> {
    pub(super) fn diagnose(self) -> Diagnosis {
        let Self { grant, now, .. } = self;
        if let Some(invalidation) = grant.state.invalidation() {
            return Diagnosis::Dead(invalidation.clone());
        }
        let lease = grant.lease.as_ref().filter(|lease| !lease.left.is_zero());
        if let Some(lease) = lease {
            return Diagnosis::Refreshing {
                replica: lease.owner.replica().map(str::to_owned),
                until: now.plus(lease.left),
            };
        }
        let attempts = &grant.attempts;
        if let Some(refusal) = grant.state.suspicion() {
            return Diagnosis::Held {
                refusal: refusal.clone(),
                next_at: attempts.next_at,
            };
        }
        if !self.renewal.can_renew(grant.grant_type, grant.refreshable) {
            return Diagnosis::NotRenewable {
                ends_at: grant.expires_at,
            };
        }
        if let Some(unknown) = self.unknown {
            return Diagnosis::UnknownClient(unknown);
        }
        if let Some(refusal) = self.refusal {
            return Diagnosis::ClientRejected(refusal);
        }
        if let Some(until) = attempts.next_at.filter(|next_at| *next_at > now) {
            return Diagnosis::CoolingDown {
                failure: attempts.last_failure.clone(),
                failed: attempts.failed,
                until,
            };
        }
        if let Some(left) = self.throttled_for {
            return Diagnosis::Throttled {
                until: now.plus(left),
            };
        }
        let Some(due_at) = grant.dates.due_at else {
            return Diagnosis::OnRequest;
        };
        let young = (self.renewal).young_until(grant.issued_at, grant.expires_at);
        match young.filter(|until| *until > now) {
            Some(until) if due_at <= now => Diagnosis::TooYoung { until },
            _ if due_at.plus(OVERDUE_AFTER) <= now => Diagnosis::Overdue { since: due_at },
            _ => Diagnosis::Works { due_at },
        }
    }
}

#[cfg(test)]
mod tests;
