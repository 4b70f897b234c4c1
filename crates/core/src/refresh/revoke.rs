//! A grant is taken back at its provider, and then forgotten together with the credential that used it.
//!
//! The provider is asked under the leader lock and the lease of a refresh, so that no rotation is under way: one could
//! leave a successor behind that lives on. What an earlier attempt left in escrow is adopted first, and what came too
//! late for this generation is revoked beside the stored token set. Tokens that were minted for other scopes come before
//! its own ([`derived`]).

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::flight::shutting_down;
use super::polls::Polls;
use super::settle::NotAdopted;
use super::{Failure, Refresher};
use crate::budget::{Place, Urgency};
use crate::change::{Scope, plan};
use crate::failure::FailureReason;
use crate::grant::{Grant, GrantFacts, TokenSet};
use crate::ids::{ClientKey, CredentialKey, GrantId};
use crate::leader::{Held, Leadership};
use crate::provider::{CallError, Delivery, Revocation, Verdict};
use crate::revocation::{RevocationOutcome, RevokeError};
use crate::store::{AttemptEnd, Claimed};
use derived::{Derived, Patience};

mod derived;
mod withdraw;

/// How a credential stands whose grant is to be revoked.
enum Use {
    /// It alone uses the grant.
    Sole(Box<Grant>),
    /// These use it too, and the credential is deleted.
    Shared(Vec<CredentialKey>),
}

/// What came of one try.
enum Tried {
    /// The credential is deleted, and this became of its grant.
    Deleted(RevocationOutcome),
    /// Somebody else is at the grant, or it moved on.
    LookAgain,
}

