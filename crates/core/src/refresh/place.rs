//! A place in a client's budget, without which nobody calls its provider.

use tracing::{Instrument as _, info_span};

use super::flight::shutting_down;
use super::{Cause, Failure, Outcome, Refresher, Trigger};
use crate::budget::{Full, FullCause, Place, Urgency};
use crate::clock::Timestamp;
use crate::failure::FailureReason;
use crate::grant::Grant;
use crate::ids::ClientKey;

/// What came of asking for a place.
pub(super) enum Entered {
    /// There was one.
    AtOnce(Place),
    /// There was one after a while.
    Later(Place),
    /// There is none.
    Not(Outcome),
}

/// Why there is no place in a client's budget.
pub(super) enum NoPlace {
    /// It has no room.
    Full(Full),
    /// The process ends.
    Stopping,
}

impl Refresher {
    /// Takes a place in the client's budget.
    pub(super) async fn enter(&self, grant: &Grant, trigger: Trigger) -> Entered {
        let client = &grant.facts.client;
        let urgency = match trigger.cause {
            Cause::Renewal => Urgency::Background,
            Cause::Expiry | Cause::Refusal => Urgency::Interactive,
        };
        match self.place(client, urgency).await {
            Ok(place) if place.waited() => Entered::Later(place),
            Ok(place) => Entered::AtOnce(place),
            // Who waits for this flight gets one that waits.
            Err(NoPlace::Full(_)) if urgency == Urgency::Background => Entered::Not(Outcome::Busy),
            Err(none) => Entered::Not(Outcome::Failed(self.without_place(none))),
        }
    }

    /// A place in the client's budget, unless the process ends first.
    pub(super) async fn place(
        &self,
        client: &ClientKey,
        urgency: Urgency,
    ) -> Result<Place, NoPlace> {
        let limits = self.ports.providers.limits(client);
        let entered = self.budgets.enter(client, limits, urgency);
        tokio::select! {
            biased;
            entered = entered.instrument(info_span!("place")) => entered.map_err(NoPlace::Full),
            () = self.stop.cancelled() => Err(NoPlace::Stopping),
        }
    }

    /// The failure of a call that has no place.
    pub(super) fn without_place(&self, none: NoPlace) -> Failure {
        match none {
            NoPlace::Full(full) => no_place(full, self.ports.clock.now()),
            NoPlace::Stopping => shutting_down(),
        }
    }
}

/// The failure of a call that is not made because its client's budget has no room.
pub(crate) fn no_place(full: Full, now: Timestamp) -> Failure {
    let Full { cause, retry_after } = full;
    let (label, reason, message) = match cause {
        FullCause::Concurrency => (
            "concurrency",
            FailureReason::ProviderUnavailable,
            "as many refreshes of this client run at once as its limits.concurrent, or refresh.per_provider, allows",
        ),
        FullCause::Rate => (
            "rate",
            FailureReason::ProviderRateLimited,
            "this client has made all the calls of this minute that its limits.per_minute allows",
        ),
        FullCause::Throttled => (
            "throttled",
            FailureReason::ProviderRateLimited,
            "the provider asked to be left alone for a while",
        ),
    };
    metrics::counter!("evergrant_budget_refusals_total", "cause" => label).increment(1);
    Failure {
        reason,
        message: message.into(),
        next_at: Some(now.plus(retry_after)),
        cooling: true,
    }
}
