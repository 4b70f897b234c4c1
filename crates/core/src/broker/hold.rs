//! Why no call is made now although a token is due, and what a caller gets then.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Broker, TokenError, answer};
use crate::cache::LiveGrant;
use crate::clock::Timestamp;
use crate::failure::FailureReason;
use crate::ids::CredentialKey;
use crate::refresh::{Failure, no_place};

/// A token that was obtained because its predecessor was refused, and is refused itself, is not renewed again
/// for this long: the next one would be refused as well (a missing scope, say).
const REFUSAL_QUIET: Duration = Duration::from_secs(30);

impl Broker {
    /// Why no flight would make a call now.
    pub(super) fn held_back(
        &self,
        live: &LiveGrant,
        is_refused: bool,
        now: Timestamp,
    ) -> Option<Failure> {
        let facts = &live.grant.facts;
        let quiet_until = facts.issued_at.plus(REFUSAL_QUIET);
        if is_refused && live.made_for_refusal && now < quiet_until {
            metrics::counter!("evergrant_new_token_refused_total").increment(1);
            return Some(Failure {
                reason: FailureReason::ProviderUnavailable,
                message: "the token that replaced a refused one was refused too".into(),
                next_at: Some(quiet_until),
                cooling: true,
            });
        }
        if !live.is_renewable() {
            return None;
        }
        if let Err(error) = self.ports.providers.check(&facts.client) {
            return Some(Failure::new(
                FailureReason::UnknownClient,
                error.to_string(),
            ));
        }
        if !live.grant.tokens.means.bring_client()
            && let Some(refusal) = self.breaker.refusal(&facts.client)
        {
            return Some(Failure {
                reason: FailureReason::ClientRejected,
                message: refusal.message,
                next_at: Some(now.plus(refusal.retry_after)),
                cooling: true,
            });
        }
        let renewal = &live.profile.renewal;
        let young_until = renewal.young_until(facts.issued_at, facts.expires_at);
        if let Some(until) = young_until.filter(|until| now < *until) {
            return Some(Failure::too_young(until));
        }
        let cooling = self.memory.cooling(&facts.id, facts.generation, now);
        cooling.or_else(|| {
            let full = self.budgets.refusal(&facts.client)?;
            Some(no_place(full, now))
        })
    }

    /// The token at hand if it is still valid and not refused, with why it was not renewed; else the failure.
    pub(super) fn settle_for(
        &self,
        key: &CredentialKey,
        live: Arc<LiveGrant>,
        now: Timestamp,
        is_refused: bool,
        failure: Failure,
    ) -> Result<Answer, TokenError> {
        if !is_refused && live.validity.is_valid(now) {
            return Ok(answer(live, now, false, Some(failure)));
        }
        Err(TokenError::Failed {
            key: key.clone(),
            failure,
        })
    }
}
