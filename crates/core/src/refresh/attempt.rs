//! One attempt of a leader: lease, escrow, call.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument as _, debug, info, info_span};

use super::flight::rejected;
use super::record::Record;
use super::settle::NotAdopted;
use super::{Cause, Failure, Outcome, Refresher, Subject, Trigger};
use crate::budget::Place;
use crate::grant::Grant;
use crate::ids::{Epoch, Generation, GrantId};
use crate::leader::Held;
use crate::memory::Origin;
use crate::provider::{CallError, Delivery, Issued, Rotation, Verdict};
use crate::singleflight::Landing;
use crate::store::{AttemptEnd, Claimed};

/// What came of leading.
pub(super) enum Led {
    /// The flight is over.
    Ended(Outcome),
    /// Somebody else holds the lease, or the grant moved on.
    LookAgain,
}

/// What a flight brings to its attempts.
pub(super) struct Wanted<'a> {
    pub(super) trigger: Trigger,
    pub(super) subject: &'a Subject,
    pub(super) landing: &'a Landing<GrantId, Outcome>,
    /// The lease under which this flight has waited for what an earlier attempt may still store. The next lease needs no
    /// such wait, unless somebody else held one in between.
    pub(super) outwaited: Option<Epoch>,
}

/// How the grant stands that another is derived from.
enum Parent {
    /// It works and is of this generation; `None` if there is no other grant.
    Works(Option<(GrantId, Generation)>),
    /// It is gone or dead.
    Gone,
}

/// An attempt that holds the lease.
pub(super) struct Attempt<'a> {
    pub(super) grant: Grant,
    pub(super) trigger: Trigger,
    subject: &'a Subject,
    /// The generation of the grant that this one is derived from, as it was before the call.
    pub(super) parent: Option<(GrantId, Generation)>,
    pub(super) claimed: Claimed,
    pub(super) place: &'a Place,
    pub(super) held: &'a Held,
    pub(super) landing: &'a Landing<GrantId, Outcome>,
    outwaited: &'a mut Option<Epoch>,
    record: &'a mut Record,
    /// When the claim was sent: the lease cannot run out before `lease` after this.
    started: Instant,
    /// Whether the refresh token may have been spent by a call whose answer nobody has.
    pub(super) ambiguous: bool,
}

impl Refresher {
    pub(super) async fn lead(
        &self,
        grant: Grant,
        wanted: &mut Wanted<'_>,
        place: &Place,
        held: &Held,
    ) -> Led {
        let started = Instant::now();
        let (id, generation) = (&grant.facts.id, grant.facts.generation);
        let claim = self
            .ports
            .store
            .claim(id, generation, held.owner(), self.limits.lease)
            .instrument(info_span!("lease"))
            .await;
        let claimed = match claim {
            Ok(Some(claimed)) => claimed,
            Ok(None) => {
                metrics::counter!("evergrant_lease_waits_total").increment(1);
                return match self.adopt_from_escrow(&grant).await {
                    Ok(Some(outcome)) => Led::Ended(outcome),
                    Ok(None) | Err(_) => Led::LookAgain,
                };
            }
            // Without the lease nobody may call: fail closed.
            Err(error) => {
                self.give_back_lost_lease(id, held).await;
                return Led::Ended(Outcome::Failed(Failure::from_store(&error)));
            }
        };
        // What is minted spends nothing, so no call of an earlier attempt is missed.
        let claimed = Claimed {
            takeover: claimed.takeover && !grant.facts.grant_type.is_minted(),
            ..claimed
        };
        if claimed.takeover {
            metrics::counter!("evergrant_lease_takeovers_total").increment(1);
            info!(grant = %id, generation = generation.0, "took over an attempt that never told its end");
        }
        let mut record = self.begin_record(&grant.facts, wanted.trigger, &claimed);
        let attempt = Attempt {
            ambiguous: claimed.takeover,
            parent: None,
            grant,
            trigger: wanted.trigger,
            subject: wanted.subject,
            claimed,
            place,
            held,
            landing: wanted.landing,
            outwaited: &mut wanted.outwaited,
            record: &mut record,
            started,
        };
        let led = self.attempt(attempt).await;
        if let Led::Ended(outcome) = &led {
            self.note(record, outcome);
        }
        led
    }

