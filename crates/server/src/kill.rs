//! Works on kills: invalidates what they take, then has it revoked, batch by batch.
//!
//! A kill is a row with a lease. Every replica looks for kills that nobody works on, so one that dies is followed by
//! another, which begins anew: what was taken is noted with its invalidation in one change, and what was revoked right
//! after. Two that work on the same kill, e.g. since one was paused, do the same things once or harmlessly twice.

mod refused;
mod work;

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::broker::Broker;
use evergrant_core::ids::{KillId, OwnerToken, ReplicaName};
use evergrant_core::kill::{KillOrder, KillTarget};
use evergrant_core::store::StoreError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

pub use self::refused::{Refused, RefusedCallers};
use self::work::Work;
use crate::store::{NewKill, SqlStore};

/// How often each replica looks for a kill that nobody works on, and which callers are refused.
const LOOK: Duration = Duration::from_millis(500);
/// For how long a replica holds a kill without saying so again.
const LEASE: Duration = Duration::from_secs(10);

/// Begins kills and works on them. Cheap to clone.
#[derive(Clone)]
pub struct Killer {
    store: Arc<SqlStore>,
    broker: Arc<Broker>,
    refused: RefusedCallers,
    replica: ReplicaName,
    audit_flush: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl std::fmt::Debug for Killer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Killer").finish_non_exhaustive()
    }
}

impl Killer {
    /// Kills in `store`, through the registry and the revoker of `broker`. Once `stop` is cancelled, other replicas go
    /// on with what has begun. What was disclosed may not be on record for `audit_flush`.
    pub fn new(
        store: Arc<SqlStore>,
        broker: Arc<Broker>,
        refused: RefusedCallers,
        replica: ReplicaName,
        audit_flush: Duration,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            store,
            broker,
            refused,
            replica,
            audit_flush,
            tasks,
            stop,
        }
    }

    /// Writes a kill down and begins to work on it. Once this has returned the kill outlives its caller and this
    /// process.
    pub async fn begin(&self, new: &NewKill) -> Result<(), StoreError> {
        let owner = OwnerToken::of(&self.replica);
        self.store.begin_kill(new, &owner, LEASE).await?;
        let (kill, by, reason, revoke) = (&new.id, &new.by, &new.reason, new.revoke);
        warn!(%kill, by, reason, revoke, "an operator began a kill");
        if let KillTarget::Caller { name, .. } = &new.target {
            self.refused.refuse(name, kill);
        }
        if let Some(order) = self.store.kill_order(kill).await? {
            self.work(order, owner);
        }
        Ok(())
    }

    /// Tries again what a kill gave up.
    pub async fn resume(&self, id: &KillId) -> Result<u64, StoreError> {
        self.store.resume_kill(id).await
    }

    /// Lets a caller in again. Answers how many kills of it that lifts.
    pub async fn lift(&self, caller: &str) -> Result<u64, StoreError> {
        let lifted = self.store.lift_kills(caller).await?;
        if lifted > 0 {
            warn!(caller, lifted, "an operator let a caller in again");
        }
        self.refused.follow(self.store.refused_callers()).await?;
        Ok(lifted)
    }

    /// Through what it invalidates and revokes.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// What is written down.
    pub fn store(&self) -> &SqlStore {
        &self.store
    }

    /// Takes over what nobody works on, and follows which callers are refused, until the process stops.
    pub async fn run(self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_told = false;
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = self.stop.cancelled() => return,
            }
            match self.look().await {
                Ok(()) => is_told = false,
                // Other parts say that the database is away.
                Err(StoreError::Unavailable(_)) => {}
                Err(error) if !is_told => {
                    error!(%error, "kills cannot be read");
                    is_told = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        self.refused.follow(self.store.refused_callers()).await?;
        let owner = OwnerToken::of(&self.replica);
        if let Some(order) = self.store.claim_kill(&owner, LEASE).await? {
            let kill = &order.id;
            warn!(%kill, "this replica goes on with a kill");
            self.work(order, owner);
        }
        Ok(())
    }

    fn work(&self, order: KillOrder, owner: OwnerToken) {
        let work = Work {
            store: Arc::clone(&self.store),
            registry: self.broker.registry(),
            revoker: self.broker.revoker(),
            order,
            owner,
            audit_flush: self.audit_flush,
            stop: self.stop.clone(),
        };
        self.tasks.spawn(work.run(LEASE));
    }
}
