//! The end of an attempt: tokens are stored, a dead grant is told, or the next attempt is put off.

use std::convert::Infallible;
use std::time::Duration;

use tracing::{error, info, warn};

use super::attempt::Attempt;
use super::{Cause, Failure, Outcome, Refresher};
use crate::change::run::ChangeError;
use crate::change::{ChangeSet, Scope, Snapshot, plan};
use crate::clock::Timestamp;
use crate::cooldown::backoff;
use crate::coordinator::{EscrowEntry, Notice, Unreachable};
use crate::failure::FailureReason;
use crate::freshness::Validity;
use crate::grant::{
    Attempts, Grant, GrantState, Invalidation, InvalidationReason, PassingFailure, TokenSet,
};
use crate::ids::{ClientKey, Epoch};
use crate::memory::Known;
use crate::provider::{CallError, Delivery, Issued, Verdict};
use crate::store::{AttemptEnd, StoreError};

/// How often a commit is tried while the grant changes under it.
const COMMIT_TRIES: u32 = 20;
const LONGEST_COMMIT_PAUSE: Duration = Duration::from_secs(5);

impl Refresher {
    /// The provider answered with tokens: from here on nothing but a commit, or a newer generation, lets go
    /// of them.
    pub(super) async fn settle_issued(&self, attempt: Attempt<'_>, issued: Issued) -> Outcome {
        let issued_at = self.ports.clock.now();
        let entry = EscrowEntry {
            grant: attempt.grant.facts.id.clone(),
            base: attempt.grant.facts.generation,
            epoch: attempt.claimed.epoch,
            tokens: attempt.merge(issued),
            issued_at,
        };
        let (escrowed, committed) = tokio::join!(
            self.ports.escrow.put(&entry),
            self.commit(&attempt.grant, &entry)
        );
        metrics::counter!("evergrant_escrow_written_total").increment(u64::from(escrowed.is_ok()));

        let grant = match committed {
            Ok(grant) => grant,
            Err(failed) => {
                warn!(
                    grant = %entry.grant, error = %failed, escrowed = escrowed.is_ok(),
                    "the new tokens cannot be stored yet; they are served from memory"
                );
                let early = with_tokens(&attempt.grant, &entry);
                let made_for_refusal = attempt.trigger.cause == Cause::Refusal;
                if let Ok(Known::Live(live)) = self.remember(early, made_for_refusal) {
                    attempt
                        .landing
                        .announce(Outcome::Token { live, called: true });
                }
                match self.commit_later(&attempt, &entry, escrowed.is_ok()).await {
                    Some(grant) => grant,
                    None => return Outcome::Failed(Failure::from_store(&failed)),
                }
            }
        };
        let outcome = self.settle_stored(&attempt, grant, &entry);
        // Who waits here is served before the others are told.
        attempt.landing.announce(outcome.clone());
        self.tell_changed(&outcome).await;
        self.forget_escrow(&entry).await;
        self.client_accepted(&attempt.grant.facts.client).await;
        count(&attempt.grant.facts.client, "refreshed");
        outcome
    }

