//! What callers ask of the broker, and what they get.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::cache::LiveGrant;
use crate::change::plan::MAX_DERIVED;
use crate::clock::Timestamp;
use crate::grant::Invalidation;
use crate::ids::{CredentialKey, Generation};
use crate::refresh::Failure;
use crate::scopes::ScopeSet;
use crate::store::StoreError;

/// What a caller wants of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ask {
    /// How long it must still be valid.
    pub min_validity: Duration,
    /// Exactly of which scopes it is to be, where tokens are minted. `None`: of those that the credential has.
    pub scopes: Option<ScopeSet>,
    /// The token that the provider's API refused.
    pub refused: Option<Refused>,
    /// When the caller stops waiting; the work goes on. `None`: it waits for as long as a flight takes.
    pub deadline: Option<Instant>,
}

/// How a caller names a token that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// By the generation that it came with.
    Generation(Generation),
    /// By the SHA-256 of its text.
    Sha256([u8; 32]),
}

/// A token to hand out.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The grant with the token.
    pub live: Arc<LiveGrant>,
    /// The time at which it was judged good.
    pub now: Timestamp,
    /// Whether a provider call made for this or a concurrent request brought it.
    pub refreshed: bool,
    /// Why it was not renewed although that was due.
    pub failure: Option<Failure>,
}

/// Why there is no token to hand out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// There is no such credential.
    #[error("credential {0} does not exist")]
    NotFound(CredentialKey),
    /// Its grant is dead; its user must connect again.
    #[error("credential {key} is invalidated: {}", .invalidation.words())]
    Invalidated {
        /// The credential.
        key: CredentialKey,
        /// The generation that died.
        generation: Generation,
        /// Why and when.
        invalidation: Invalidation,
    },
    /// It could not be renewed, and the token at hand is no good.
    #[error("credential {key}: {}", .failure.message)]
    Failed {
        /// The credential.
        key: CredentialKey,
        /// Why.
        failure: Failure,
    },
    /// It has no tokens of the scopes that were asked for.
    #[error("credential {key} has no tokens of other scopes: {why}")]
    Scopes {
        /// The credential.
        key: CredentialKey,
        /// Why it has none.
        why: &'static str,
    },
    /// Tokens of too many sets of scopes are in use.
    #[error(
        "credential {0} has tokens of {MAX_DERIVED} sets of scopes in use; no other may be asked for now"
    )]
    TooManyScopeSets(CredentialKey),
    /// The caller's deadline passed; the refresh goes on, and the next call profits.
    #[error("credential {0} is still being refreshed")]
    InProgress(CredentialKey),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
