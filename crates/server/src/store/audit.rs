//! The audit trail in the database: records, numbered and chained, and one row that says where the chain begins and ends.
//!
//! A batch of records is computed in this process from the head that was read, and written by one statement (on SQLite,
//! one transaction of this process alone) that moves the head from there, or writes nothing. So records are numbered
//! without a gap in the order in which they were committed, whatever replica writes them, and no lock is held while
//! anybody computes.

mod append;
mod batch;
mod begin;
mod go_on;
mod naming;
mod open;
mod prune;
mod read;
mod row;
#[cfg(test)]
mod sample;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evergrant_core::store::StoreError;

pub use self::batch::AuditBatch;
pub use self::open::OpenedTrail;
pub use self::read::{AuditQuery, Order, Outcomes};
pub use self::state::AuditState;

use self::begin::begin;
use super::database::Database;
use super::lone::CHAIN_KEY;
use super::row::corrupt;
use crate::audit::chain::ChainKey;
use crate::seal::Sealer;

/// The audit trail of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditLog {
    database: Database,
    sealer: Sealer,
    known: Arc<Mutex<Known>>,
}

/// What this process knows of the trail, whatever the database says.
#[derive(Debug)]
struct Known {
    /// The key that records are chained with.
    key: ChainKey,
    /// The same as it was last stored.
    sealed: Vec<u8>,
    /// The trail as it was last left or found in order. Its head never goes back behind that.
    seen: Option<AuditState>,
    /// What lies above the head, as far as it was told.
    beyond: Option<(u64, u64)>,
}

impl AuditLog {
    /// Opens the trail, and begins it if this is its first use. If the key of its chain is among those that are `lost`,
    /// a new chain begins after the last record.
    pub(super) async fn connect(
        database: &Database,
        sealer: &Sealer,
        lost: &[String],
    ) -> Result<Self, StoreError> {
        begin(database, sealer, lost).await?;
        CHAIN_KEY.renew(database, sealer, true).await?;
        let sealed = CHAIN_KEY.sealed(database).await?;
        let sealed = sealed.ok_or_else(|| corrupt("the audit trail has no head"))?;
        let key = ChainKey::new(&*CHAIN_KEY.open_sealed(sealer, &sealed)?);
        let log = Self::new(database.clone(), sealer.clone(), key, sealed);
        // So that it is known from the beginning where the trail was left.
        log.next().await?;
        Ok(log)
    }

    fn new(database: Database, sealer: Sealer, key: ChainKey, sealed: Vec<u8>) -> Self {
        let known = Known {
            key,
            sealed,
            seen: None,
            beyond: None,
        };
        Self {
            database,
            sealer,
            known: Arc::new(Mutex::new(known)),
        }
    }

    /// The key that records are chained with.
    pub fn key(&self) -> ChainKey {
        self.known().key.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all connections.
    pub async fn close(self) {
        self.database.close().await;
    }
}

impl Known {
    /// Takes over the key of the chain from where it is stored, where it changed: sealing keys were rotated, or another
    /// replica began a new chain. What does not open is nobody's key.
    fn adopt(&mut self, sealer: &Sealer, sealed: &[u8]) {
        if self.sealed == sealed {
            return;
        }
        let Ok(secret) = CHAIN_KEY.open_sealed(sealer, sealed) else {
            return;
        };
        let key = ChainKey::new(&secret);
        if key.root(0) != self.key.root(0) {
            self.seen = None;
        }
        self.key = key;
        self.sealed = sealed.to_vec();
    }
}
