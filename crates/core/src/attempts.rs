//! What attempts to refresh a grant came to, kept for people who ask why it is dead or slow.
//!
//! Nothing that happens to a grant depends on it. An attempt that never told its end, since its process was killed, is
//! not among them: the lease that it left behind and the doubt about the refresh token speak for it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::failure::FailureReason;
use crate::ids::{Epoch, Generation, GrantId, ReplicaName};
use crate::refresh::Cause;

/// Attempts of one grant that are remembered at most.
pub const REMEMBERED: usize = 20;

/// One attempt that held the lease of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The grant.
    pub grant: GrantId,
    /// The lease, by which attempts of a grant are told apart and ordered.
    pub epoch: Epoch,
    /// Who made it.
    pub replica: ReplicaName,
    /// What it was made for.
    pub cause: Cause,
    /// When it took the lease, by the clock of the replica.
    pub began_at: Timestamp,
    /// How long it took until its outcome was known.
    pub took: Duration,
    /// The generation whose refresh token it had.
    pub base: Generation,
    /// The generation that the grant had afterwards, if it is known to work.
    pub left: Option<Generation>,
    /// Whether an earlier attempt may have spent that refresh token.
    pub took_over: bool,
    /// How often it called the provider.
    pub calls: u32,
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// Its last call that brought no tokens.
    pub error: Option<AttemptError>,
}

/// An answer without tokens, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// The HTTP status; `None` if there was no answer.
    pub status: Option<u16>,
    /// The provider's own error code; empty if none.
    pub code: String,
    /// For people; holds no secret.
    pub message: String,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Its call brought the next token set.
    Refreshed,
    /// It found in escrow what an earlier attempt had obtained, and called nobody.
    Adopted,
    /// Somebody else had stored a newer token set meanwhile.
    Superseded,
    /// The grant is dead.
    Invalidated,
    /// The grant is no longer there.
    Gone,
    /// No token came, for a reason that may pass.
    Failed(FailureReason),
}

impl AttemptOutcome {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Refreshed, "REFRESHED"),
        (Self::Adopted, "ADOPTED"),
        (Self::Superseded, "SUPERSEDED"),
        (Self::Invalidated, "INVALIDATED"),
        (Self::Gone, "GONE"),
    ];

    /// Its name, e.g. `REFRESHED`; of a failure the name of the reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed(reason) => reason.as_str(),
            other => Self::NAMES
                .into_iter()
                .find_map(|(outcome, name)| (outcome == other).then_some(name))
                .expect("every outcome but a failure has its name in the table"),
        }
    }

    /// The outcome of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = Self::NAMES.into_iter().find(|(_, known)| *known == name);
        match named {
            Some((outcome, _)) => Some(outcome),
            None => FailureReason::from_name(name).map(Self::Failed),
        }
    }
}

/// Takes what attempts came to.
pub trait AttemptLog: Send + Sync + 'static {
    /// Takes one. It does not wait and cannot fail: what cannot be kept is let go.
    fn note(&self, record: AttemptRecord);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAttemptLog;

impl AttemptLog for NoAttemptLog {
    fn note(&self, _record: AttemptRecord) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_found_by_its_name() {
        let failures = FailureReason::ALL.map(AttemptOutcome::Failed);
        let others = AttemptOutcome::NAMES.map(|(outcome, _)| outcome);
        for outcome in failures.into_iter().chain(others) {
            assert_eq!(AttemptOutcome::from_name(outcome.as_str()), Some(outcome));
        }
        assert_eq!(AttemptOutcome::from_name("WON"), None);
    }
}
