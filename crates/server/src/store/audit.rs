//! The audit trail in the database: records, numbered and chained, and one row that says where the chain begins and ends.
//!
//! A batch of records is computed in this process from the head that was read, and written by one statement (on SQLite,
//! one transaction of this process alone) that moves the head from there, or writes nothing. So records are numbered
//! without a gap in the order in which they were committed, whatever replica writes them, and no lock is held while
//! anybody computes.

mod append;
mod batch;
mod begin;
mod prune;
mod read;
mod row;

use std::sync::{Arc, Mutex, PoisonError};

use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait;

pub use self::batch::AuditBatch;
pub use self::read::{AuditQuery, Order, Outcomes};

use self::begin::begin;
use super::database::Database;
use super::grants::get;
use super::lone::CHAIN_KEY;
use super::migration;
use super::open::{self, OpenStoreError};
use super::row::{corrupt, number};
use super::session::Session;
use super::sql::Sql;
use super::trial;
use super::url::StoreUrl;
use crate::audit::chain::{ChainKey, Link, Mac};
use crate::seal::Sealer;

/// The audit trail of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditLog {
    database: Database,
    key: ChainKey,
    /// The last record that this process wrote or saw: the head never goes back behind it.
    seen: Arc<Mutex<u64>>,
}

/// Where the chain begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditState {
    /// The number of the last record before this chain. It is above 0 where an earlier chain's key was lost.
    pub base: u64,
    /// The last record that was pruned.
    pub floor: Link,
    /// What shows that this is the floor.
    pub floor_seal: Mac,
    /// The last record.
    pub head: Link,
    /// What shows that this is the head.
    pub head_seal: Mac,
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
        let key = CHAIN_KEY.open_and_renew(database, sealer).await?;
        Ok(Self::new(database.clone(), ChainKey::new(&key)))
    }

    /// Opens the trail of the database at `url` to read it. `None` if there is none: no such SQLite file, or nothing in
    /// it. A schema that is not up to date is an error.
    pub async fn open(url: &StoreUrl, sealer: &Sealer) -> Result<Option<Self>, OpenStoreError> {
        if url.sqlite_path().is_some_and(|path| !path.is_file()) {
            return Ok(None);
        }
        let database = open::open_patiently(url).await?;
        let found = async {
            match migration::standing(&database).await? {
                migration::Standing::UpToDate => {}
                migration::Standing::Empty => return Ok(None),
                migration::Standing::Lacks(pending) => {
                    return Err(OpenStoreError::Outdated(pending));
                }
            }
            match CHAIN_KEY.sealed(&database).await? {
                None => Ok(None),
                Some(sealed) => {
                    if let Some(key) = Sealer::key_of(&sealed).filter(|key| sealer.opens(key)) {
                        trial::one_key(&database, sealer, key).await?;
                    }
                    Ok(Some(CHAIN_KEY.open(&database, sealer).await?))
                }
            }
        };
        match found.await {
            Ok(Some(key)) => Ok(Some(Self::new(database, ChainKey::new(&key)))),
            other => {
                database.close().await;
                other.map(|_| None)
            }
        }
    }

    fn new(database: Database, key: ChainKey) -> Self {
        Self {
            database,
            key,
            seen: Arc::default(),
        }
    }

    /// The key that records are chained with.
    pub fn key(&self) -> &ChainKey {
        &self.key
    }

    /// Where the chain begins and ends now.
    pub async fn state(&self) -> Result<AuditState, StoreError> {
        let read = Sql::text(
            "SELECT base, floor, floor_mac, floor_seal, head, head_mac, head_seal
             FROM audit_log WHERE id = 1",
        );
        let read = read.build(self.database.backend());
        let query = |reader: Session| {
            let read = read.clone();
            async move { reader.query_one_raw(read).await }
        };
        let row = self.database.read(query).await?;
        let row = row.ok_or_else(|| corrupt("the audit trail has no head"))?;
        let mac = |column| row::mac(&row, column);
        Ok(AuditState {
            base: number(get(&row, "base")?),
            floor: Link {
                number: number(get(&row, "floor")?),
                mac: mac("floor_mac")?,
            },
            floor_seal: mac("floor_seal")?,
            head: Link {
                number: number(get(&row, "head")?),
                mac: mac("head_mac")?,
            },
            head_seal: mac("head_seal")?,
        })
    }

    /// Closes all connections.
    pub async fn close(self) {
        self.database.close().await;
    }

    /// Remembers that there is a record of this number. Answers the highest of which that was known before.
    fn see(&self, number: u64) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *seen;
        *seen = before.max(number);
        before
    }
}
