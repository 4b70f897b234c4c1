//! The flight of a grant: begun by whoever needs it first, joined by the others.

use std::sync::Arc;

use super::Broker;
use crate::cache::LiveGrant;
use crate::failure::FailureReason;
use crate::ids::GrantId;
use crate::refresh::{Cause, Failure, Outcome, Subject, Trigger, flight_span};
use crate::singleflight::{Flight, FlightLost};

impl Broker {
    pub(super) async fn fly(&self, live: &LiveGrant, cause: Cause, subject: Subject) -> Outcome {
        let trigger = Trigger {
            seen: live.grant.facts.generation,
            cause,
        };
        self.fly_for(&live.grant.facts.id, trigger, subject).await
    }

    pub(super) async fn fly_for(
        &self,
        id: &GrantId,
        trigger: Trigger,
        subject: Subject,
    ) -> Outcome {
        loop {
            let flight = self.join(id, trigger, subject.clone());
            match flight.outcome().await {
                // It was nobody's to wait in; this caller waits.
                Ok(Outcome::Busy) if trigger.cause != Cause::Renewal => {}
                // It brought what this caller has seen already, and only still tells others of it.
                Ok(Outcome::Token { live, .. })
                    if flight.joined() && live.grant.facts.generation <= trigger.seen =>
                {
                    flight.landed().await;
                }
                Ok(outcome) => return outcome,
                Err(FlightLost) => return Outcome::Failed(lost()),
            }
        }
    }

    pub(super) fn start_flight(&self, live: &LiveGrant, cause: Cause, subject: Subject) {
        let trigger = Trigger {
            seen: live.grant.facts.generation,
            cause,
        };
        drop(self.join(&live.grant.facts.id, trigger, subject));
    }

    fn join(&self, id: &GrantId, trigger: Trigger, subject: Subject) -> Flight<Outcome> {
        let refresher = Arc::clone(&self.refresher);
        let grant = id.clone();
        let flight = self.flights.join(
            id.clone(),
            || flight_span(id, trigger),
            |landing| refresher.fly(grant, trigger, subject, landing),
        );
        if flight.joined() {
            metrics::counter!("evergrant_flight_joiners_total").increment(1);
        } else {
            metrics::counter!("evergrant_flights_total").increment(1);
        }
        flight
    }
}

pub(super) fn lost() -> Failure {
    Failure::new(
        FailureReason::Internal,
        "the attempt ended without an outcome",
    )
}
