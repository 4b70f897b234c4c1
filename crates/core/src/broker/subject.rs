//! Token exchange: the subject's token is obtained before the flight that exchanges it begins.
//!
//! Whoever wants the exchanged token asks for the subject's in its own task, and that one's subject likewise. No flight
//! waits for another, so a circle of credentials cannot stand still: it is found by whoever walks into it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::{Ask, Broker, Refused, TokenError};
use crate::failure::FailureReason;
use crate::freshness::Freshness;
use crate::grant::{Grant, GrantType};
use crate::ids::{CredentialId, CredentialKey, GrantId};
use crate::memory::Known;
use crate::refresh::{Failure, Subject};

/// How many exchanges may follow each other.
const LONGEST_CHAIN: usize = 4;
/// How long a subject's token must last, so that it still does when its turn comes.
const SUBJECT_VALIDITY: Duration = Duration::from_secs(60);

/// The grants whose exchange led to a request, in order.
pub(super) type Trail<'a> = &'a [GrantId];

impl Broker {
    /// What a flight of `grant` needs besides its own means. A failure names the subject: the grant itself is not dead
    /// of it.
    pub(super) async fn subject(
        &self,
        grant: &Grant,
        trail: Trail<'_>,
    ) -> Result<Subject, Failure> {
        let Some(key) = subject_of(grant)? else {
            return Ok(Subject::default());
        };
        let id = &grant.facts.id;
        if trail.contains(id) {
            return Err(invalid(&key, "is exchanged for itself in the end"));
        }
        if trail.len() >= LONGEST_CHAIN {
            return Err(invalid(&key, "comes after too many other exchanges"));
        }
        let trail: Vec<_> = trail.iter().chain([id]).cloned().collect();
        let ask = Ask {
            min_validity: SUBJECT_VALIDITY,
            ..Ask::default()
        };
        match self.boxed(&key, &ask, &trail).await {
            Ok(answer) => {
                let token = answer.live.grant.tokens.access_token.clone();
                Ok(Subject(Some(token)))
            }
            Err(error) => Err(told_of(&key, error)),
        }
    }

    /// The token of a subject was refused when it was exchanged, or the request was, which is how RFC 8693 section 2.2.2 has
    /// the same told. This is taken for a report of the subject's token, once for each token of the exchange: the subject
    /// is renewed, or found dead by its own provider, before the next attempt. If it was the request that is wrong, no
    /// more comes of it. A subject that cannot be renewed would be dead of the report alone, so it is left as it is.
    pub(super) async fn learn_of_refusal(
        &self,
        grant: &Grant,
        subject: &Subject,
        failure: &Failure,
        trail: Trail<'_>,
    ) {
        let (Some(token), FailureReason::SubjectInvalid, false) =
            (&subject.0, failure.reason, failure.cooling)
        else {
            return;
        };
        let (id, generation) = (&grant.facts.id, grant.facts.generation);
        if self.subjects_renewed.get(id) == Some(generation) {
            return;
        }
        let Ok(Some(key)) = subject_of(grant) else {
            return;
        };
        match self.find(&key).await {
            Ok(Known::Live(subject)) if subject.is_renewable() => {}
            _ => return,
        }
        let ask = Ask {
            refused: Some(Refused::Sha256(token.sha256())),
            ..Ask::default()
        };
        let trail: Vec<_> = trail.iter().chain([id]).cloned().collect();
        // Whoever asks for the subject, or exchanges it next, is told what came of it.
        let renewed = self.boxed(&key, &ask, &trail).await;
        if matches!(renewed, Ok(_) | Err(TokenError::Invalidated { .. })) {
            self.subjects_renewed.insert(id.clone(), generation);
        }
    }

    /// Like [`subject`](Self::subject), but from memory alone. `None`: it is not at hand, or not good for long enough.
    pub(super) fn subject_at_hand(&self, grant: &Grant) -> Option<Subject> {
        let Some(key) = subject_of(grant).ok()? else {
            return Some(Subject::default());
        };
        let Some(Known::Live(live)) = self.memory.find(&key) else {
            return None;
        };
        let now = self.ports.clock.now();
        let is_good = live.validity.assess(now, SUBJECT_VALIDITY) != Freshness::Due;
        is_good.then(|| Subject(Some(live.grant.tokens.access_token.clone())))
    }

    fn boxed<'a>(
        &'a self,
        key: &'a CredentialKey,
        ask: &'a Ask,
        trail: Trail<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<super::Answer, TokenError>> + Send + 'a>> {
        Box::pin(self.get_token_slowly(key, ask, trail))
    }
}

/// The credential whose token `grant` exchanges; `None` if it exchanges none.
fn subject_of(grant: &Grant) -> Result<Option<CredentialKey>, Failure> {
    if grant.facts.grant_type != GrantType::TokenExchange {
        return Ok(None);
    }
    let named = grant.tokens.means.subject_credential();
    let id = named.and_then(|name| CredentialId::parse(name.expose()).ok());
    let id = id.ok_or_else(|| {
        let message = "the parameter subject_credential names no credential";
        Failure::new(FailureReason::SubjectInvalid, message)
    })?;
    Ok(Some(CredentialKey {
        tenant: grant.facts.tenant.clone(),
        id,
    }))
}

/// Why there is no subject's token, as a failure of whoever wanted to exchange it.
fn told_of(key: &CredentialKey, error: TokenError) -> Failure {
    match error {
        TokenError::NotFound(_) => invalid(key, "does not exist"),
        TokenError::Invalidated { invalidation, .. } => {
            invalid(key, &format!("is invalidated: {}", invalidation.words()))
        }
        TokenError::Failed { failure, .. } => Failure {
            message: format!("subject credential {key}: {}", failure.message),
            ..failure
        },
        TokenError::Store(error) => Failure::from_store(&error),
        TokenError::InProgress(_) | TokenError::Scopes { .. } | TokenError::TooManyScopeSets(_) => {
            invalid(key, &format!("gives no token: {error}"))
        }
    }
}

fn invalid(key: &CredentialKey, why: &str) -> Failure {
    let message = format!("subject credential {key} {why}");
    Failure::new(FailureReason::SubjectInvalid, message)
}
