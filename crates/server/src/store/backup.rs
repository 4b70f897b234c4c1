//! Copies of the store, and what a store is told that was restored from one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use evergrant_core::events::LogEpoch;
use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait;

use super::database::Database;
use super::migration::{self, Standing};
use super::open::{self, OpenStoreError};
use super::sql::Sql;
use super::url::StoreUrl;
use super::{SqlStore, in_use, log};

/// Grants that are marked by one statement.
const BATCH: i64 = 5_000;

/// What was done to a restored store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Grants whose refresh token may have been spent after the backup, and that were not in doubt before.
    pub in_doubt: u64,
    /// The new life of the event log.
    pub epoch: LogEpoch,
}

impl SqlStore {
    /// Writes a copy of the SQLite database at `path` to the new file `out`, for its owner alone, beside whoever uses the
    /// database. The copy is of one moment, and on disk when this returns. A failure leaves no file.
    pub async fn back_up(path: &Path, out: &Path) -> Result<(), OpenStoreError> {
        if !path.is_file() {
            return Err(OpenStoreError::NoFile(path.to_owned()));
        }
        let failed = |source| OpenStoreError::File {
            path: out.to_owned(),
            source,
        };
        let Some(name) = out.to_str() else {
            let what = "its name is no text";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, what)));
        };
        let mut private = OpenOptions::new();
        // SQLite writes into a file that is there if it is empty.
        let file = private.write(true).create_new(true).mode(0o600).open(out);
        let file = file.map_err(failed)?;
        let copied = async {
            let database = open::open_patiently(&StoreUrl::Sqlite(path.to_owned())).await?;
            if let Ok(Standing::Empty) = migration::standing(&database).await {
                database.close().await;
                return Err(OpenStoreError::NoSchema);
            }
            let copy = format!("VACUUM INTO '{}'", name.replace('\'', "''"));
            let copied = database.writer.execute_unprepared(&copy).await;
            database.close().await;
            copied?;
            // SQLite leaves that to us.
            file.sync_all().map_err(failed)?;
            let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
            folder.sync_all().map_err(failed)
        };
        let copied = copied.await;
        if copied.is_err()
            && let Err(error) = std::fs::remove_file(out)
        {
            tracing::warn!(%error, "an unfinished copy is left behind");
        }
        copied
    }

    /// Tells the database at `url` that it was restored from a backup: every refresh token in it may have been spent
    /// since, and its events are not those that clients have seen. Brings the schema up to date first.
    ///
    /// No replica may run meanwhile: somebody who uses the database is told as [`OpenStoreError::InUse`] before anything is
    /// changed, unless `force`. It may be repeated; cancelled or failed, it must be.
    pub async fn restored(url: &StoreUrl, force: bool) -> Result<Restored, OpenStoreError> {
        if let StoreUrl::Sqlite(path) = url
            && !path.is_file()
        {
            return Err(OpenStoreError::NoFile(path.clone()));
        }
        if !force {
            in_use::refuse(url).await?;
        }
        Self::migrate(url).await?;
        let database = open::open_patiently(url).await?;
        let restored = async {
            let in_doubt = put_in_doubt(&database).await?;
            let epoch = log::renew_epoch(&database).await?;
            let epoch = epoch.ok_or(OpenStoreError::NoLog)?;
            Ok(Restored { in_doubt, epoch })
        };
        let restored = restored.await;
        database.close().await;
        restored
    }
}

/// Leaves each active grant as an attempt does that never told its end.
async fn put_in_doubt(database: &Database) -> Result<u64, StoreError> {
    let mut all = 0;
    loop {
        let batch = Sql::new(
            "UPDATE grants SET intent = TRUE, lease_owner = NULL, lease_until = NULL
             WHERE id IN (
                SELECT id FROM grants WHERE refreshable AND invalid_reason IS NULL
                AND (NOT intent OR lease_owner IS NOT NULL) ORDER BY id LIMIT ?
             )",
            [BATCH.into()],
        );
        match database.execute(batch).await? {
            0 => return Ok(all),
            marked => all += marked,
        }
    }
}
