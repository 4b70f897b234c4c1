//! Revocation: a credential is deleted, and its grant is taken back at the provider first (RFC 7009).

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::failure::FailureReason;
use crate::ids::{CredentialKey, Generation, GrantId};
use crate::refresh::{Failure, Refresher};

/// Deletes credentials whose grants are revoked first.
#[derive(Debug, Clone)]
pub struct Revoker {
    refresher: Arc<Refresher>,
    tracker: TaskTracker,
}

/// Why a credential was not deleted, as far as is known: while it is [`InProgress`](Self::InProgress) it may be yet, and
/// after a failure of the store it may have been.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RevokeError {
    /// There is no such credential.
    #[error("credential {0} does not exist")]
    NotFound(CredentialKey),
    /// The caller's deadline passed before the grant was free, or while the provider was asked. In the second case the
    /// work goes on, and the credential may be deleted yet.
    #[error("the grant of credential {0} is still being refreshed or revoked")]
    InProgress(CredentialKey),
    /// The grant could not be revoked, or what followed could not be stored.
    #[error("credential {key}: {}", .failure.message)]
    Failed {
        /// The credential.
        key: CredentialKey,
        /// Why. Without `next_at` nobody knows when to try again.
        failure: Failure,
    },
}

/// What became at its provider of the grant of a credential that is deleted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// The provider took it back, with every token that was minted for other scopes, or had done so before.
    Revoked,
    /// These credentials use it on, by id. The provider was not told of the deletion.
    Shared(Vec<CredentialKey>),
    /// The provider has no way that is known to take it back, or a token of it.
    NotSupported,
    /// It never had a token, so nobody was asked.
    NoToken,
}

/// What became of a killed grant at its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// The provider took it back, or had done so before.
    Revoked,
    /// The provider has no way to do so that is known.
    NotSupported,
    /// It was deleted, or its user connected again: its tokens are no longer kept.
    Superseded,
}

impl Revoker {
    /// Asks the provider to take back a killed grant of this generation, as [`delete_credential`](Self::delete_credential)
    /// does, and leaves it where it is.
    ///
    /// It takes no place in the client's budget that a caller could want, and fails at once if there is none. It may be
    /// repeated, and cancelled: then the provider may have done it.
    pub async fn withdraw(
        &self,
        grant: &GrantId,
        generation: Generation,
    ) -> Result<Withdrawn, Failure> {
        self.refresher.withdraw(grant, generation).await
    }

    pub(crate) fn new(refresher: Arc<Refresher>, tracker: TaskTracker) -> Self {
        Self { refresher, tracker }
    }

    /// Revokes the grant of a credential at its provider, if no other credential uses it, and then forgets the
    /// credential, and its grant when no other uses it. Answers what became of the grant at the provider; whatever it is,
    /// the credential is deleted.
    ///
    /// - A provider that fails, or rejects the client: nothing is deleted.
    /// - A refresh of the grant that is under way is waited for until `deadline`; without one for as long as a crashed
    ///   replica may hold the grant.
    ///
    /// It may be repeated: a token that is dead already counts as revoked. Cancelling it changes nothing for the work,
    /// which goes on.
    pub async fn delete_credential(
        &self,
        key: &CredentialKey,
        deadline: Option<Instant>,
    ) -> Result<RevocationOutcome, RevokeError> {
        let patience = deadline.unwrap_or_else(|| Instant::now() + self.refresher.longest_hold());
        let (tell, told) = oneshot::channel();
        let (refresher, wanted) = (Arc::clone(&self.refresher), key.clone());
        self.tracker.spawn(async move {
            // A caller that is gone need not be told.
            let _ = tell.send(refresher.revoke_and_delete(&wanted, patience).await);
        });
        let outcome = match deadline {
            None => told.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, told).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(RevokeError::InProgress(key.clone())),
            },
        };
        outcome.unwrap_or_else(|_| {
            let why = "the revocation ended without an outcome";
            Err(RevokeError::Failed {
                key: key.clone(),
                failure: Failure::new(FailureReason::Internal, why),
            })
        })
    }
}
