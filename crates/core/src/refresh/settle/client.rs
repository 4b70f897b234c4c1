//! The provider rejects the OAuth client, or accepts it again. No grant is harmed, and none waits for it longer
//! than until its next probe.

use tracing::{error, info, warn};

use super::count;
use crate::breaker::BreakerState;
use crate::change::{Scope, plan};
use crate::failure::FailureReason;
use crate::grant::{GrantFacts, PassingFailure};
use crate::ids::ClientKey;
use crate::provider::CallError;
use crate::refresh::attempt::Attempt;
use crate::refresh::{Failure, Outcome, Refresher};
use crate::store::AttemptEnd;

/// Whether its last attempt ended so, too.
fn was_rejected(grant: &GrantFacts) -> bool {
    let last = &grant.attempts.last_failure;
    let last = last.as_ref().filter(|_| grant.attempts.failed > 0);
    last.is_some_and(|failure| failure.reason == FailureReason::ClientRejected)
}

impl Refresher {
    /// Ends an attempt whose client was rejected.
    pub(super) async fn settle_client_rejected(
        &self,
        attempt: &Attempt<'_>,
        error: CallError,
    ) -> Outcome {
        let client = &attempt.grant.facts.client;
        self.client_rejected(client, &error).await;
        let now = self.ports.clock.now();
        let may_be_spent = attempt.ambiguous && attempt.spends_refresh_token(self.rotation(client));
        // The grant does not wait for its client, but other grants are the next probes.
        let end = AttemptEnd::Deferred {
            next_at: now,
            failure: PassingFailure {
                reason: FailureReason::ClientRejected,
                message: error.message.clone(),
            },
            ambiguous: may_be_spent,
        };
        self.end_attempt(attempt, end).await;
        count(client, "client_rejected");
        let mut failure = Failure::new(FailureReason::ClientRejected, error.message);
        failure.next_at = self
            .breaker
            .refusal(client)
            .map(|refusal| now.plus(refusal.retry_after));
        self.tell_failed(attempt, failure).await
    }

    /// Takes note of a refusal of the client that may be about what one grant brings. Many of them in a row are about the
    /// client, but those that were refused before are not added: while others are accepted they may be so for years, and a
    /// replica that has just begun cannot know of that. What is told of the client repeats no words that the provider found for
    /// one grant: other tenants read it.
    pub(super) async fn grant_rejected(&self, grant: &GrantFacts, error: &CallError) {
        let client = &grant.client;
        let is_rejected = self.breaker.state(client) != BreakerState::Closed;
        let is_doubted = || {
            let newly_refused = Some(&grant.id).filter(|_| !was_rejected(grant));
            self.breaker.doubt(client, newly_refused)
        };
        if !(is_rejected || is_doubted()) {
            return;
        }
        let message = match error.code.as_str() {
            "" => "several grants of the client were refused in a row".to_owned(),
            code => format!("several grants of the client were refused in a row with {code}"),
        };
        let error = CallError {
            message,
            ..error.clone()
        };
        self.client_rejected(client, &error).await;
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

    pub(super) async fn client_accepted(&self, client: &ClientKey) {
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
}
