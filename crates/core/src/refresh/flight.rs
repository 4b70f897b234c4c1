//! A flight: look, lead or wait, attempt, land.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Led, Wanted};
use super::place::Entered;
use super::polls::Polls;
use super::settle::NotAdopted;
use super::{Cause, Failure, Outcome, Refresher, Subject, Trigger};
use crate::breaker::Refusal;
use crate::clock::Timestamp;
use crate::coordinator::Notice;
use crate::failure::FailureReason;
use crate::grant::{Grant, GrantFacts, Invalidation, InvalidationReason};
use crate::ids::GrantId;
use crate::leader::Leadership;
use crate::memory::{Known, Origin};
use crate::singleflight::Landing;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

/// What a look at the row says.
enum Look {
    Done(Outcome),
    Refresh(Box<Grant>),
}

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

    /// Reads the row and decides whether there is anything to do.
    async fn look(&self, id: &GrantId, trigger: Trigger) -> Look {
        let grant = match self.ports.store.grant(id).await {
            Ok(Some(grant)) => grant,
            Ok(None) => {
                self.memory.forget(id);
                return Look::Done(Outcome::Gone);
            }
            Err(error) => return Look::Done(Outcome::Failed(Failure::from_store(&error))),
        };
        if grant.facts.state.invalidation().is_some() || grant.facts.generation > trigger.seen {
            return Look::Done(self.outcome_of(grant));
        }

        let now = self.ports.clock.now();
        let facts = &grant.facts;
        let renewal = self.renewal(facts);
        let is_over = facts.expires_at.is_some_and(|end| end <= now);
        if !renewal.can_renew(facts.grant_type, facts.refreshable) {
            if is_over || trigger.cause == Cause::Refusal {
                let why = "the access token is no longer good and there is no refresh token";
                return self
                    .end_without_call(grant, InvalidationReason::NotRefreshable, why)
                    .await;
            }
            return Look::Done(self.outcome_of(grant));
        }
        if is_over && renewal.only_while_valid && !is_leased(facts) {
            return self.end_expired(grant).await;
        }

        if let Err(error) = self.ports.providers.check(&facts.client) {
            let failure = Failure::new(FailureReason::UnknownClient, error.to_string());
            return Look::Done(Outcome::Failed(failure));
        }
        let young_until = renewal.young_until(facts.issued_at, facts.expires_at);
        if let Some(until) = young_until.filter(|until| now < *until) {
            return Look::Done(Outcome::Failed(Failure::too_young(until)));
        }
        if let Some(failure) = cooling(&grant, now) {
            self.memory.cool(id, facts.generation, failure.clone());
            return Look::Done(Outcome::Failed(failure));
        }
        if !grant.tokens.means.bring_client()
            && let Some(refusal) = self.breaker.refusal(&facts.client)
        {
            return Look::Done(Outcome::Failed(rejected(refusal, now)));
        }
        Look::Refresh(Box::new(grant))
    }

    /// A grant whose token expired, of a provider that renews none that has. What a call brought that was made in time
    /// may still lie in escrow.
    async fn end_expired(&self, grant: Grant) -> Look {
        match self.adopt_from_escrow(&grant).await {
            Ok(Some(outcome)) => return Look::Done(outcome),
            // An attempt that never told its end may have left something there.
            Err(NotAdopted::Escrow(error)) if grant.facts.lease.is_some() => {
                let why = format!("the token reached its end, and {error}");
                let failure = Failure::new(FailureReason::ProviderUnavailable, why);
                return Look::Done(Outcome::Failed(failure));
            }
            Ok(None) | Err(NotAdopted::Escrow(_)) => {}
            Err(NotAdopted::Store(error)) => {
                return Look::Done(Outcome::Failed(Failure::from_store(&error)));
            }
        }
        let why = "the token reached its end, and the provider renews none that has";
        self.end_without_call(grant, InvalidationReason::RefreshTokenExpired, why)
            .await
    }

    /// A grant that is known to be dead without asking its provider.
    async fn end_without_call(&self, grant: Grant, reason: InvalidationReason, why: &str) -> Look {
        let invalidation = Invalidation {
            reason,
            provider_error: String::new(),
            message: why.to_owned(),
            at: self.ports.clock.now(),
            reported: false,
        };
        Look::Done(self.invalidate(&grant, None, invalidation).await)
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

/// Whether somebody may be calling the provider now.
fn is_leased(facts: &GrantFacts) -> bool {
    facts
        .lease
        .as_ref()
        .is_some_and(|lease| !lease.left.is_zero())
}

/// The failure that still holds attempts back.
fn cooling(grant: &Grant, now: Timestamp) -> Option<Failure> {
    let attempts = &grant.facts.attempts;
    let next_at = attempts.next_at.filter(|next_at| *next_at > now)?;
    let last = attempts.last_failure.as_ref();
    Some(Failure {
        reason: last.map_or(FailureReason::ProviderUnavailable, |last| last.reason),
        message: last.map_or_else(String::new, |last| last.message.clone()),
        next_at: Some(next_at),
        cooling: true,
    })
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
