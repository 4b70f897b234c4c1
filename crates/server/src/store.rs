//! The store in SQLite or Postgres.
//!
//! Where the protocol needs an atomic step, one hand-written statement makes it ([`GrantStore`] and
//! [`Directory::apply`]); reads and listings go through sea-orm. Names of tables and columns are those of the
//! domain, and every secret is sealed before it gets here.

mod apply;
mod attempts;
mod audit;
mod authorizations;
mod backup;
mod changed;
mod clients;
mod database;
mod deliveries;
mod directory;
mod entity;
mod error;
mod forecast;
mod fragment;
mod grants;
mod in_use;
mod integrations;
mod kills;
mod log;
mod lone;
mod migration;
mod names;
mod open;
mod orphans;
mod payload;
mod probes;
mod reports;
mod reseal;
mod row;
mod sealed;
mod session;
mod snapshot;
mod sql;
mod tokens;
mod trial;
mod url;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::events::LogEpoch;
#[cfg(doc)]
use evergrant_core::store::{Directory, GrantStore};
use evergrant_core::store::{Store, StoreError};
use sea_orm::ConnectionTrait;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

pub use self::audit::{AuditBatch, AuditLog, AuditQuery, AuditState, OpenedTrail, Order, Outcomes};
pub use self::authorizations::StateHash;
pub use self::backup::Restored;
pub use self::kills::{Due, Forecast, Kill, KillQuery, NewKill, Tally, Turn};
pub use self::lone::{LONE_SECRETS, LoneSecret};
pub use self::open::{OpenStoreError, StoreOptions};
pub use self::reseal::{Batch, SealedStore, Stretch};
pub use self::sealed::{KeyUse, sealed_columns};
pub use self::trial::{Trial, Tried, WrongKey};
pub use self::url::{InvalidStoreUrl, Pooler, StoreUrl};

use self::database::{Database, within};
use crate::audit::Audit;
use crate::seal::Sealer;

const PING: Duration = Duration::from_secs(2);

/// All that a server keeps, in SQLite or Postgres.
///
/// Every operation ends within five seconds. A call that is cancelled or times out may have taken place, and
/// never takes place by half.
pub struct SqlStore {
    database: Database,
    sealer: Sealer,
    cursor_key: Zeroizing<[u8; 32]>,
    log: AuditLog,
    /// Where changes are noted.
    audit: Audit,
    /// Changes in progress on SQLite, which outlive their callers.
    tasks: TaskTracker,
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").finish_non_exhaustive()
    }
}

impl SqlStore {
    /// Opens the database at `url`, and brings its schema up to date if `options` say so. A SQLite file is
    /// created, for its owner alone, if it does not exist.
    pub async fn connect(
        url: &StoreUrl,
        sealer: Sealer,
        options: StoreOptions,
    ) -> Result<Self, OpenStoreError> {
        Self::connect_without(url, sealer, &[], options).await
    }

    /// The same where the keys with these ids are lost for good. If one of them sealed the secret that authenticates
    /// cursors, there is a new secret, and the log a new epoch: cursors of before are refused as of another life. If one
    /// sealed the secret of the audit trail, a new chain begins after its last record.
    ///
    /// A key that opens nothing of what was sealed under its name is refused before anything is sealed with it.
    pub async fn connect_without(
        url: &StoreUrl,
        sealer: Sealer,
        lost: &[String],
        options: StoreOptions,
    ) -> Result<Self, OpenStoreError> {
        if options.migrate {
            Self::migrate(url).await?;
        }
        let database = open::open(url, options).await?;
        match migration::lacks(&database).await? {
            0 => {}
            pending => return Err(OpenStoreError::Outdated(pending)),
        }
        log::give_up_cursor_key(&database, &sealer, lost).await?;
        trial::all_keys(&database, &sealer).await?;
        Ok(Self {
            cursor_key: log::begin(&database, &sealer).await?,
            log: AuditLog::connect(&database, &sealer, lost).await?,
            audit: Audit::default(),
            database,
            sealer,
            tasks: TaskTracker::new(),
        })
    }

    /// The same store, noting in `audit` whatever it changes from now on.
    #[must_use]
    pub fn noting(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// Where changes are noted.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The audit trail.
    pub fn audit_log(&self) -> &AuditLog {
        &self.log
    }

    /// Brings the schema of the database at `url` up to date, and answers how many migrations that took. Of
    /// several processes one does it while the others wait. A failure leaves the schema as it was.
    pub async fn migrate(url: &StoreUrl) -> Result<u32, OpenStoreError> {
        let database = open::open_patiently(url).await?;
        let applied = migration::migrate(&database).await;
        database.close().await;
        applied
    }

    /// Gives the event log of the database at `url` a new epoch, and answers it. Every cursor that was issued before is
    /// refused from then on as one of another life of the log. Replicas that run meanwhile must be started again.
    pub async fn renew_epoch(url: &StoreUrl) -> Result<LogEpoch, OpenStoreError> {
        if let StoreUrl::Sqlite(path) = url
            && !path.is_file()
        {
            return Err(OpenStoreError::NoFile(path.clone()));
        }
        let database = open::open_patiently(url).await?;
        let renewed = async {
            match migration::lacks(&database).await? {
                0 => log::renew_epoch(&database)
                    .await?
                    .ok_or(OpenStoreError::NoLog),
                pending => Err(OpenStoreError::Outdated(pending)),
            }
        };
        let renewed = renewed.await;
        database.close().await;
        renewed
    }

    /// Ids of all keys that sealed something here and do not open it, since they are not in the ring.
    ///
    /// It misses none, and takes a step down an index for each key and column however many rows there are.
    pub async fn unknown_keys(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut ids = sealed::key_ids(&self.database).await?;
        ids.retain(|id| !self.sealer.opens(id));
        Ok(ids)
    }

    /// Id of a key that sealed something in the SQLite database at `url`. `None` if nothing is sealed there, if there is
    /// no such file, or if it is no SQLite.
    pub async fn sealed_by(url: &StoreUrl) -> Result<Option<String>, OpenStoreError> {
        match url {
            StoreUrl::Sqlite(path) if path.is_file() => {}
            _ => return Ok(None),
        }
        let database = open::open_patiently(url).await?;
        let found = tokens::sealed_by(&database).await;
        database.close().await;
        Ok(found?)
    }

    /// 32 secret bytes, the same for all replicas and all lives of a server, to authenticate the cursors of
    /// event streams with.
    pub fn cursor_key(&self) -> &[u8; 32] {
        &self.cursor_key
    }

    /// Waits for changes in progress and closes all connections. Calls fail from then on.
    pub async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.database.close().await;
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let ping = self.database.read(|database| async move {
            database.execute_unprepared("SELECT 1").await.map(drop)
        });
        within(PING, ping).await?
    }
}
