//! A trail to try, and somebody who can write its tables.

use evergrant_core::clock::Timestamp;
use sea_orm::{Database, DatabaseConnection};
use tempfile::TempDir;

use super::{AuditBatch, AuditLog};
use crate::audit::record::{Act, Entry, Subject};
use crate::seal::{Sealer, SealingKey};
use crate::store::{SqlStore, StoreOptions, StoreUrl};

pub(super) struct Trail {
    store: SqlStore,
    /// A connection that the store knows nothing of.
    pub(super) somebody: DatabaseConnection,
    _folder: TempDir,
}

impl Trail {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("e.db").display());
        let ring = [("k1".to_owned(), SealingKey::generate())];
        let sealer = Sealer::new("k1", ring.into()).unwrap();
        let store_url = StoreUrl::parse(&url).unwrap();
        let store = SqlStore::connect(&store_url, sealer, StoreOptions::default());
        Self {
            store: store.await.unwrap(),
            somebody: Database::connect(&url).await.unwrap(),
            _folder: folder,
        }
    }

    pub(super) fn log(&self) -> &AuditLog {
        self.store.audit_log()
    }

    /// Writes a record of something that happened at `at`.
    pub(super) async fn write(&self, at: Timestamp) {
        let act = Act::of_evergrant("TokensRefreshed", Subject::default());
        let mut batch = AuditBatch::new(vec![Entry::new(act, at)]);
        self.log().append(&mut batch).await.unwrap();
    }
}
