//! What replicas share besides the database: Redis if it is configured, and the local journal.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::coordinator::local::{LocalBus, LocalLocks};
use evergrant_core::coordinator::{Bus, Escrow, Locks};
use tokio::sync::watch;

use super::{StartError, known_or_lost};
use crate::config::Config;
use crate::escrow::Escrows;
use crate::journal::Journal;
use crate::lifecycle::Lifecycle;
use crate::redis::RedisCoordinator;
use crate::seal::Sealer;

/// The coordination ports of a replica.
pub(super) struct Coordination {
    pub(super) locks: Arc<dyn Locks>,
    pub(super) escrow: Arc<dyn Escrow>,
    pub(super) bus: Arc<dyn Bus>,
    redis: Option<Arc<RedisCoordinator>>,
    /// Redis is needed until the last flight has ended, so it has a life of its own.
    life: Lifecycle,
}

impl std::fmt::Debug for Coordination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordination").finish_non_exhaustive()
    }
}

impl Coordination {
    pub(super) fn start(config: &Config, sealer: &Sealer) -> Result<Self, StartError> {
        let life = Lifecycle::new();
        let mut escrows: Vec<Arc<dyn Escrow>> = Vec::new();
        if let Some(path) = &config.refresh.journal {
            let journal = Journal::open(path, sealer.clone()).map_err(StartError::Journal)?;
            let keys = journal.key_use();
            known_or_lost(config, keys.keys().filter(|id| !sealer.opens(id)))?;
            escrows.push(Arc::new(journal));
        }
        let redis = match &config.redis.url {
            None => None,
            Some(url) => Some(RedisCoordinator::connect(
                url.expose(),
                &config.redis.prefix,
                sealer.clone(),
                life.tracker(),
                life.stop(),
            )?),
        };
        let (locks, bus): (Arc<dyn Locks>, Arc<dyn Bus>) = match &redis {
            None => (Arc::new(LocalLocks), Arc::new(LocalBus::new())),
            Some(redis) => {
                escrows.push(redis.clone());
                (redis.clone(), redis.clone())
            }
        };
        Ok(Self {
            locks,
            bus,
            escrow: Arc::new(Escrows(escrows)),
            redis,
            life,
        })
    }

    pub(super) fn redis_up(&self) -> Option<watch::Receiver<bool>> {
        self.redis.as_ref().map(|redis| redis.up())
    }

    pub(super) async fn close(&self, at_most: Duration) {
        self.life.drain();
        self.life.drained(at_most).await;
    }
}