    /// What follows once the lease is held.
    async fn attempt(&self, mut attempt: Attempt<'_>) -> Led {
        match self.obtained_already(&mut attempt).await {
            Ok(None) => {}
            Ok(Some(outcome)) => return Led::Ended(outcome),
            Err(failure) => {
                self.end_attempt(&attempt, AttemptEnd::Unused).await;
                return Led::Ended(Outcome::Failed(failure));
            }
        }
        match self.parent(&attempt.grant).await {
            Ok(Parent::Works(parent)) => attempt.parent = parent,
            Ok(Parent::Gone) => {
                self.end_attempt(&attempt, AttemptEnd::Unused).await;
                return Led::Ended(Outcome::Gone);
            }
            Err(failure) => {
                self.end_attempt(&attempt, AttemptEnd::Unused).await;
                return Led::Ended(Outcome::Failed(failure));
            }
        }
        let admitted = if attempt.brings_client() {
            Ok(None)
        } else {
            self.breaker.admit(&attempt.grant.facts.client)
        };
        let mut probe = match admitted {
            Ok(probe) => probe,
            Err(refusal) => {
                self.end_attempt(&attempt, AttemptEnd::Unused).await;
                let failure = rejected(refusal, self.ports.clock.now());
                return Led::Ended(Outcome::Failed(failure));
            }
        };
        let answer = self.call(&mut attempt).await;
        if let (Some(probe), Some(answer)) = (&mut probe, &answer)
            && !answer.as_ref().is_err_and(CallError::is_no_call)
        {
            probe.called();
        }
        match answer {
            Some(Ok(issued)) => Led::Ended(self.settle_issued(attempt, issued).await),
            Some(Err(error)) => Led::Ended(self.settle_failed(attempt, error).await),
            None => {
                self.end_attempt(&attempt, AttemptEnd::Unused).await;
                Led::LookAgain
            }
        }
    }

    /// The grant whose means are about to be used, where that is another one.
    async fn parent(&self, grant: &Grant) -> Result<Parent, Failure> {
        let Some(id) = &grant.facts.parent else {
            return Ok(Parent::Works(None));
        };
        match self.ports.store.grant(id).await {
            Ok(Some(parent)) if parent.facts.state.invalidation().is_none() => {
                Ok(Parent::Works(Some((id.clone(), parent.facts.generation))))
            }
            Ok(_) => Ok(Parent::Gone),
            Err(error) => Err(Failure::from_store(&error)),
        }
    }

    /// What somebody obtained before this attempt with the same refresh token. An error: it cannot be stored
    /// now, and the refresh token that bought it must not be sent again.
    async fn obtained_already(
        &self,
        attempt: &mut Attempt<'_>,
    ) -> Result<Option<Outcome>, Failure> {
        match self.adopt_from_escrow(&attempt.grant).await {
            Ok(adopted) => Ok(adopted),
            Err(NotAdopted::Store(error)) => Err(Failure::from_store(&error)),
            Err(NotAdopted::Escrow(_)) => {
                let rotation = self.rotation(&attempt.grant.facts.client);
                if !attempt.ambiguous || !attempt.spends_refresh_token(rotation) {
                    return Ok(None);
                }
                // An escrow out of reach holds nobody up for longer than its owner may take to store what
                // lies in it. If no call fits into what the wait left of the lease, the next one is for the call.
                if !attempt.follows_own_wait() {
                    tokio::time::sleep(self.limits.confirm_window()).await;
                }
                *attempt.outwaited = Some(attempt.claimed.epoch);
                self.newer_than(&attempt.grant, false).await
            }
        }
    }

