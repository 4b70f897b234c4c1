//! A grant that was killed is taken back at its provider, and its row stays.

use tokio::time::Instant;

use crate::budget::Urgency;
use crate::failure::FailureReason;
use crate::grant::InvalidationReason;
use crate::ids::{Generation, GrantId};
use crate::leader::Leadership;
use crate::refresh::flight::shutting_down;
use crate::refresh::polls::Polls;
use crate::refresh::revoke::derived::{Derived, Patience};
use crate::refresh::{Failure, Refresher};
use crate::revocation::Withdrawn;

impl Refresher {
    /// Asks the provider to take back `generation` of a killed grant, and what came too late to follow it.
    pub(crate) async fn withdraw(
        &self,
        id: &GrantId,
        generation: Generation,
    ) -> Result<Withdrawn, Failure> {
        let deadline = Instant::now() + self.longest_hold();
        // Subscribed before the first look, so that no news falls between a look and a wait.
        let mut notices = self.ports.bus.subscribe();
        let mut polls = Polls::new();
        loop {
            if self.stop.is_cancelled() {
                return Err(shutting_down());
            }
            let store = &self.ports.store;
            let grant = store.grant(id).await;
            let grant = grant.map_err(|error| Failure::from_store(&error))?;
            let is_killed = |grant: &crate::grant::Grant| {
                let dead = grant.facts.state.invalidation();
                dead.is_some_and(|dead| dead.reason == InvalidationReason::Killed)
                    && grant.facts.generation == generation
            };
            let Some(grant) = grant.filter(is_killed) else {
                return Ok(Withdrawn::Superseded);
            };
            if let Err(unknown) = self.ports.providers.check(&grant.facts.client) {
                let reason = FailureReason::UnknownClient;
                return Err(Failure::new(reason, unknown.to_string()));
            }
            // Whoever asked for this comes again.
            let patience = Patience {
                deadline,
                room: Instant::now(),
            };
            let derived = self.revoke_derived(&grant.facts, patience).await?;
            match derived {
                // The grant was told of as changed.
                Derived::Revoked | Derived::Lost => continue,
                Derived::Busy => return Err(busy()),
                Derived::None | Derived::NotSupported => {}
            }
            // Refreshes come first, those in the background too: they may not wait.
            let place = self.place(&grant.facts.client, Urgency::Background).await;
            let place = place.map_err(|none| self.without_place(none))?;
            let left = match self.leader.claim(id).await {
                Leadership::Leader(held) => {
                    let began = Instant::now();
                    let asked = self.revoke_tokens(&grant, &place, false, began).await;
                    held.release().await;
                    match asked? {
                        Some(true) if derived == Derived::None => return Ok(Withdrawn::Revoked),
                        Some(_) => return Ok(Withdrawn::NotSupported),
                        None => None,
                    }
                }
                Leadership::Follower { left } => Some(left),
            };
            drop(place);
            if Instant::now() >= deadline {
                return Err(busy());
            }
            self.wait_for_news(id, &mut notices, polls.next(left)).await;
        }
    }
}

fn busy() -> Failure {
    let why = "somebody else is still at the grant";
    Failure::new(FailureReason::ProviderUnavailable, why)
}