    /// Stores the tokens of `entry`. Answers the grant as it stands then, which is a newer one where somebody
    /// else was faster; `None` if it is gone.
    async fn commit(
        &self,
        grant: &Grant,
        entry: &EscrowEntry,
    ) -> Result<Option<Grant>, StoreError> {
        let store = &self.ports.store;
        for _ in 0..COMMIT_TRIES {
            let due_at = due_at(entry);
            let commit = store.commit(
                &entry.grant,
                entry.base,
                &entry.tokens,
                entry.issued_at,
                due_at,
            );
            match tokio::time::timeout(self.limits.store_timeout, commit).await {
                Ok(Ok(true)) => return Ok(Some(with_tokens(grant, entry))),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(StoreError::Unavailable("the commit took too long".into())),
            }
            // Not stored: by an earlier try whose answer was lost, by somebody faster, or because the grant
            // had been taken for dead.
            let Some(now) = store.grant(&entry.grant).await? else {
                self.orphan(entry, "the grant was deleted").await;
                return Ok(None);
            };
            if now.facts.generation > entry.base {
                if now.tokens != entry.tokens {
                    metrics::counter!("evergrant_superseded_total").increment(1);
                    self.orphan(entry, "a newer token set was stored first")
                        .await;
                }
                return Ok(Some(now));
            }
            let reported = |dead: &Invalidation| dead.reason == InvalidationReason::Reported;
            if now.facts.state.invalidation().is_some_and(reported) {
                // A caller's word is not undone by a call that began before it.
                self.orphan(entry, "a caller had invalidated the grant")
                    .await;
                return Ok(Some(now));
            }
            if now.facts.state.invalidation().is_some() && self.heal(entry).await? {
                metrics::counter!("evergrant_healed_total").increment(1);
                info!(grant = %entry.grant, "a grant taken for dead has a working token after all");
                return store.grant(&entry.grant).await;
            }
        }
        Err(StoreError::Unavailable("the grant keeps changing".into()))
    }

    /// Goes on trying to store the tokens, holding the leader lock, until it succeeds. `None` if the process
    /// ends while the tokens are safe in escrow.
    async fn commit_later(
        &self,
        attempt: &Attempt<'_>,
        entry: &EscrowEntry,
        mut escrowed: bool,
    ) -> Option<Option<Grant>> {
        let mut pause = Duration::from_millis(100);
        loop {
            let stop = async {
                if escrowed {
                    self.stop.cancelled().await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(fastrand::f64())) => {}
                () = stop => return None,
            }
            pause = (pause * 2).min(LONGEST_COMMIT_PAUSE);
            attempt.held.renew().await;
            if !escrowed {
                escrowed = self.ports.escrow.put(entry).await.is_ok();
            }
            match self.commit(&attempt.grant, entry).await {
                Ok(grant) => return Some(grant),
                Err(failed) => warn!(grant = %entry.grant, error = %failed, "still not stored"),
            }
        }
    }

