//! What background work does with the broker: it renews what is due, keeps memory in step, and ends.

use std::sync::Arc;
use std::time::Duration;

use super::Broker;
use crate::announce::Announcer;
use crate::budget::{Place, Urgency};
use crate::events::{Event, EventBody};
use crate::grant::GrantType;
use crate::ids::{ClientKey, GrantId};
use crate::refresh::{Cause, Failure, Outcome, Subject, Trigger, no_place};
use crate::registry::Registry;
use crate::revocation::Revoker;
use crate::store::{DueGrant, GrantVersion, StoreError};

impl Broker {
    /// A place in a client's budget for a call besides refreshes that somebody waits for, such as the exchange of a code.
    /// It waits like a refresh for which a caller waits ([`crate::budget`]), and may be cancelled. To be held while the
    /// call is made.
    pub async fn place(&self, client: &ClientKey) -> Result<Place, Failure> {
        let limits = self.ports.providers.limits(client);
        let entered = self.budgets.enter(client, limits, Urgency::Interactive);
        let place = entered.await;
        let place = place.map_err(|full| no_place(full, self.ports.clock.now()))?;
        place.call();
        Ok(place)
    }

    /// Begins to renew a grant that background work found due, without waiting for anybody else's attempt.
    /// Ends with the flight.
    pub async fn renew(&self, due: &DueGrant) -> Outcome {
        let trigger = Trigger {
            seen: due.generation,
            cause: Cause::Renewal,
        };
        match due.grant_type {
            GrantType::TokenExchange => self.exchange_due(&due.id, trigger).await,
            _ => self.fly_for(&due.id, trigger, Subject::default()).await,
        }
    }

    async fn exchange_due(&self, id: &GrantId, trigger: Trigger) -> Outcome {
        let grant = match self.ports.store.grant(id).await {
            Ok(Some(grant)) => grant,
            Ok(None) => return Outcome::Gone,
            Err(error) => return Outcome::Failed(Failure::from_store(&error)),
        };
        let subject = match self.subject(&grant, &[]).await {
            Ok(subject) => subject,
            Err(failure) => return Outcome::Failed(failure),
        };
        let outcome = self.fly_for(id, trigger, subject.clone()).await;
        if let Outcome::Failed(failure) = &outcome {
            self.learn_of_refusal(&grant, &subject, failure, &[]).await;
        }
        outcome
    }

    /// The registry whose changes this broker's memory follows at once, also if their callers leave.
    pub fn registry(&self) -> Registry {
        let changes = self.refresher.changes().clone();
        Registry::new(changes.in_tasks(self.tracker.clone()))
    }

    /// What tells, every `interval`, of ends that come near.
    pub fn announcer(&self, interval: Duration) -> Announcer {
        let ports = &self.ports;
        Announcer::new(
            self.registry(),
            Arc::clone(&ports.store),
            Arc::clone(&ports.providers),
            Arc::clone(&ports.clock),
            interval,
        )
    }

    /// What deletes credentials whose grants are revoked first; its work is tracked like this broker's.
    pub fn revoker(&self) -> Revoker {
        Revoker::new(Arc::clone(&self.refresher), self.tracker.clone())
    }

    /// Learns where a grant stands: what is remembered of an older version is forgotten.
    pub fn learn(&self, version: &GrantVersion) {
        self.memory.learn(&version.id, version.version);
    }

    /// Forgets everything, when notices may have been missed.
    pub fn forget_all(&self) {
        self.memory.forget_all();
    }

    /// Forgets what has expired.
    pub fn purge_expired(&self) {
        self.memory.purge_expired(self.ports.clock.now());
    }

    /// Learns from an event that another replica told. A client that somebody saw rejected is probed here too,
    /// so that whoever succeeds first tells its recovery, and all go on at once.
    pub fn observe(&self, event: &Event) {
        match &event.body {
            EventBody::ClientRejected(rejected) => {
                let (code, message) = (&rejected.provider_error, &rejected.message);
                self.breaker.reject(&rejected.client, code, message);
            }
            EventBody::ClientRecovered(recovered) => {
                self.breaker.accept(&recovered.client);
            }
            EventBody::ClientReleased(_) => self.memory.thaw(),
            _ => {}
        }
    }

    /// Stores what this process left in escrow in an earlier life. To be called before serving.
    pub async fn replay_escrow(&self) -> Result<u64, StoreError> {
        self.refresher.replay_escrow().await
    }

    /// The time to shut down is over: tells, in the log and as `evergrant_rotations_lost_total`, of every token
    /// set that was got from a provider and is neither stored nor in escrow. Answers their grants. To be called
    /// right before the process ends.
    pub fn give_up(&self) -> Vec<GrantId> {
        self.refresher.give_up()
    }
}
