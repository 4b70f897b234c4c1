//! A look at the row of a grant: is there anything to do, and may it be done now?

use std::time::Duration;

use super::flight::rejected;
use super::settle::NotAdopted;
use super::{Cause, Failure, Outcome, Refresher, Trigger};
use crate::change::Scope;
use crate::clock::Timestamp;
use crate::failure::FailureReason;
use crate::grant::{Grant, GrantFacts, Invalidation, InvalidationReason};
use crate::ids::GrantId;
use crate::store::StoreError;

/// So far the clocks of replicas may be apart: the store's is waited for.
const APART: Duration = Duration::from_secs(2);

/// What a look at the row says.
pub(super) enum Look {
    Done(Outcome),
    Refresh(Box<Grant>),
}

/// Whether a token has ended.
enum Ended {
    No,
    /// By this replica's clock, and not by the store's.
    HereAlone,
    Yes,
}

impl Refresher {
    /// Reads the row and decides whether there is anything to do.
    pub(super) async fn look(&self, id: &GrantId, trigger: Trigger) -> Look {
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
        if !renewal.can_renew(facts.grant_type, facts.refreshable) {
            if trigger.cause != Cause::Refusal {
                match self.has_ended(facts, now).await {
                    Ok(Ended::No) => return Look::Done(self.outcome_of(grant)),
                    Ok(Ended::HereAlone) => return Look::Done(Outcome::Failed(is_ahead())),
                    Ok(Ended::Yes) => {}
                    Err(error) => {
                        return Look::Done(Outcome::Failed(Failure::from_store(&error)));
                    }
                }
            }
            let why = "the access token is no longer good and there is no refresh token";
            return self
                .end_without_call(grant, InvalidationReason::NotRefreshable, why)
                .await;
        }
        if renewal.only_while_valid && !is_leased(facts) {
            match self.has_ended(facts, now).await {
                Ok(Ended::Yes) => return self.end_expired(grant).await,
                // The provider knows the time.
                Ok(Ended::No | Ended::HereAlone) => {}
                Err(error) => return Look::Done(Outcome::Failed(Failure::from_store(&error))),
            }
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

    /// Whether the access token has ended. What is dead of it is so for all replicas, and one of them may have a clock that
    /// is ahead: the store's, which all of them share, must say so as well.
    async fn has_ended(&self, facts: &GrantFacts, now: Timestamp) -> Result<Ended, StoreError> {
        let Some(end) = facts.expires_at.filter(|end| *end <= now) else {
            return Ok(Ended::No);
        };
        let scope = Scope::Grant(facts.id.clone());
        let snapshot = self.ports.store.snapshot(&scope).await?;
        let left = end.since(snapshot.now);
        if left > APART {
            return Ok(Ended::HereAlone);
        }
        tokio::time::sleep(left).await;
        Ok(Ended::Yes)
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
        let died = self.invalidate(&grant, None, invalidation).await;
        let outcome = died.unwrap_or_else(|error| Outcome::Failed(Failure::from_store(&error)));
        Look::Done(outcome)
    }
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

/// The failure of a replica that would have to believe its own clock alone.
fn is_ahead() -> Failure {
    Failure::new(
        FailureReason::Internal,
        "the access token has ended by the clock of this replica, which is ahead of the database's",
    )
}
