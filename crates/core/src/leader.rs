//! The leader lock: which process attempts a refresh while the others wait for its result.
//!
//! It is an optimisation. Losing it, or the service that keeps it, makes nobody wrong: the database lease that
//! follows decides who may call. So an unreachable lock service means that everyone goes on to the lease.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use crate::coordinator::{Acquired, Locks};
use crate::ids::{GrantId, OwnerToken, ReplicaName};

/// Takes leader locks that live for `ttl`.
#[derive(Clone)]
pub struct LeaderLock {
    locks: Arc<dyn Locks>,
    ttl: Duration,
    replica: ReplicaName,
}

/// Whether this process leads.
#[derive(Debug)]
pub enum Leadership {
    /// It does, or nobody can tell who does.
    Leader(Held),
    /// Another process does.
    Follower {
        /// How long the other's lock lives unless it is renewed.
        left: Duration,
    },
}

impl LeaderLock {
    /// Locks of `locks` that live for `ttl`: as long as the lease that they precede. Their owner tells `replica`.
    pub fn new(locks: Arc<dyn Locks>, ttl: Duration, replica: ReplicaName) -> Self {
        Self {
            locks,
            ttl,
            replica,
        }
    }

    /// Tries once to lead the refresh of `grant`, under a fresh owner token.
    ///
    /// When this is cancelled the lock may have been taken; it then ends by its time to live.
    pub async fn claim(&self, grant: &GrantId) -> Leadership {
        let owner = OwnerToken::of(&self.replica);
        let answer = self.locks.acquire(grant, &owner, self.ttl).await;
        let is_certain = match answer {
            Ok(Acquired::HeldElsewhere { left }) => {
                metrics::counter!("evergrant_lock_contended_total").increment(1);
                return Leadership::Follower { left };
            }
            Ok(Acquired::Won) => true,
            Err(error) => {
                metrics::counter!("evergrant_lock_unreachable_total").increment(1);
                debug!(%grant, %error, "no leader lock, the database lease decides");
                false
            }
        };
        Leadership::Leader(Held {
            lock: self.clone(),
            grant: grant.clone(),
            owner,
            is_certain,
        })
    }
}

impl std::fmt::Debug for LeaderLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaderLock")
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// A leader lock that this process holds, or may hold where the answer was lost.
#[derive(Debug)]
pub struct Held {
    lock: LeaderLock,
    grant: GrantId,
    owner: OwnerToken,
    is_certain: bool,
}

impl Held {
    /// The random token under which the lock, and the lease that follows, is held.
    pub fn owner(&self) -> &OwnerToken {
        &self.owner
    }

    /// Keeps the lock for another time to live. `false`: somebody else may lead now.
    pub async fn renew(&self) -> bool {
        let kept = self
            .lock
            .locks
            .renew(&self.grant, &self.owner, self.lock.ttl)
            .await;
        matches!(kept, Ok(true))
    }

    /// Gives the lock up. A failure is nobody's concern: the lock ends by its time to live (A13). A lock
    /// that was taken although the answer was lost is given up too (A117).
    pub async fn release(self) {
        match self.lock.locks.release(&self.grant, &self.owner).await {
            Ok(true) => {}
            Ok(false) if self.is_certain => {
                metrics::counter!("evergrant_lock_lost_total").increment(1);
                debug!(grant = %self.grant, "the leader lock had been lost");
            }
            Ok(false) => {}
            Err(error) => debug!(grant = %self.grant, %error, "the leader lock will expire"),
        }
    }
}