impl Refresher {
    /// Deletes a credential, after its grant was revoked if no other uses it. Until `deadline` it waits for a refresh that
    /// is under way, and takes back tokens of other scopes one by one; once it asks for the grant's own it goes on to the
    /// end.
    pub(crate) async fn revoke_and_delete(
        &self,
        key: &CredentialKey,
        deadline: Instant,
    ) -> Result<RevocationOutcome, RevokeError> {
        // Subscribed before the first look, so that no news falls between a look and a wait.
        let mut notices = self.ports.bus.subscribe();
        let mut polls = Polls::new();
        let mut of_scopes = Derived::None;
        loop {
            // Not cut off at the deadline: a credential that is deleted here is told of.
            let grant = match self.leave_if_shared(key).await? {
                Use::Sole(grant) => grant,
                Use::Shared(others) => return Ok(RevocationOutcome::Shared(others)),
            };
            if self.stop.is_cancelled() {
                return Err(failed(key, shutting_down()));
            }
            let patience = Patience {
                deadline,
                room: deadline,
            };
            let derived = self.revoke_derived(&grant.facts, patience).await;
            let derived = derived.map_err(|failure| failed(key, failure))?;
            of_scopes = of_scopes.max(derived);
            match derived {
                Derived::None | Derived::NotSupported => {}
                // The grant was told of as changed.
                Derived::Revoked | Derived::Lost => continue,
                Derived::Busy => return Err(RevokeError::InProgress(key.clone())),
            }
            // As for a refresh for which a caller waits.
            let place = self.place(&grant.facts.client, Urgency::Interactive);
            let place = tokio::time::timeout_at(deadline, place).await;
            let place = place.map_err(|_| RevokeError::InProgress(key.clone()))?;
            let place = place.map_err(|none| failed(key, self.without_place(none)))?;
            let id = &grant.facts.id;
            let lock_left = match self.leader.claim(id).await {
                Leadership::Leader(held) => {
                    let tried = self
                        .revoke_as_leader(key, &grant, &place, &held, of_scopes)
                        .await;
                    held.release().await;
                    if let Tried::Deleted(outcome) = tried? {
                        return Ok(outcome);
                    }
                    None
                }
                Leadership::Follower { left } => Some(left),
            };
            drop(place);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RevokeError::InProgress(key.clone()));
            }
            let wait = polls.next(lock_left).min(left);
            self.wait_for_news(id, &mut notices, wait).await;
        }
    }

    async fn leave_if_shared(&self, key: &CredentialKey) -> Result<Use, RevokeError> {
        let store_failed = |error| failed(key, Failure::from_store(&error));
        let store = &self.ports.store;
        let scope = scope_of(key);
        let left = self.change_to(&scope, |snapshot| plan::leave_shared_grant(snapshot, key));
        if let Some(others) = left.await.map_err(store_failed)? {
            info!(credential = %key, "a credential was deleted; others use its grant, which was not revoked");
            return Ok(Use::Shared(others));
        }
        let grant = store.grant_of(key).await.map_err(store_failed)?;
        let grant = grant.ok_or_else(|| RevokeError::NotFound(key.clone()))?;
        if let Err(unknown) = self.ports.providers.check(&grant.facts.client) {
            let failure = Failure::new(FailureReason::UnknownClient, unknown.to_string());
            return Err(failed(key, failure));
        }
        Ok(Use::Sole(Box::new(grant)))
    }

    async fn revoke_as_leader(
        &self,
        key: &CredentialKey,
        grant: &Grant,
        place: &Place,
        held: &Held,
        of_scopes: Derived,
    ) -> Result<Tried, RevokeError> {
        let started = Instant::now();
        let (id, generation) = (&grant.facts.id, grant.facts.generation);
        let store = &self.ports.store;
        if grant.facts.state.invalidation().is_some() {
            // Nobody begins to refresh a dead grant, so there is no lease to take. Who began before it died held the
            // lock. It may have been reconnected since it was read.
            return match store.grant(id).await {
                Ok(Some(now)) if now.facts.version == grant.facts.version => {
                    self.revoke_unhindered(key, grant, place, false, of_scopes, started)
                        .await
                }
                Ok(_) => Ok(Tried::LookAgain),
                Err(error) => Err(failed(key, Failure::from_store(&error))),
            };
        }
        let lease = self.limits.lease;
        let claimed = match store.claim(id, generation, held.owner(), lease).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(Tried::LookAgain),
            // Without the lease nobody may call: fail closed.
            Err(error) => {
                self.give_back_lost_lease(id, held).await;
                return Err(failed(key, Failure::from_store(&error)));
            }
        };
        let tried = self
            .revoke_unhindered(key, grant, place, claimed.takeover, of_scopes, started)
            .await;
        if !matches!(tried, Ok(Tried::Deleted(_))) {
            self.give_back(id, &claimed).await;
        }
        tried
    }

    /// Revokes and deletes while nobody else calls the provider for the grant. `in_doubt`: an earlier attempt may have
    /// spent the stored refresh token. `of_scopes`: what became of tokens of other scopes.
    async fn revoke_unhindered(
        &self,
        key: &CredentialKey,
        grant: &Grant,
        place: &Place,
        in_doubt: bool,
        of_scopes: Derived,
        started: Instant,
    ) -> Result<Tried, RevokeError> {
        let store_failed = |error| failed(key, Failure::from_store(&error));
        let asked = self.revoke_tokens(grant, place, in_doubt, started).await;
        let Some(revoked) = asked.map_err(|failure| failed(key, failure))? else {
            return Ok(Tried::LookAgain);
        };
        let outcome = match of_scopes {
            Derived::None | Derived::Busy if !grant.tokens.has_token() => {
                RevocationOutcome::NoToken
            }
            Derived::None | Derived::Busy | Derived::Revoked if revoked => {
                RevocationOutcome::Revoked
            }
            _ => RevocationOutcome::NotSupported,
        };
        let lives_on = of_scopes == Derived::NotSupported;
        let (id, generation) = (&grant.facts.id, grant.facts.generation);
        let forget = |snapshot: &_| plan::delete_revoked(snapshot, key, id, generation, lives_on);
        let deleted = self.change(&scope_of(key), forget).await;
        if !deleted.map_err(store_failed)? {
            return Ok(Tried::LookAgain);
        }
        let revoked = outcome == RevocationOutcome::Revoked;
        info!(credential = %key, grant = %id, revoked, "a credential was deleted with its grant");
        Ok(Tried::Deleted(outcome))
    }

    /// Asks the provider to take back the stored token set and those that were bought with it. Answers whether it
    /// confirmed all of them, also if none was ever minted; `None` if the grant moved on. `in_doubt`: an earlier attempt
    /// may have spent the stored refresh token.
    async fn revoke_tokens(
        &self,
        grant: &Grant,
        place: &Place,
        in_doubt: bool,
        started: Instant,
    ) -> Result<Option<bool>, Failure> {
        match self.adopt_from_escrow(grant).await {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(None),
            Err(NotAdopted::Store(error)) => return Err(Failure::from_store(&error)),
            Err(NotAdopted::Escrow(error)) if in_doubt => {
                let why = format!("the refresh token may be spent, and {error}");
                return Err(Failure::new(FailureReason::ProviderUnavailable, why));
            }
            Err(NotAdopted::Escrow(_)) => {}
        }
        let orphans = self.ports.store.orphans_of(&grant.facts).await;
        let orphans = orphans.map_err(|error| Failure::from_store(&error))?;
        let mut revoked = true;
        // The newest first: the others may be spent, and some providers know no spent token.
        let all = orphans.into_iter().rev().chain([grant.tokens.clone()]);
        for tokens in all.filter(TokenSet::has_token) {
            let grant = Grant {
                facts: grant.facts.clone(),
                tokens,
            };
            let revocation = self.call_to_revoke(&grant, place, started).await?;
            revoked &= revocation == Revocation::Revoked;
        }
        Ok(Some(revoked))
    }

    /// One revocation, if the lease outlasts it and the change that follows.
    async fn call_to_revoke(
        &self,
        grant: &Grant,
        place: &Place,
        started: Instant,
    ) -> Result<Revocation, Failure> {
        let GrantFacts { id, client, .. } = &grant.facts;
        let needed = self.limits.attempt_timeout + self.limits.store_timeout;
        if self.limits.lease.saturating_sub(started.elapsed()) < needed {
            metrics::counter!("evergrant_lease_losses_total").increment(1);
            let why = "the lease is too short for a revocation";
            return Err(Failure::new(FailureReason::ProviderUnavailable, why));
        }
        place.call();
        let timeout = self.limits.attempt_timeout;
        match self.ports.providers.revoke(grant, timeout).await {
            Ok(revocation) => {
                count(
                    client,
                    match revocation {
                        Revocation::Revoked => "revoked",
                        Revocation::NotSupported => "not_supported",
                    },
                );
                Ok(revocation)
            }
            Err(error) => {
                let mut failure = self.failure(error);
                if failure.reason == FailureReason::ClientRejected {
                    failure.message =
                        format!("the provider rejects client {client}: {}", failure.message);
                }
                count(client, outcome(failure.reason));
                warn!(
                    grant = %id, %client, reason = %failure.reason, error = %failure.message,
                    "a grant could not be revoked at its provider"
                );
                Err(failure)
            }
        }
    }

    /// A client that is rejected here is not held back from refreshing: that is another door.
    fn failure(&self, error: CallError) -> Failure {
        let reason = match error.verdict {
            Verdict::Client => FailureReason::ClientRejected,
            Verdict::RateLimit => FailureReason::ProviderRateLimited,
            // Until somebody brings what is lacking, or mends the address, trying again is of no use.
            Verdict::Request if error.delivery == Delivery::NotSent => FailureReason::GrantUnusable,
            Verdict::Request | Verdict::Protocol => FailureReason::ProviderProtocolError,
            Verdict::Transient | Verdict::Grant(_) => FailureReason::ProviderUnavailable,
        };
        let mut failure = Failure::new(reason, error.message);
        let now = self.ports.clock.now();
        failure.next_at = error.retry_after.map(|wait| now.plus(wait));
        failure
    }

    async fn give_back(&self, id: &GrantId, claimed: &Claimed) {
        let unused = AttemptEnd::Unused;
        let ended = self
            .ports
            .store
            .end_attempt(id, claimed.epoch, unused)
            .await;
        if let Err(error) = ended {
            debug!(grant = %id, %error, "the lease will run out");
        }
    }
}

fn scope_of(key: &CredentialKey) -> Scope {
    Scope::Credential {
        key: key.clone(),
        connecting: None,
    }
}

fn failed(key: &CredentialKey, failure: Failure) -> RevokeError {
    RevokeError::Failed {
        key: key.clone(),
        failure,
    }
}

fn outcome(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::ClientRejected => "client_rejected",
        reason => reason.as_str(),
    }
}

fn count(client: &ClientKey, outcome: &'static str) {
    metrics::counter!(
        "evergrant_revocations_total",
        "provider" => client.provider.to_string(),
        "outcome" => outcome
    )
    .increment(1);
}