    fn settle_stored(
        &self,
        attempt: &Attempt<'_>,
        grant: Option<Grant>,
        entry: &EscrowEntry,
    ) -> Outcome {
        let Some(grant) = grant else {
            self.memory.forget(&entry.grant);
            return Outcome::Gone;
        };
        let is_ours = grant.tokens == entry.tokens;
        let made_for_refusal = is_ours && attempt.trigger.cause == Cause::Refusal;
        match self.remember(grant, made_for_refusal) {
            Ok(Known::Live(live)) => Outcome::Token {
                live,
                called: is_ours,
            },
            Ok(Known::Dead(dead)) => Outcome::Dead(dead),
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// Stores what a crashed or cut-off leader left behind for exactly this generation. `None` if nothing is
    /// there.
    pub(super) async fn adopt_from_escrow(
        &self,
        grant: &Grant,
    ) -> Result<Option<Outcome>, NotAdopted> {
        let found = self
            .ports
            .escrow
            .find(&grant.facts.id, grant.facts.generation)
            .await;
        match found {
            Ok(Some(entry)) => {
                let adopted = self.adopt(grant, &entry).await;
                adopted.map(Some).map_err(NotAdopted::Store)
            }
            Ok(None) => Ok(None),
            Err(error) => Err(NotAdopted::Escrow(error)),
        }
    }

    async fn adopt(&self, grant: &Grant, entry: &EscrowEntry) -> Result<Outcome, StoreError> {
        let stored = self.commit(grant, entry).await?;
        metrics::counter!("evergrant_escrow_adopted_total").increment(1);
        info!(grant = %entry.grant, base = %entry.base, "adopted a token set from escrow");
        self.forget_escrow(entry).await;
        let Some(stored) = stored else {
            self.memory.forget(&entry.grant);
            return Ok(Outcome::Gone);
        };
        let outcome = self.outcome_of(stored);
        self.tell_changed(&outcome).await;
        Ok(outcome)
    }

    /// Stores what this process itself left behind in an earlier life. Answers how many token sets were
    /// stored. To be called before serving.
    pub async fn replay_escrow(&self) -> Result<u64, StoreError> {
        let entries = self
            .ports
            .escrow
            .left_behind()
            .await
            .unwrap_or_else(|error| {
                error!(%error, "what was left in escrow cannot be read");
                Vec::new()
            });
        let mut replayed = 0;
        for entry in entries {
            let grant = self.ports.store.grant(&entry.grant).await?;
            match grant {
                Some(grant) if grant.facts.generation == entry.base => {
                    self.commit(&grant, &entry).await?;
                    replayed += 1;
                    metrics::counter!("evergrant_escrow_replayed_total").increment(1);
                    info!(grant = %entry.grant, base = %entry.base, "stored a token set left behind");
                }
                Some(grant) if grant.tokens == entry.tokens => {}
                _ => {
                    let (id, reason) =
                        (&entry.grant, "found in escrow after a newer one was stored");
                    let store = &self.ports.store;
                    store
                        .keep_orphan(id, entry.base, &entry.tokens, reason)
                        .await?;
                }
            }
            self.forget_escrow(&entry).await;
        }
        Ok(replayed)
    }

    /// The provider answered without tokens, or not at all.
    pub(super) async fn settle_failed(
        &self,
        mut attempt: Attempt<'_>,
        mut error: CallError,
    ) -> Outcome {
        let client = attempt.grant.facts.client.clone();
        if let Verdict::Grant(_) = error.verdict {
            match self.confirm_refusal(&mut attempt, &error).await {
                Confirmed::Refused(reason) => {
                    return self.refused(&attempt, reason, &error).await;
                }
                Confirmed::Settled(outcome) => return outcome,
                Confirmed::Issued(issued) => return self.settle_issued(attempt, *issued).await,
                Confirmed::Failed(second) => error = second,
                Confirmed::Unknown(failure) => {
                    return self.defer(&attempt, failure, attempt.ambiguous, None).await;
                }
            }
        }
        let reason = match error.verdict {
            Verdict::Client => {
                self.client_rejected(&client, &error).await;
                let now = self.ports.clock.now();
                let end =
                    if attempt.ambiguous && attempt.spends_refresh_token(self.rotation(&client)) {
                        // No grant waits for its client, but an earlier call's answer may be lost.
                        AttemptEnd::Deferred {
                            next_at: now,
                            failure: PassingFailure {
                                reason: FailureReason::ClientRejected,
                                message: error.message.clone(),
                            },
                            ambiguous: true,
                        }
                    } else {
                        AttemptEnd::Unused
                    };
                self.end_attempt(&attempt, end).await;
                count(&client, "client_rejected");
                let mut failure = Failure::new(FailureReason::ClientRejected, error.message);
                failure.next_at = self
                    .breaker
                    .refusal(&client)
                    .map(|refusal| now.plus(refusal.retry_after));
                return self.failed(&attempt, failure).await;
            }
            Verdict::RateLimit => FailureReason::ProviderRateLimited,
            Verdict::Request | Verdict::Protocol => FailureReason::ProviderProtocolError,
            Verdict::Transient | Verdict::Grant(_) => FailureReason::ProviderUnavailable,
        };
        count(&client, reason.as_str());
        warn!(
            grant = %attempt.grant.facts.id, %client, code = error.code, error = %error.message, %reason,
            "a refresh failed for a reason that may pass"
        );

        let answered_oddly = matches!(error.verdict, Verdict::Transient | Verdict::Protocol)
            && error.delivery != Delivery::NotSent;
        let may_be_spent = attempt.ambiguous || answered_oddly;
        let failure = Failure::new(reason, error.message);
        self.defer(&attempt, failure, may_be_spent, error.retry_after)
            .await
    }

    /// Puts the next attempt off. `may_be_spent`: whether the refresh token is, if uses spend it.
    async fn defer(
        &self,
        attempt: &Attempt<'_>,
        mut failure: Failure,
        may_be_spent: bool,
        retry_after: Option<Duration>,
    ) -> Outcome {
        let rotation = self.rotation(&attempt.grant.facts.client);
        let failed = attempt.grant.facts.attempts.failed.saturating_add(1);
        let next_at = self.ports.clock.now().plus(backoff(failed, retry_after));
        let end = AttemptEnd::Deferred {
            next_at,
            failure: PassingFailure {
                reason: failure.reason,
                message: failure.message.clone(),
            },
            ambiguous: may_be_spent && attempt.spends_refresh_token(rotation),
        };
        self.end_attempt(attempt, end).await;
        failure.next_at = Some(next_at);
        let (id, generation) = (&attempt.grant.facts.id, attempt.grant.facts.generation);
        let cooling = Failure {
            cooling: true,
            ..failure.clone()
        };
        self.memory.cool(id, generation, cooling);
        self.failed(attempt, failure).await
    }

    async fn failed(&self, attempt: &Attempt<'_>, failure: Failure) -> Outcome {
        let notice = Notice::RefreshFailed {
            grant: attempt.grant.facts.id.clone(),
            generation: attempt.grant.facts.generation,
        };
        self.ports.bus.publish(notice).await;
        Outcome::Failed(failure)
    }

    /// The provider refused the refresh token. Before the grant is taken for dead: is there a newer one, is
    /// its successor in escrow, may an earlier holder of the lease still be about to store it?
    async fn confirm_refusal(&self, attempt: &mut Attempt<'_>, error: &CallError) -> Confirmed {
        let Verdict::Grant(reason) = error.verdict else {
            return Confirmed::Failed(error.clone());
        };
        let profile = self
            .ports
            .providers
            .profile(&attempt.grant.facts.client)
            .ok();
        let rotation = profile.as_ref().map(|profile| profile.rotation);
        let may_be_spent = attempt.ambiguous && attempt.spends_refresh_token(rotation);
        match self.newer_than(&attempt.grant, may_be_spent).await {
            Ok(None) => {}
            Ok(Some(outcome)) => return Confirmed::Settled(outcome),
            Err(failure) => return Confirmed::Unknown(failure),
        }
        if attempt.claimed.takeover && may_be_spent {
            let window = self.limits.attempt_timeout + self.limits.store_timeout;
            tokio::time::sleep(window).await;
            match self.newer_than(&attempt.grant, may_be_spent).await {
                Ok(None) => {}
                Ok(Some(outcome)) => return Confirmed::Settled(outcome),
                Err(failure) => return Confirmed::Unknown(failure),
            }
        } else if profile.is_some_and(|profile| profile.flaky_refusals) {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1_000..2_000))).await;
            match self.call_once(attempt).await {
                Some(Ok(issued)) => return Confirmed::Issued(Box::new(issued)),
                Some(Err(second)) if !matches!(second.verdict, Verdict::Grant(_)) => {
                    return Confirmed::Failed(second);
                }
                Some(Err(_)) | None => {}
            }
        }
        let reason = match reason {
            InvalidationReason::GrantRevoked if may_be_spent => InvalidationReason::RotationLost,
            reason => reason,
        };
        Confirmed::Refused(reason)
    }

    /// What the row or the escrow has that is newer than `grant`, whose refresh token was refused. An error:
    /// they cannot tell, and nothing may be invalidated that cannot be compared with what is kept. An escrow
    /// out of reach matters only where the refresh token may be spent, since only then it holds something.
    async fn newer_than(
        &self,
        grant: &Grant,
        may_be_spent: bool,
    ) -> Result<Option<Outcome>, Failure> {
        match self.ports.store.grant(&grant.facts.id).await {
            Ok(Some(now)) if now.facts.generation > grant.facts.generation => {
                metrics::counter!("evergrant_race_recoveries_total").increment(1);
                info!(grant = %grant.facts.id, "refused, but somebody had stored a newer token set");
                return Ok(Some(self.outcome_of(now)));
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Some(Outcome::Gone)),
            Err(error) => return Err(Failure::from_store(&error)),
        }
        match self.adopt_from_escrow(grant).await {
            Ok(adopted) => Ok(adopted),
            Err(NotAdopted::Store(error)) => Err(Failure::from_store(&error)),
            Err(NotAdopted::Escrow(error)) if may_be_spent => Err(Failure::new(
                FailureReason::ProviderUnavailable,
                format!("the provider refused a refresh token that may be spent, and {error}"),
            )),
            Err(NotAdopted::Escrow(_)) => Ok(None),
        }
    }

    async fn refused(
        &self,
        attempt: &Attempt<'_>,
        reason: InvalidationReason,
        error: &CallError,
    ) -> Outcome {
        let invalidation = Invalidation {
            reason,
            provider_error: error.code.clone(),
            message: error.message.clone(),
            at: self.ports.clock.now(),
        };
        count(&attempt.grant.facts.client, "invalidated");
        self.invalidate(&attempt.grant, Some(attempt.claimed.epoch), invalidation)
            .await
    }

    /// Marks the grant dead and tells it, unless it moved on meanwhile.
    pub(super) async fn invalidate(
        &self,
        grant: &Grant,
        epoch: Option<Epoch>,
        invalidation: Invalidation,
    ) -> Outcome {
        let id = &grant.facts.id;
        let change = self
            .change(&Scope::Grant(id.clone()), |snapshot| {
                plan::invalidate(
                    snapshot,
                    id,
                    grant.facts.generation,
                    epoch,
                    invalidation.clone(),
                )
            })
            .await;
        match change {
            Ok(true) => warn!(
                grant = %id, client = %grant.facts.client, generation = %grant.facts.generation,
                reason = ?invalidation.reason, code = invalidation.provider_error,
                "the grant is dead until its user connects again"
            ),
            Ok(false) => {}
            Err(error) => return Outcome::Failed(Failure::from_store(&error)),
        }
        let outcome = match self.ports.store.grant(id).await {
            Ok(Some(now)) => self.outcome_of(now),
            Ok(None) => Outcome::Gone,
            Err(error) => Outcome::Failed(Failure::from_store(&error)),
        };
        self.tell_changed(&outcome).await;
        outcome
    }

    async fn heal(&self, entry: &EscrowEntry) -> Result<bool, StoreError> {
        self.change(&Scope::Grant(entry.grant.clone()), |snapshot| {
            let (tokens, due_at) = (entry.tokens.clone(), due_at(entry));
            plan::heal(
                snapshot,
                &entry.grant,
                entry.base,
                tokens,
                entry.issued_at,
                due_at,
            )
        })
        .await
    }

    async fn client_rejected(&self, client: &ClientKey, error: &CallError) {
        if !self.breaker.reject(client, &error.code, &error.message) {
            return;
        }
        error!(
            %client, code = error.code, error = %error.message,
            "the provider rejects this OAuth client; no credential is harmed, an operator must act"
        );
        let told = self
            .change(&Scope::Client(client.clone()), |snapshot| {
                plan::client_rejected(snapshot, client, &error.code, &error.message)
            })
            .await;
        if let Err(error) = told {
            self.breaker.untold(client);
            warn!(%client, %error, "the rejection could not be told yet");
        }
    }

    async fn client_accepted(&self, client: &ClientKey) {
        if !self.breaker.accept(client) {
            return;
        }
        let told = self
            .change(&Scope::Client(client.clone()), |snapshot| {
                plan::client_recovered(snapshot, client)
            })
            .await;
        match told {
            Ok(true) => info!(%client, "the provider accepts this OAuth client again"),
            Ok(false) => {}
            Err(error) => {
                self.breaker.untold(client);
                warn!(%client, %error, "whether this client recovered could not be told yet");
            }
        }
    }

    /// Runs a change that nobody can refuse. `false` if there was nothing to change.
    async fn change(
        &self,
        scope: &Scope,
        plan: impl Fn(&Snapshot) -> Option<ChangeSet> + Send + Sync,
    ) -> Result<bool, StoreError> {
        let done = self
            .changes
            .run(scope, |snapshot| {
                Ok::<_, Infallible>(plan(snapshot).map(|change| (change, ())))
            })
            .await;
        match done {
            Ok(done) => Ok(done.is_some()),
            Err(ChangeError::Store(error)) => Err(error),
            Err(ChangeError::Refused(never)) => match never {},
        }
    }

    async fn tell_changed(&self, outcome: &Outcome) {
        let (grant, generation, version) = match outcome {
            Outcome::Token { live, .. } => {
                let facts = &live.grant.facts;
                (facts.id.clone(), facts.generation, facts.version)
            }
            Outcome::Dead(dead) => (dead.id.clone(), dead.generation, dead.version),
            Outcome::Failed(_) | Outcome::Gone | Outcome::Busy => return,
        };
        let notice = Notice::GrantChanged {
            grant,
            generation,
            version,
        };
        self.ports.bus.publish(notice).await;
    }

    async fn forget_escrow(&self, entry: &EscrowEntry) {
        if let Err(error) = self.ports.escrow.remove(&entry.grant, entry.base).await {
            tracing::debug!(grant = %entry.grant, %error, "an escrow entry will expire by itself");
        }
    }

    /// No rotated token vanishes: what cannot become the row's next generation is kept aside (invariant R8).
    async fn orphan(&self, entry: &EscrowEntry, reason: &str) {
        let kept = self
            .ports
            .store
            .keep_orphan(&entry.grant, entry.base, &entry.tokens, reason)
            .await;
        if let Err(error) = kept {
            error!(grant = %entry.grant, %error, "a superseded token set could not be kept");
        }
    }

    fn rotation(&self, client: &ClientKey) -> Option<crate::provider::Rotation> {
        let profile = self.ports.providers.profile(client).ok()?;
        Some(profile.rotation)
    }
}

