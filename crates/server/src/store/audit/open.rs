//! Opening the trail of a database that is not served from here.

use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait;

use super::super::database::Database;
use super::super::grants::get;
use super::super::lone::CHAIN_KEY;
use super::super::migration::{self, Standing};
use super::super::open::{self, OpenStoreError};
use super::super::row::number;
use super::super::session::Session;
use super::super::sql::Sql;
use super::super::trial;
use super::super::url::StoreUrl;
use super::AuditLog;
use crate::audit::chain::ChainKey;
use crate::seal::Sealer;

/// What there is of a trail.
#[derive(Debug)]
pub enum OpenedTrail {
    /// It was begun.
    Begun(AuditLog),
    /// The row that says where it ends, and has its key, was removed. What is left are records of these numbers.
    Headless {
        /// The lowest.
        first: u64,
        /// The highest.
        last: u64,
    },
    /// No trail was ever begun, or nothing is left of it.
    None,
}

impl AuditLog {
    /// Opens the trail of the database at `url` to read it. A database that is not there, or not a store, is an error, as
    /// is a schema that is not up to date. Nothing is created or changed.
    ///
    /// Without a `sealer` a trail that was begun is an error, since its key cannot be opened.
    pub async fn open(
        url: &StoreUrl,
        sealer: Option<&Sealer>,
    ) -> Result<OpenedTrail, OpenStoreError> {
        if let Some(path) = url.sqlite_path().filter(|path| !path.is_file()) {
            return Err(OpenStoreError::NoFile(path.to_owned()));
        }
        let database = open::open_patiently(url).await?;
        match opened(&database, sealer).await {
            Ok(OpenedTrail::Begun(log)) => Ok(OpenedTrail::Begun(log)),
            other => {
                database.close().await;
                other
            }
        }
    }
}

async fn opened(
    database: &Database,
    sealer: Option<&Sealer>,
) -> Result<OpenedTrail, OpenStoreError> {
    match migration::standing(database).await? {
        Standing::UpToDate => {}
        Standing::Empty => return Err(OpenStoreError::NoSchema),
        Standing::Lacks(pending) => return Err(OpenStoreError::Outdated(pending)),
    }
    if let Some(sealed) = CHAIN_KEY.sealed(database).await? {
        let Some(sealer) = sealer else {
            let id = Sealer::key_of(&sealed).unwrap_or_default().to_owned();
            return Err(StoreError::KeyUnavailable(id).into());
        };
        if let Some(id) = Sealer::key_of(&sealed).filter(|id| sealer.opens(id)) {
            trial::one_key(database, sealer, id).await?;
        }
        let key = CHAIN_KEY.open_sealed(sealer, &sealed)?;
        let log = AuditLog::new(
            database.clone(),
            sealer.clone(),
            ChainKey::new(&key),
            sealed,
        );
        return Ok(OpenedTrail::Begun(log));
    }
    Ok(match numbers(database).await? {
        Some((first, last)) => OpenedTrail::Headless { first, last },
        None => OpenedTrail::None,
    })
}

/// The lowest and the highest number of a record.
async fn numbers(database: &Database) -> Result<Option<(u64, u64)>, StoreError> {
    let read = "SELECT CAST(MIN(number) AS BIGINT) AS first, CAST(MAX(number) AS BIGINT) AS last \
                FROM audit_records";
    let read = Sql::text(read).build(database.backend());
    let query = |reader: Session| {
        let read = read.clone();
        async move { reader.query_one_raw(read).await }
    };
    let Some(row) = database.read(query).await? else {
        return Ok(None);
    };
    let first: Option<i64> = get(&row, "first")?;
    let last: Option<i64> = get(&row, "last")?;
    Ok(first.map(number).zip(last.map(number)))
}
