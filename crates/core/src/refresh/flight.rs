//! A flight: look, lead or wait, attempt, land.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Led, Wanted};
use super::look::Look;
use super::place::Entered;
use super::polls::Polls;
use super::{Cause, Failure, Outcome, Refresher, Subject, Trigger};
use crate::breaker::Refusal;
use crate::clock::Timestamp;
use crate::coordinator::Notice;
use crate::failure::FailureReason;
use crate::grant::Grant;
use crate::ids::GrantId;
use crate::leader::Leadership;
use crate::memory::{Known, Origin};
use crate::singleflight::Landing;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

impl Refresher {
    /// Flies for `grant` and lands with an outcome. It runs in a task of its own, which nobody cancels: once a
    /// refresh token is spent, its successor must be stored.
    pub async fn fly(
        self: Arc<Self>,
        id: GrantId,
        trigger: Trigger,
        subject: Subject,
        landing: Landing<GrantId, Outcome>,
    ) {
        let outcome = self.fly_to_the_end(&id, trigger, &subject, &landing).await;
        Span::current().record("evergrant.outcome", outcome.as_str());
        landing.land(outcome);
    }

    async fn fly_to_the_end(
        &self,
        id: &GrantId,
        trigger: Trigger,
        subject: &Subject,
        landing: &Landing<GrantId, Outcome>,
    ) -> Outcome {
        // Subscribed before the first look, so that no result falls between a look and a wait.
        let mut notices = self.ports.bus.subscribe();
        let mut polls = Polls::new();
        let mut waited_for = None;
        let mut wanted = Wanted {
            trigger,
            subject,
            landing,
            outwaited: None,
        };
        loop {
            let grant = match self.look(id, trigger).await {
                Look::Done(outcome) => return outcome,
                Look::Refresh(grant) => grant,
            };
            if self.stop.is_cancelled() {
                return Outcome::Failed(shutting_down());
            }
            let place = match waited_for.take() {
                Some(place) => place,
                None => match self.enter(&grant, trigger).await {
                    Entered::AtOnce(place) => place,
                    Entered::Later(place) => {
                        // The row may tell another story now.
                        waited_for = Some(place);
                        continue;
                    }
                    Entered::Not(outcome) => return outcome,
                },
            };
            let claim = self.leader.claim(id).instrument(info_span!("leader lock"));
            let left = match claim.await {
                Leadership::Leader(held) => {
                    let had_waited = wanted.outwaited.is_some();
                    let led = self.lead(*grant, &mut wanted, &place, &held).await;
                    drop(place);
                    held.release().await;
                    match led {
                        Led::Ended(outcome) => return outcome,
                        // The wait took up its lease, and is not repeated under the next.
                        Led::LookAgain if !had_waited && wanted.outwaited.is_some() => continue,
                        Led::LookAgain => None,
                    }
                }
                Leadership::Follower { left } => {
                    drop(place);
                    // A leader that died after the provider's answer left its tokens in escrow.
                    if let Ok(Some(outcome)) = self.adopt_from_escrow(&grant).await {
                        return outcome;
                    }
                    Some(left)
                }
            };
            if trigger.cause == Cause::Renewal {
                return Outcome::Busy;
            }
            self.wait_for_news(id, &mut notices, polls.next(left))
                .instrument(info_span!("wait for the leader"))
                .await;
        }
    }

    /// The outcome that a row tells which is newer than what was asked for.
    pub(super) fn outcome_of(&self, grant: Grant) -> Outcome {
        let known = self.remember(grant, Origin::default());
        known.map_or_else(Outcome::Failed, |known| Outcome::of(known, false))
    }

    /// Remembers a row as read or written.
    pub(super) fn remember(&self, grant: Grant, origin: Origin) -> Result<Known, Failure> {
        self.ports.remember(&self.memory, grant, origin)
    }

    /// Waits until something was said about the grant, `at_most` went by, or the process ends.
    pub(super) async fn wait_for_news(
        &self,
        id: &GrantId,
        notices: &mut broadcast::Receiver<Notice>,
        at_most: Duration,
    ) {
        let news = async {
            loop {
                match notices.recv().await {
                    Ok(
                        Notice::GrantChanged { grant, .. } | Notice::RefreshFailed { grant, .. },
                    ) if grant == *id => return,
                    Ok(_) => {}
                    // Something was missed; it may have been about this grant.
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = news => {}
            () = tokio::time::sleep(at_most) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// The span of a flight. It has no parent, since the flight outlives whoever starts it and serves others too.
pub(crate) fn flight_span(id: &GrantId, trigger: Trigger) -> Span {
    info_span!(
        parent: None,
        "refresh",
        evergrant.grant = %id,
        evergrant.generation = trigger.seen.0,
        evergrant.cause = trigger.cause.as_str(),
        evergrant.outcome = Empty,
    )
}

/// The failure of a call that is not made because its client is rejected.
pub(super) fn rejected(refusal: Refusal, now: Timestamp) -> Failure {
    Failure {
        reason: FailureReason::ClientRejected,
        message: refusal.message,
        next_at: Some(now.plus(refusal.retry_after)),
        cooling: true,
    }
}

pub(super) fn shutting_down() -> Failure {
    Failure::new(FailureReason::ShuttingDown, "this replica is shutting down")
}
