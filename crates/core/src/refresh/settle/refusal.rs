//! The provider refused the refresh token: is the grant really dead?

use std::time::Duration;

use tracing::{info, warn};

use super::escrow::NotAdopted;
use crate::change::{Scope, plan};
use crate::failure::FailureReason;
use crate::grant::{Grant, Invalidation, InvalidationReason};
use crate::ids::{Epoch, GrantId};
use crate::provider::{CallError, Issued, Verdict};
use crate::refresh::attempt::Attempt;
use crate::refresh::{Failure, Outcome, Refresher};
use crate::store::StoreError;

/// How long to wait between tries to tell the store that an attempt ended.
const PATIENCE: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// What remains of a refusal once it was confirmed.
pub(super) enum Confirmed {
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

impl Refresher {
    /// The provider refused the refresh token. Before the grant is taken for dead: is there a newer one, is
    /// its successor in escrow, may an earlier holder of the lease still be about to store it?
    pub(super) async fn confirm_refusal(
        &self,
        attempt: &mut Attempt<'_>,
        error: &CallError,
    ) -> Confirmed {
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
            tokio::time::sleep(self.limits.confirm_window()).await;
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
        let facts = &attempt.grant.facts;
        let ends = [facts.refresh_expires_at, facts.dates.end.map(|end| end.at)];
        let now = self.ports.clock.now();
        let has_ended = ends.into_iter().flatten().any(|end| end <= now);
        let reason = match reason {
            InvalidationReason::GrantRevoked if may_be_spent => InvalidationReason::RotationLost,
            InvalidationReason::GrantRevoked if has_ended => {
                InvalidationReason::RefreshTokenExpired
            }
            reason => reason,
        };
        Confirmed::Refused(reason)
    }

    /// What the row or the escrow has that is newer than `grant`. An error: they cannot tell, and nothing may
    /// be invalidated that cannot be compared with what is kept. An escrow
    /// out of reach matters only where the refresh token may be spent, since only then it holds something.
    pub(in crate::refresh) async fn newer_than(
        &self,
        grant: &Grant,
        may_be_spent: bool,
    ) -> Result<Option<Outcome>, Failure> {
        match self.ports.store.grant(&grant.facts.id).await {
            Ok(Some(now)) if now.facts.generation > grant.facts.generation => {
                metrics::counter!("evergrant_race_recoveries_total").increment(1);
                info!(grant = %grant.facts.id, "somebody had stored a newer token set");
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

    /// Marks the grant dead and tells it, unless it moved on meanwhile. An error: that could not be stored.
    pub(in crate::refresh) async fn invalidate(
        &self,
        grant: &Grant,
        epoch: Option<Epoch>,
        invalidation: Invalidation,
    ) -> Result<Outcome, StoreError> {
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
            .await?;
        Ok(match change {
            true => self.tell_dead(grant, &invalidation).await,
            false => self.tell_now(id).await,
        })
    }

    /// Ends an attempt whose refusal could not be confirmed or stored, with a little patience and while nobody waits for it.
    /// The next one asks the provider again, and is told the same: were the lease left to run out instead, it would look
    /// like a call whose answer was lost.
    pub(super) async fn refused_in_vain(
        &self,
        attempt: &Attempt<'_>,
        mut failure: Failure,
    ) -> Outcome {
        let may_be_spent = attempt.ambiguous;
        for pause in PATIENCE {
            if self
                .end_deferred(attempt, &mut failure, may_be_spent, None)
                .await
            {
                break;
            }
            attempt.landing.announce(Outcome::Failed(failure.clone()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => break,
            }
        }
        // Nothing is remembered: what could not be told may have been stored all the same, and the row knows.
        self.tell_failed(attempt, failure).await
    }

    pub(super) async fn tell_dead(&self, grant: &Grant, invalidation: &Invalidation) -> Outcome {
        let facts = &grant.facts;
        warn!(
            grant = %facts.id, client = %facts.client, generation = facts.generation.0,
            reason = invalidation.reason.as_str(), code = invalidation.provider_error,
            "the grant is dead until its user connects again"
        );
        self.tell_now(&facts.id).await
    }

    /// Tells how the grant stands now.
    pub(super) async fn tell_now(&self, id: &GrantId) -> Outcome {
        let outcome = match self.ports.store.grant(id).await {
            Ok(Some(now)) => self.outcome_of(now),
            Ok(None) => Outcome::Gone,
            Err(error) => Outcome::Failed(Failure::from_store(&error)),
        };
        self.tell_changed(&outcome).await;
        outcome
    }
}
