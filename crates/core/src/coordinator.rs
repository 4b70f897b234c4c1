//! The coordination ports: a lock, an escrow and a bus that replicas share.
//!
//! None of them is needed for safety. The lock spares the database and the provider a crowd, the escrow
//! carries a rotated token over a crash, and the bus wakes who waits. When one is out of reach, refreshing is
//! slower and nothing else.

pub mod local;

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::broadcast;

use crate::grant::TokenSet;
use crate::ids::{Epoch, Generation, GrantId, OwnerToken};

/// The coordination service did not answer in time; whether it acted is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{service} is out of reach: {message}")]
pub struct Unreachable {
    /// What was asked, e.g. `redis` or `journal`.
    pub service: &'static str,
    /// For the log; holds no secret.
    pub message: String,
}

/// What came of an attempt to take a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquired {
    /// The lock is held by the given owner, now or already.
    Won,
    /// Somebody else holds it, for this long unless it is renewed or released.
    HeldElsewhere {
        /// Time to live of the other's lock.
        left: Duration,
    },
}

/// A lock per grant, shared by all replicas.
#[async_trait]
pub trait Locks: Send + Sync + 'static {
    /// Takes the lock of `grant` for `ttl` if nobody holds it.
    ///
    /// Atomic: of any number of concurrent owners one wins. Idempotent: an owner that holds the lock wins
    /// again, so a command replayed after a broken connection does no harm. Ends within about half a second.
    async fn acquire(
        &self,
        grant: &GrantId,
        owner: &OwnerToken,
        ttl: Duration,
    ) -> Result<Acquired, Unreachable>;

    /// Gives the lock `ttl` from now on if `owner` holds it; otherwise changes nothing and answers `false`.
    async fn renew(
        &self,
        grant: &GrantId,
        owner: &OwnerToken,
        ttl: Duration,
    ) -> Result<bool, Unreachable>;

    /// Gives the lock up if `owner` holds it; otherwise changes nothing and answers `false`.
    async fn release(&self, grant: &GrantId, owner: &OwnerToken) -> Result<bool, Unreachable>;

    /// Who holds the lock, for people who ask. `None` if nobody does.
    async fn holder(&self, grant: &GrantId) -> Result<Option<LockHolder>, Unreachable>;
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// Its owner.
    pub owner: OwnerToken,
    /// For how long, unless it is renewed or released.
    pub left: Duration,
}

/// A token set that a provider issued and that may not be stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscrowEntry {
    /// The grant that it belongs to.
    pub grant: GrantId,
    /// The generation whose refresh token bought it; stored, it becomes the next one.
    pub base: Generation,
    /// The lease under which it was obtained.
    pub epoch: Epoch,
    /// The whole token set as it must be stored, a kept refresh token included.
    pub tokens: TokenSet,
    /// When the tokens were obtained.
    pub issued_at: crate::clock::Timestamp,
}

/// Keeps token sets between the provider's answer and the commit, sealed, where the next leader finds them.
#[async_trait]
pub trait Escrow: Send + Sync + 'static {
    /// Keeps `entry` for at least a day, in place of an older one of the same grant. When this returns
    /// `Ok` the entry outlives this process.
    async fn put(&self, entry: &EscrowEntry) -> Result<(), Unreachable>;

    /// The entry of `grant` whose base is `base`, or a later one, if one is kept. An entry that cannot be unsealed
    /// is reported as none, with an error in the log.
    async fn find(
        &self,
        grant: &GrantId,
        base: Generation,
    ) -> Result<Option<EscrowEntry>, Unreachable>;

    /// Forgets the entry of `grant` if its base is `base` or older.
    async fn remove(&self, grant: &GrantId, base: Generation) -> Result<(), Unreachable>;

    /// All entries that this process left behind in an earlier life, to be stored before serving. Escrows
    /// shared by replicas answer with none: an entry there is adopted when its grant is asked for.
    async fn left_behind(&self) -> Result<Vec<EscrowEntry>, Unreachable>;
}

/// What replicas tell each other. A notice is a hint: it may come late, twice or never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A write raised the version of a grant.
    GrantChanged {
        /// The grant.
        grant: GrantId,
        /// Its generation now.
        generation: Generation,
        /// Its version now.
        version: u64,
    },
    /// An attempt to refresh ended without a new token set.
    RefreshFailed {
        /// The grant.
        grant: GrantId,
        /// The generation that could not be refreshed.
        generation: Generation,
    },
    /// The event log grew.
    EventsAppended {
        /// The number of its last event.
        head: u64,
    },
}

/// Carries notices between replicas, and within one.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Tells all replicas, this one included. Never waits for a reader, never fails: a notice that cannot
    /// be sent is logged at a limited rate, and still reaches the subscribers of this process.
    async fn publish(&self, notice: Notice);

    /// Notices from now on. A receiver that lags misses the oldest and must then treat everything as changed.
    fn subscribe(&self) -> broadcast::Receiver<Notice>;
}
