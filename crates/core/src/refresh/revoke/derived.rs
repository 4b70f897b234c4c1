//! Tokens of other sets of scopes that were minted with a grant's means are taken back before its own.
//!
//! Each lives in a grant of its own, which is revoked like any other: under its lock and lease, so that no new token is on
//! its way. Once the provider has taken it back it is forgotten, so that nobody hands it out and nobody asks for it twice:
//! what failed half-way goes on from there when it is asked for again.
//!
//! There may be many, so each call takes a place of its own that no caller could want.

use tokio::time::Instant;
use tracing::info;

use crate::budget::{Place, Urgency};
use crate::change::{Scope, plan};
use crate::grant::{Grant, GrantFacts};
use crate::ids::{ClientKey, GrantId};
use crate::leader::{Held, Leadership};
use crate::provider::Revocation;
use crate::refresh::flight::shutting_down;
use crate::refresh::place::NoPlace;
use crate::refresh::polls::Polls;
use crate::refresh::{Failure, Refresher};

/// What became of the tokens of other sets of scopes. Of several answers the last in this order holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Derived {
    /// There were none.
    None,
    /// The provider took all of them back.
    Revoked,
    /// One was forgotten by somebody who did not take it back, since its grant got other means or died.
    Lost,
    /// The provider has no way to do so, and they were left alone.
    NotSupported,
    /// One is still being minted, or time is up.
    Busy,
}

/// Until when is waited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For whoever is at a token; nobody is asked after it.
    pub(super) deadline: Instant,
    /// For room in the client's budget.
    pub(super) room: Instant,
}

/// What became of one of them.
enum TakenBack {
    Asked(Revocation),
    Gone,
    Busy,
}

impl Refresher {
    /// Asks the provider to take back every live token that was minted for other scopes with the means of `parent`. A
    /// failure says how many of them are left.
    pub(super) async fn revoke_derived(
        &self,
        parent: &GrantFacts,
        patience: Patience,
    ) -> Result<Derived, Failure> {
        let scope = Scope::Grant(parent.id.clone());
        let snapshot = self.ports.store.snapshot(&scope).await;
        let snapshot = snapshot.map_err(|error| Failure::from_store(&error))?;
        let alive = plan::derived_alive(&snapshot, &parent.id);
        let mut all = Derived::None;
        for (done, id) in alive.iter().enumerate() {
            let one = self.revoke_of_scopes(parent, id, patience).await;
            let one = one.map_err(|failure| left_over(failure, alive.len() - done))?;
            all = all.max(one);
            if all >= Derived::NotSupported {
                break;
            }
        }
        Ok(all)
    }

    async fn revoke_of_scopes(
        &self,
        parent: &GrantFacts,
        id: &GrantId,
        patience: Patience,
    ) -> Result<Derived, Failure> {
        Ok(match self.try_to_take_back(parent, id, patience).await? {
            TakenBack::Asked(Revocation::Revoked) => Derived::Revoked,
            TakenBack::Asked(Revocation::NotSupported) => Derived::NotSupported,
            TakenBack::Gone if self.is_as_it_was(parent).await? => Derived::Revoked,
            TakenBack::Gone => Derived::Lost,
            TakenBack::Busy => Derived::Busy,
        })
    }

    /// Whether `parent` has the means that it had, and is as alive. What was derived from it is then forgotten only after
    /// it was revoked, or had ended and made room for another.
    async fn is_as_it_was(&self, parent: &GrantFacts) -> Result<bool, Failure> {
        let now = self.ports.store.grant(&parent.id).await;
        let now = now.map_err(|error| Failure::from_store(&error))?;
        Ok(now.is_some_and(|now| {
            now.facts.consented_at == parent.consented_at
                && now.facts.state.invalidation() == parent.state.invalidation()
        }))
    }

    async fn try_to_take_back(
        &self,
        parent: &GrantFacts,
        id: &GrantId,
        patience: Patience,
    ) -> Result<TakenBack, Failure> {
        // Subscribed before the first look, so that no news falls between a look and a wait.
        let mut notices = self.ports.bus.subscribe();
        let mut polls = Polls::new();
        loop {
            if self.stop.is_cancelled() {
                return Err(shutting_down());
            }
            if patience.deadline <= Instant::now() {
                return Ok(TakenBack::Busy);
            }
            // Nothing is held while it waits for a place.
            let place = self.modest_place(&parent.client, patience.room).await?;
            let grant = self.ports.store.grant(id).await;
            let Some(grant) = grant.map_err(|error| Failure::from_store(&error))? else {
                return Ok(TakenBack::Gone);
            };
            let lock_left = match self.leader.claim(id).await {
                Leadership::Leader(held) => {
                    let tried = self.take_back(&parent.id, &grant, &place, &held).await;
                    held.release().await;
                    if let Some(revocation) = tried? {
                        return Ok(TakenBack::Asked(revocation));
                    }
                    None
                }
                Leadership::Follower { left } => Some(left),
            };
            drop(place);
            let left = patience.deadline.saturating_duration_since(Instant::now());
            let wait = polls.next(lock_left).min(left);
            self.wait_for_news(id, &mut notices, wait).await;
        }
    }

    /// A place that no caller could want, as soon as there is one until `deadline`.
    async fn modest_place(&self, client: &ClientKey, deadline: Instant) -> Result<Place, Failure> {
        loop {
            let none = match self.place(client, Urgency::Background).await {
                Ok(place) => return Ok(place),
                Err(none) => none,
            };
            match &none {
                NoPlace::Full(full) if Instant::now() + full.retry_after <= deadline => {
                    tokio::select! {
                        () = tokio::time::sleep(full.retry_after) => {}
                        () = self.stop.cancelled() => return Err(shutting_down()),
                    }
                }
                NoPlace::Full(_) | NoPlace::Stopping => return Err(self.without_place(none)),
            }
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