/// What remains of a refusal once it was confirmed.
enum Confirmed {
    /// The refresh token is really no good.
    Refused(InvalidationReason),
    /// There is something newer.
    Settled(Outcome),
    /// A second call brought tokens.
    Issued(Box<Issued>),
    /// A second call failed of something else.
    Failed(CallError),
    /// Nobody can tell now.
    Unknown(Failure),
}

/// Why nothing was adopted from escrow although something may be there.
pub(super) enum NotAdopted {
    /// The escrow is out of reach.
    Escrow(Unreachable),
    /// Something is there, and cannot be stored now.
    Store(StoreError),
}

/// The grant as a commit of `entry` leaves it.
fn with_tokens(grant: &Grant, entry: &EscrowEntry) -> Grant {
    let tokens: &TokenSet = &entry.tokens;
    let mut facts = grant.facts.clone();
    facts.generation = entry.base.next();
    facts.version += 1;
    facts.state = GrantState::Active;
    facts.issued_at = entry.issued_at;
    facts.expires_at = tokens.expires_at;
    facts.refresh_expires_at = tokens.refresh_expires_at;
    facts.refreshable = tokens.refresh_token.is_some();
    facts.scopes.clone_from(&tokens.scopes);
    facts.attempts = Attempts::default();
    facts.lease = None;
    Grant {
        facts,
        tokens: tokens.clone(),
    }
}

fn due_at(entry: &EscrowEntry) -> Option<Timestamp> {
    Validity::new(&entry.grant, entry.issued_at, entry.tokens.expires_at).due_at(&entry.tokens)
}

fn count(client: &ClientKey, outcome: &'static str) {
    metrics::counter!(
        "evergrant_refreshes_total",
        "provider" => client.provider.to_string(),
        "client" => client.client.to_string(),
        "outcome" => outcome
    )
    .increment(1);
}
