//! A refusal ends a grant, or is held while the provider refuses too many of a client.

use tracing::{error, info, warn};

use super::count;
use crate::brake::{Brake, PROBE_EVERY, Verdict};
use crate::change::plan::{self, Refused, RefusedMeans};
use crate::change::{Scope, Snapshot};
use crate::grant::{Invalidation, InvalidationReason, PassingFailure};
use crate::ids::{ClientKey, Generation, GrantId};
use crate::provider::{CallError, Delivery};
use crate::refresh::attempt::Attempt;
use crate::refresh::{Failure, Outcome, Refresher};
use crate::store::StoreError;

/// How many held grants are read at a time.
const PAGE: u32 = 200;

impl Refresher {
    /// The provider refused the refresh token, and nothing newer was found.
    pub(super) async fn refused(
        &self,
        attempt: &Attempt<'_>,
        reason: InvalidationReason,
        error: &CallError,
    ) -> Outcome {
        let (grant, epoch) = (&attempt.grant, attempt.claimed.epoch);
        let (id, client) = (&grant.facts.id, &grant.facts.client);
        let invalidation = Invalidation {
            reason,
            provider_error: error.code.clone(),
            message: error.message.clone(),
            at: self.ports.clock.now(),
            reported: false,
        };
        if let Some((parent, generation)) = &attempt.parent {
            return self
                .refused_derived(attempt, parent, *generation, invalidation, error)
                .await;
        }
        if !concerns_client(attempt, error) {
            count(client, "invalidated");
            return match self.invalidate(grant, Some(epoch), invalidation).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    self.refused_in_vain(attempt, Failure::from_store(&error))
                        .await
                }
            };
        }
        let scope = Scope::Refusal {
            grant: id.clone(),
            client: client.clone(),
        };
        let done = self
            .change_to(&scope, |snapshot| {
                plan::refuse(snapshot, id, grant.facts.generation, epoch, &invalidation)
            })
            .await;
        match done {
            Ok(Some(Refused::Held {
                failure,
                next_at,
                engaged,
            })) => {
                count(client, "held");
                if let Some(brake) = engaged {
                    alarm(&brake);
                }
                let PassingFailure { reason, message } = failure;
                let mut failure = Failure::new(reason, message);
                failure.next_at = Some(next_at);
                let cooling = Failure {
                    cooling: true,
                    ..failure.clone()
                };
                self.memory.cool(id, grant.facts.generation, cooling);
                self.tell_failed(attempt, failure).await
            }
            Ok(Some(Refused::Invalidated)) => {
                count(client, "invalidated");
                self.tell_dead(grant, &invalidation).await
            }
            Ok(None) => self.tell_now(id).await,
            Err(error) => {
                self.refused_in_vain(attempt, Failure::from_store(&error))
                    .await
            }
        }
    }

    /// The provider refused the means that a derived grant shares with its parent. The parent dies of it, and with it
    /// what was derived, unless the parent's means were replaced or used with success since before the call, or the brake
    /// is engaged: then it is spared until its own next refresh, which is held if it is refused.
    async fn refused_derived(
        &self,
        attempt: &Attempt<'_>,
        parent: &GrantId,
        generation: Generation,
        invalidation: Invalidation,
        error: &CallError,
    ) -> Outcome {
        let scope = if concerns_client(attempt, error) {
            Scope::Refusal {
                grant: parent.clone(),
                client: attempt.grant.facts.client.clone(),
            }
        } else {
            Scope::Grant(parent.clone())
        };
        let done = self
            .change_to(&scope, |snapshot| {
                plan::refuse_derived(snapshot, parent, generation, &invalidation)
            })
            .await;
        match done {
            Ok(Some(RefusedMeans::Spared { failure, engaged })) => {
                count(&attempt.grant.facts.client, "held");
                if let Some(brake) = engaged {
                    alarm(&brake);
                }
                let PassingFailure { reason, message } = failure;
                let failure = Failure::new(reason, message);
                self.defer(attempt, failure, false, Some(PROBE_EVERY)).await
            }
            Ok(Some(RefusedMeans::Invalidated)) => {
                count(&attempt.grant.facts.client, "invalidated");
                warn!(
                    grant = %parent, client = %attempt.grant.facts.client, generation = generation.0,
                    reason = invalidation.reason.as_str(), code = invalidation.provider_error,
                    "the means of the grant are dead until its owner replaces them"
                );
                Outcome::Gone
            }
            Ok(None) => self.put_off(attempt, error).await,
            Err(error) => {
                self.refused_in_vain(attempt, Failure::from_store(&error))
                    .await
            }
        }
    }

    /// A grant that had been refused was accepted: the provider has refused good grants, so all that are held are
    /// tried again.
    pub(super) async fn refusals_were_wrong(&self, client: &ClientKey) {
        match self.release(client).await {
            Ok(Some(retried)) => warn!(
                %client, retried,
                "the provider accepts a grant that it had refused; all that are held are tried again"
            ),
            Ok(None) => {}
            Err(error) => warn!(%client, %error, "the brake could not be released yet"),
        }
    }

    /// Does what an operator decided about the held grants of a client. Answers how many there were; `None` if its
    /// brake is not engaged.
    pub(crate) async fn release_brake(
        &self,
        client: &ClientKey,
        verdict: Verdict,
    ) -> Result<Option<u64>, StoreError> {
        let mut invalidated = 0;
        if verdict == Verdict::Invalidate {
            let mut after = None;
            loop {
                let store = &self.ports.store;
                let held = store.held(client, after.as_ref(), PAGE).await?;
                for id in &held {
                    let scope = Scope::Grant(id.clone());
                    let dies = |snapshot: &Snapshot| plan::believe(snapshot, id);
                    invalidated += u64::from(self.change(&scope, dies).await?);
                }
                after = held.last().cloned();
                if after.is_none() {
                    break;
                }
            }
        }
        let retried = self.release(client).await?;
        if let Some(retried) = retried {
            info!(%client, invalidated, retried, "an operator released the brake");
        }
        Ok(retried.map(|retried| retried + invalidated))
    }

    /// Releases the brake. Answers how many grants are tried again; `None` if it is not engaged.
    async fn release(&self, client: &ClientKey) -> Result<Option<u64>, StoreError> {
        let scope = Scope::Client(client.clone());
        let retried = self
            .change_to(&scope, |snapshot| {
                let held = snapshot.refusals.as_ref()?.held;
                plan::release(snapshot, client).map(|change| (change, held))
            })
            .await?;
        self.memory.thaw();
        Ok(retried)
    }
}

/// Whether a refusal may be one of many mistaken ones of the configured client's grants. Where nobody was asked, nobody
/// can have been wrong.
fn concerns_client(attempt: &Attempt<'_>, error: &CallError) -> bool {
    error.delivery != Delivery::NotSent && !attempt.brings_client()
}

fn alarm(brake: &Brake) {
    let Brake {
        client,
        refused,
        refreshed,
        provider_error,
        ..
    } = brake;
    error!(
        %client, refused, refreshed, code = provider_error,
        "the provider refuses too many grants of this OAuth client at once; further refusals are held, \
         an operator must look"
    );
}