    /// Calls the provider, and once more where the first call brought no answer and the lease allows it.
    /// `None`: the lease no longer allows a call, and none was made.
    async fn call(&self, attempt: &mut Attempt<'_>) -> Option<Result<Issued, CallError>> {
        let mut error = match self.call_once(attempt).await? {
            Ok(issued) => return Some(Ok(issued)),
            Err(error) => error,
        };
        let nothing_came = error.delivery != Delivery::Answered;
        if error.verdict == Verdict::Transient && nothing_came {
            attempt.ambiguous |= error.delivery == Delivery::Unknown;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(50..250))).await;
            if let Some(again) = self.call_once(attempt).await {
                metrics::counter!("evergrant_in_lease_retries_total").increment(1);
                match again {
                    Ok(issued) => return Some(Ok(issued)),
                    Err(second) => error = second,
                }
            }
        }
        Some(Err(error))
    }

    /// One call, if the lease outlasts it and the commit that follows.
    pub(super) async fn call_once(
        &self,
        attempt: &mut Attempt<'_>,
    ) -> Option<Result<Issued, CallError>> {
        let needed = self.limits.attempt_timeout + self.limits.store_timeout;
        let left = self.limits.lease.saturating_sub(attempt.started.elapsed());
        if left < needed {
            metrics::counter!("evergrant_lease_losses_total").increment(1);
            let left_seconds = left.as_secs_f64();
            debug!(grant = %attempt.grant.facts.id, left_seconds, "the lease is too short for a call");
            return None;
        }
        if attempt.claimed.takeover {
            metrics::counter!("evergrant_recovery_calls_total").increment(1);
        }
        let client = &attempt.grant.facts.client;
        let mut grant = Cow::Borrowed(&attempt.grant);
        if attempt.subject.0.is_some() {
            let means = &mut grant.to_mut().tokens.means;
            means.subject_token.clone_from(&attempt.subject.0);
        }
        attempt.place.call();
        attempt.record.call();
        let began = Instant::now();
        let answer = self
            .ports
            .providers
            .refresh(&grant, self.limits.attempt_timeout)
            .await;
        metrics::histogram!("evergrant_provider_call_seconds", "provider" => client.provider.to_string())
            .record(began.elapsed().as_secs_f64());
        if let Err(error) = &answer {
            attempt.record.error(error);
        }
        Some(answer)
    }

    /// Gives back a lease that was taken although the answer to the claim was lost.
    pub(super) async fn give_back_lost_lease(&self, id: &GrantId, held: &Held) {
        let store = &self.ports.store;
        let Ok(Some(grant)) = store.grant(id).await else {
            return;
        };
        if let Some(lease) = grant.facts.lease
            && lease.owner == *held.owner()
            && let Err(error) = store.end_attempt(id, lease.epoch, AttemptEnd::Unused).await
        {
            debug!(grant = %id, %error, "the lease will run out");
        }
    }

    /// Gives the lease back. A failure is logged: the lease then ends by itself. Answers whether the store heard of it.
    pub(super) async fn end_attempt(&self, attempt: &Attempt<'_>, end: AttemptEnd) -> bool {
        let (id, epoch) = (&attempt.grant.facts.id, attempt.claimed.epoch);
        match self.ports.store.end_attempt(id, epoch, end).await {
            Ok(true) => {}
            Ok(false) => debug!(grant = %id, "the lease had been taken over"),
            Err(error) => {
                debug!(grant = %id, %error, "the lease will run out");
                return false;
            }
        }
        true
    }
}

impl Attempt<'_> {
    /// Whether this flight has waited already, and nobody has held a lease since.
    fn follows_own_wait(&self) -> bool {
        let before = self.claimed.epoch.0.checked_sub(1);
        before.is_some_and(|before| *self.outwaited == Some(Epoch(before)))
    }

    /// How `grant` came to be, which has the tokens that this attempt brought.
    pub(super) fn origin_of(&self, grant: &Grant) -> Origin {
        let before = self.grant.facts.version;
        Origin {
            over: (grant.facts.version <= before + 1).then_some(before),
            for_refusal: self.trigger.cause == Cause::Refusal,
        }
    }

    /// Whether it speaks for an OAuth client of its own, so that what the provider says of the client, and of its
    /// grants, says nothing of the configured one.
    pub(super) fn brings_client(&self) -> bool {
        self.grant.tokens.means.bring_client()
    }

    /// Whether a call that may have been acted on spends the refresh token.
    pub(super) fn spends_refresh_token(&self, rotation: Option<Rotation>) -> bool {
        let is_minted = self.grant.facts.grant_type.is_minted();
        !is_minted && !matches!(rotation, Some(Rotation::None | Rotation::Rotates))
    }
}
