//! The provider answered without tokens, or not at all.

use std::time::Duration;

use tracing::warn;

use super::count;
use super::refusal::Confirmed;
use crate::cooldown::backoff;
use crate::coordinator::Notice;
use crate::failure::FailureReason;
use crate::grant::{GrantType, PassingFailure};
use crate::provider::{CallError, Delivery, Verdict};
use crate::refresh::attempt::Attempt;
use crate::refresh::{Failure, Outcome, Refresher};
use crate::store::AttemptEnd;

/// How long a replica remembers that no request can be made of a grant.
const UNUSABLE_FOR: Duration = Duration::from_secs(60);

impl Refresher {
    /// Ends an attempt that brought no tokens, unless confirming that brings some after all.
    pub(in crate::refresh) async fn settle_failed(
        &self,
        mut attempt: Attempt<'_>,
        mut error: CallError,
    ) -> Outcome {
        let client = attempt.grant.facts.client.clone();
        let is_exchange = attempt.grant.facts.grant_type == GrantType::TokenExchange;
        if let Verdict::Grant(_) = error.verdict
            && !is_exchange
        {
            match self.confirm_refusal(&mut attempt, &error).await {
                Confirmed::Refused(reason) => {
                    return self.refused(&attempt, reason, &error).await;
                }
                Confirmed::Settled(outcome) => return outcome,
                Confirmed::Issued(issued) => return self.settle_issued(attempt, *issued).await,
                Confirmed::Failed(second) => error = second,
                Confirmed::Unknown(failure) => {
                    return self.refused_in_vain(&attempt, failure).await;
                }
            }
        }
        if error.is_no_call() {
            return self.settle_unusable(&attempt, error).await;
        }
        let reason = match error.verdict {
            Verdict::Client if concerns_grant_alone(&attempt, &error) => {
                FailureReason::ClientRejected
            }
            Verdict::Client if error.grant_specific => {
                self.grant_rejected(&attempt.grant.facts, &error).await;
                FailureReason::ClientRejected
            }
            Verdict::Client => return self.settle_client_rejected(&attempt, error).await,
            Verdict::RateLimit => FailureReason::ProviderRateLimited,
            Verdict::Request if is_exchange && may_mean_subject(&error) => {
                FailureReason::SubjectInvalid
            }
            Verdict::Request | Verdict::Protocol => FailureReason::ProviderProtocolError,
            // An exchange brings nothing of its own that could be dead: what was refused is the subject's token.
            Verdict::Grant(_) => FailureReason::SubjectInvalid,
            Verdict::Transient => FailureReason::ProviderUnavailable,
        };
        count(&client, reason.as_str());
        if let (Verdict::RateLimit, Some(asked)) = (error.verdict, error.retry_after)
            && !(attempt.brings_client() || error.grant_specific)
        {
            self.budgets.throttle(&client, asked);
        }
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

    /// No request could be made, and none can until somebody brings what is lacking. The row is left as it was, so that
    /// a restart with another configuration, or a reconnect, is enough.
    async fn settle_unusable(&self, attempt: &Attempt<'_>, error: CallError) -> Outcome {
        let facts = &attempt.grant.facts;
        let reason = FailureReason::GrantUnusable;
        count(&facts.client, reason.as_str());
        warn!(
            grant = %facts.id, client = %facts.client, error = %error.message, %reason,
            "no request can be made to refresh a grant"
        );
        self.end_attempt(attempt, AttemptEnd::Unused).await;
        let failure = Failure::new(reason, error.message);
        let remembered = Failure {
            next_at: Some(self.ports.clock.now().plus(UNUSABLE_FOR)),
            cooling: true,
            ..failure.clone()
        };
        self.memory.cool(&facts.id, facts.generation, remembered);
        self.tell_failed(attempt, failure).await
    }

    /// Puts the next attempt off. `may_be_spent`: whether the refresh token is, if uses spend it.
    pub(super) async fn defer(
        &self,
        attempt: &Attempt<'_>,
        mut failure: Failure,
        may_be_spent: bool,
        retry_after: Option<Duration>,
    ) -> Outcome {
        self.end_deferred(attempt, &mut failure, may_be_spent, retry_after)
            .await;
        let (id, generation) = (&attempt.grant.facts.id, attempt.grant.facts.generation);
        let cooling = Failure {
            cooling: true,
            ..failure.clone()
        };
        self.memory.cool(id, generation, cooling);
        self.tell_failed(attempt, failure).await
    }

    /// Ends the attempt with `failure`, which learns when the next one is. Answers whether the store heard of it.
    pub(super) async fn end_deferred(
        &self,
        attempt: &Attempt<'_>,
        failure: &mut Failure,
        may_be_spent: bool,
        retry_after: Option<Duration>,
    ) -> bool {
        let rotation = self.rotation(&attempt.grant.facts.client);
        let failed = attempt.grant.facts.attempts.failed.saturating_add(1);
        let next_at = self.ports.clock.now().plus(backoff(failed, retry_after));
        failure.next_at = Some(next_at);
        let end = AttemptEnd::Deferred {
            next_at,
            failure: PassingFailure {
                reason: failure.reason,
                message: failure.message.clone(),
            },
            ambiguous: may_be_spent && attempt.spends_refresh_token(rotation),
        };
        self.end_attempt(attempt, end).await
    }

    /// Puts the next attempt off because of what a provider said that the grant itself is not dead of.
    pub(super) async fn put_off(&self, attempt: &Attempt<'_>, error: &CallError) -> Outcome {
        let failure = Failure::new(FailureReason::ProviderUnavailable, error.message.clone());
        self.defer(attempt, failure, false, error.retry_after).await
    }

    pub(super) async fn tell_failed(&self, attempt: &Attempt<'_>, failure: Failure) -> Outcome {
        let notice = Notice::RefreshFailed {
            grant: attempt.grant.facts.id.clone(),
            generation: attempt.grant.facts.generation,
        };
        self.ports.bus.publish(notice).await;
        Outcome::Failed(failure)
    }
}

/// Whether a refused exchange may be about the subject's token: a token that is invalid for any reason is answered with
/// `invalid_request` (RFC 8693 section 2.2.2), by some with the code of RFC 6750 section 3.1.
fn may_mean_subject(error: &CallError) -> bool {
    error.delivery == Delivery::Answered
        && matches!(error.code.as_str(), "invalid_request" | "invalid_token")
}

/// Whether a rejection of the client says nothing of the client that all others use: the grant brought one of its own,
/// or asked for scopes that the client may not have (RFC 6749 section 5.2).
fn concerns_grant_alone(attempt: &Attempt<'_>, error: &CallError) -> bool {
    let asks_for_scopes = !attempt.grant.facts.requested_scopes.is_empty();
    attempt.brings_client() || error.code == "invalid_scope" && asks_for_scopes
}
