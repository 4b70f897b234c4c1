//! Tokens of other sets of scopes that were minted with a grant's means are taken back before its own.
//!
//! Each lives in a grant of its own, which is revoked like any other: under its lock and lease, so that no new token is on
//! its way. Once the provider has taken it back it is forgotten, so that nobody hands it out and nobody asks for it twice:
//! what failed half-way goes on from there when it is asked for again.

use tokio::time::Instant;
use tracing::info;

use crate::budget::Place;
use crate::change::{Scope, plan};
use crate::grant::Grant;
use crate::ids::GrantId;
use crate::leader::{Held, Leadership};
use crate::provider::Revocation;
use crate::refresh::flight::shutting_down;
use crate::refresh::polls::Polls;
use crate::refresh::{Failure, Refresher};

/// What became of the tokens of other sets of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Derived {
    /// There were none.
    None,
    /// The provider took all of them back.
    Revoked,
    /// The provider has no way to do so, and they were left alone.
    NotSupported,
    /// One is still being minted.
    Busy,
}

impl Refresher {
    /// Asks the provider to take back every live token that was minted for other scopes with the means of `parent`. A
    /// failure says how many of them are left.
    pub(super) async fn revoke_derived(
        &self,
        parent: &GrantId,
        place: &Place,
        deadline: Instant,
    ) -> Result<Derived, Failure> {
        let scope = Scope::Grant(parent.clone());
        let snapshot = self.ports.store.snapshot(&scope).await;
        let snapshot = snapshot.map_err(|error| Failure::from_store(&error))?;
        let alive = plan::derived_alive(&snapshot, parent);
        for (done, id) in alive.iter().enumerate() {
            let revoked = self.revoke_of_scopes(parent, id, place, deadline).await;
            match revoked.map_err(|failure| left_over(failure, alive.len() - done))? {
                Some(Revocation::Revoked) => {}
                Some(Revocation::NotSupported) => return Ok(Derived::NotSupported),
                None => return Ok(Derived::Busy),
            }
        }
        Ok(match alive.is_empty() {
            true => Derived::None,
            false => Derived::Revoked,
        })
    }

    /// `None`: somebody else was at it until `deadline`.
    async fn revoke_of_scopes(
        &self,
        parent: &GrantId,
        id: &GrantId,
        place: &Place,
        deadline: Instant,
    ) -> Result<Option<Revocation>, Failure> {
        // Subscribed before the first look, so that no news falls between a look and a wait.
        let mut notices = self.ports.bus.subscribe();
        let mut polls = Polls::new();
        loop {
            if self.stop.is_cancelled() {
                return Err(shutting_down());
            }
            let grant = self.ports.store.grant(id).await;
            let Some(grant) = grant.map_err(|error| Failure::from_store(&error))? else {
                // It made room for another, which only one does whose token has ended.
                return Ok(Some(Revocation::Revoked));
            };
            let lock_left = match self.leader.claim(id).await {
                Leadership::Leader(held) => {
                    let tried = self.take_back(parent, &grant, place, &held).await;
                    held.release().await;
                    if let Some(revocation) = tried? {
                        return Ok(Some(revocation));
                    }
                    None
                }
                Leadership::Follower { left } => Some(left),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let wait = polls.next(lock_left).min(left);
            self.wait_for_news(id, &mut notices, wait).await;
        }
    }

    /// `None`: it is leased to somebody else, or moved on.
    async fn take_back(
        &self,
        parent: &GrantId,
        grant: &Grant,
        place: &Place,
        held: &Held,
    ) -> Result<Option<Revocation>, Failure> {
        let started = Instant::now();
        let (id, generation) = (&grant.facts.id, grant.facts.generation);
        let store = &self.ports.store;
        let lease = self.limits.lease;
        let claimed = match store.claim(id, generation, held.owner(), lease).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(None),
            // Without the lease nobody may call: fail closed.
            Err(error) => {
                self.give_back_lost_lease(id, held).await;
                return Err(Failure::from_store(&error));
            }
        };
        let asked = match grant.tokens.has_token() {
            true => self.call_to_revoke(grant, place, started).await,
            // Whoever was to mint it failed.
            false => Ok(Revocation::Revoked),
        };
        if asked == Ok(Revocation::Revoked) {
            let scope = Scope::Grant(parent.clone());
            let forget = |snapshot: &_| plan::forget_revoked(snapshot, id, generation);
            match self.change(&scope, forget).await {
                Ok(_) => {
                    info!(grant = %parent, scopes = %id, "a token of other scopes was revoked")
                }
                Err(error) => {
                    self.give_back(id, &claimed).await;
                    return Err(Failure::from_store(&error));
                }
            }
        } else {
            self.give_back(id, &claimed).await;
        }
        asked.map(Some)
    }
}

/// A failure that says what it left.
fn left_over(failure: Failure, left: usize) -> Failure {
    let tokens = match left {
        1 => "1 token of another set of scopes is".to_owned(),
        left => format!("{left} tokens of other sets of scopes are"),
    };
    Failure {
        message: format!("{tokens} left to revoke: {}", failure.message),
        ..failure
    }
}
