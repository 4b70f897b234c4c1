//! A grant that was killed is taken back at its provider, and its row stays.

use std::time::Duration;

use tokio::time::Instant;

use crate::budget::Urgency;
use crate::failure::FailureReason;
use crate::grant::InvalidationReason;
use crate::ids::{Generation, GrantId};
use crate::leader::Leadership;
use crate::refresh::flight::{FIRST_POLL, LAST_POLL, no_place};
use crate::refresh::revoke::derived::Derived;
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
        let mut poll = FIRST_POLL;
        loop {
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
            // Refreshes come first, those in the background too: they may not wait.
            let profile = self.ports.providers.profile(&grant.facts.client);
            let limits = profile.map(|profile| profile.limits).unwrap_or_default();
            let client = &grant.facts.client;
            let place = self
                .budgets
                .enter(client, limits, Urgency::Background)
                .await;
            let place = place.map_err(|full| no_place(full, self.ports.clock.now()))?;
            let derived = self.revoke_derived(id, &place, deadline).await?;
            match derived {
                // The grant was told of as changed.
                Derived::Revoked => continue,
                Derived::Busy => return Err(busy()),
                Derived::None | Derived::NotSupported => {}
            }
            let mut wait = poll;
            match self.leader.claim(id).await {
                Leadership::Leader(held) => {
                    let began = Instant::now();
                    let asked = self.revoke_tokens(&grant, &place, false, began).await;
                    held.release().await;
                    match asked? {
                        Some(true) if derived == Derived::None => return Ok(Withdrawn::Revoked),
                        Some(_) => return Ok(Withdrawn::NotSupported),
                        None => {}
                    }
                }
                Leadership::Follower { left } => {
                    wait = wait.min(left.max(Duration::from_millis(10)));
                }
            }
            drop(place);
            if Instant::now() >= deadline {
                return Err(busy());
            }
            tokio::time::sleep(wait).await;
            poll = (poll * 2).min(LAST_POLL);
        }
    }
}

fn busy() -> Failure {
    let why = "somebody else is still at the grant";
    Failure::new(FailureReason::ProviderUnavailable, why)
}
