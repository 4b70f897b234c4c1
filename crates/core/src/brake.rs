//! The brake: when a provider refuses many grants of one client at once, its refusals are held instead of believed.
//!
//! A refusal makes a grant dead until its user connects again, so a provider that answers `invalid_grant` by mistake
//! could cost every user of a client a consent. Once [`FEWEST`] grants of a client, and [`SHARE`] percent of those
//! whose refresh ended, were refused within [`WINDOW`], the grant that was refused last and every further one become
//! *suspect* ([`GrantState::Suspect`](crate::grant::GrantState)): active as before, told to nobody as dead, and not
//! refreshed again before its turn. Turns are [`PROBE_EVERY`] apart for the whole client, on however many replicas.
//!
//! The brake is released by an operator, or when a suspect grant is accepted in its turn: then the provider has
//! refused a good grant, and all the others are tried again. That other grants are refreshed meanwhile says nothing:
//! they were when the brake engaged, too.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::ClientKey;

/// How long a refusal and a refresh count.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Fewer refused grants than this never engage the brake.
pub const FEWEST: u64 = 10;
/// Of the grants of a client whose refresh ended within the window, in percent: fewer refused ones than this never
/// engage the brake.
pub const SHARE: u64 = 30;
/// How far apart the turns of suspect grants are, and how long the first waits.
pub const PROBE_EVERY: Duration = Duration::from_secs(30);
/// Over how long grants are spread that are tried again after a release.
pub const SPREAD: Duration = Duration::from_secs(30);

/// A brake that is engaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brake {
    /// The client whose refusals are held.
    pub client: ClientKey,
    /// Since when, by the store's clock.
    pub since: Timestamp,
    /// How many grants had been refused within the window then, the first held one included.
    pub refused: u64,
    /// How many had been refreshed within the window then.
    pub refreshed: u64,
    /// The provider's own error code in the refusal that engaged it; empty if none.
    pub provider_error: String,
    /// The next turn that no suspect grant has yet.
    pub next_probe_at: Timestamp,
}

/// How the refreshes of a client ended within the window, each grant counted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// The client.
    pub client: ClientKey,
    /// Grants that the provider refused, those included that are gone or connected again since.
    pub refused: u64,
    /// Grants that it refreshed and has not refused since.
    pub refreshed: u64,
    /// The brake, if it is engaged.
    pub brake: Option<Brake>,
    /// Grants that are suspect now.
    pub held: u64,
}

/// What an operator decides about held grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The provider was wrong: they are tried again, spread over [`SPREAD`].
    Retry,
    /// The provider was right: they are dead, which is told as usual.
    Invalidate,
}

/// Whether so many are too many to be believed.
pub(crate) fn is_too_many(refused: u64, refreshed: u64) -> bool {
    let ended = refused.saturating_add(refreshed);
    refused >= FEWEST && refused.saturating_mul(100) >= ended.saturating_mul(SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_ten_and_three_in_ten() {
        for (refused, refreshed, too_many) in [
            (9, 0, false),
            (10, 0, true),
            (10, 23, true),
            (10, 24, false),
            (300, 700, true),
            (299, 701, false),
            (u64::MAX, u64::MAX, true),
        ] {
            assert_eq!(
                is_too_many(refused, refreshed),
                too_many,
                "{refused} of {refreshed}"
            );
        }
    }
}
