//! Sealing anew what another key sealed, beside replicas that serve.
//!
//! A batch is read, sealed anew in this process and written by one statement that commits by itself. Each row is written
//! only if it still holds the bytes that were read, so a refresh at the same moment is never undone. Neither generation
//! nor version moves: the value is the same, and nobody need read it again.

use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait as _, DbBackend, QueryResult, Value};

use super::database::Database;
use super::error::store_error;
use super::grants::get;
use super::lone::{LONE_SECRETS, LoneSecret};
use super::migration;
use super::open::{self, OpenStoreError};
use super::row::number;
use super::sealed::{self, COLUMNS, KeyUse, SealedColumn};
use super::session::Session;
use super::sql::Sql;
use super::trial::{self, Trial};
use super::url::StoreUrl;
use crate::seal::{OpenError, Sealer};

/// A store as whoever looks after its sealing keys sees it: sealed values, and nothing else. Counting needs no key.
#[derive(Debug)]
pub struct SealedStore {
    database: Database,
}

/// The values of one column that one key sealed, from some row on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// `table.column`, one of [`sealed_columns`](super::sealed_columns).
    pub column: &'static str,
    /// The id of the key.
    pub key: String,
    /// The last row that was dealt with; empty at the beginning.
    pub after: String,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Values that were sealed anew, or would have been.
    pub resealed: u64,
    /// Values that others held or changed at that moment. Whether they are sealed anew is for a later look.
    pub missed: u64,
    /// Values that did not open.
    pub broken: u64,
    /// The stretch that is left, unless this was its end.
    pub rest: Option<Stretch>,
}

impl SealedStore {
    /// Opens the database at `url`. `None` if nothing can be sealed there yet: there is no such SQLite file, or no
    /// schema. A schema that is not up to date is an error.
    pub async fn open(url: &StoreUrl) -> Result<Option<Self>, OpenStoreError> {
        if url.sqlite_path().is_some_and(|path| !path.is_file()) {
            return Ok(None);
        }
        let database = open::open_patiently(url).await?;
        let found = match migration::standing(&database).await {
            Ok(migration::Standing::UpToDate) => return Ok(Some(Self { database })),
            Ok(migration::Standing::Empty) => Ok(None),
            Ok(migration::Standing::Lacks(pending)) => Err(OpenStoreError::Outdated(pending)),
            Err(error) => Err(error),
        };
        database.close().await;
        found
    }

    /// How many values each key sealed, column by column.
    pub async fn key_use(&self) -> Result<Vec<KeyUse>, StoreError> {
        sealed::key_use(&self.database).await
    }

    /// Tries a key on some of what was sealed under its name.
    pub async fn try_key(&self, sealer: &Sealer, key: &str) -> Result<Trial, StoreError> {
        trial::try_key(&self.database, sealer, key).await
    }

    /// Seals the first `limit` values of a stretch anew with the active key of `sealer`, or only tries to open them
    /// unless `write`. Cancelled, it may have sealed all of them or none.
    pub async fn reseal(
        &self,
        sealer: &Sealer,
        stretch: &Stretch,
        limit: u32,
        write: bool,
    ) -> Result<Batch, StoreError> {
        let column = match column(stretch.column) {
            Column::Of(column) => column,
            Column::Lone(secret) => {
                let renewed = secret.renew(&self.database, sealer, write).await?;
                return Ok(Batch {
                    resealed: u64::from(renewed == Some(true)),
                    broken: u64::from(renewed.is_none()),
                    ..Batch::default()
                });
            }
        };
        let rows = rows(&self.database, column, stretch, limit).await?;
        let mut batch = Batch::default();
        let mut anew = Vec::with_capacity(rows.len());
        for row in &rows {
            match row.reseal(column, sealer) {
                Ok(sealed) => anew.push((row, sealed)),
                Err(_) => batch.broken += 1,
            }
        }
        let count = anew.len() as u64;
        batch.resealed = match write && count > 0 {
            true => self.replace(column, sealer.active_key(), anew).await?,
            false => count,
        };
        batch.missed = count.saturating_sub(batch.resealed);
        batch.rest = (rows.len() as u64 >= u64::from(limit))
            .then(|| rows.into_iter().next_back())
            .flatten()
            .map(|last| Stretch {
                after: last.key,
                ..stretch.clone()
            });
        Ok(batch)
    }

    /// Closes all connections.
    pub async fn close(self) {
        self.database.close().await;
    }

    /// Writes what was sealed anew over what was read, where that still stands. Answers how many rows that were.
    async fn replace(
        &self,
        column: &SealedColumn,
        active: &str,
        anew: Vec<(&SealedRow, Vec<u8>)>,
    ) -> Result<u64, StoreError> {
        let (table, key, value) = (column.table, column.key, column.column);
        let keys = anew.iter().map(|(row, _)| Value::from(row.key.as_str()));
        let keys = Sql::tuple(keys);
        let values = anew.into_iter().map(|(row, sealed)| {
            Sql::tuple([
                row.key.as_str().into(),
                row.sealed.clone().into(),
                sealed.into(),
            ])
        });
        let assign = format!("UPDATE {table} SET {value} = anew.column3, key_id = ? FROM (VALUES ");
        let update = Sql::new(assign, [active.into()])
            .then(Sql::join(values, ", "))
            .then_text(&format!(
                ") AS anew WHERE {table}.{key} = anew.column1 AND {table}.{value} = anew.column2"
            ));
        let update = match self.database.backend() {
            // Whoever waits for nobody takes part in no deadlock, and holds up no refresh.
            DbBackend::Postgres => Sql::text(format!(
                "WITH free AS (SELECT {key} AS id FROM {table} WHERE {key} IN "
            ))
            .then(keys)
            .then_text(" FOR UPDATE SKIP LOCKED) ")
            .then(update)
            .then_text(&format!(" AND {table}.{key} IN (SELECT id FROM free)")),
            _ => update,
        };
        self.database.execute(update).await
    }
}

/// The first `limit` values of a stretch.
pub(super) async fn rows(
    database: &Database,
    column: &SealedColumn,
    stretch: &Stretch,
    limit: u32,
) -> Result<Vec<SealedRow>, StoreError> {
    let SealedColumn {
        name: _,
        table,
        column,
        key,
        row,
        generation,
    } = column;
    let read = Sql::new(
        format!(
            "SELECT {key} AS row_key, {row} AS place_row, {column} AS sealed,
                CAST({generation} AS BIGINT) AS place_generation
            FROM {table} WHERE key_id = ? AND {key} > ? ORDER BY {key} LIMIT ?"
        ),
        [
            stretch.key.as_str().into(),
            stretch.after.as_str().into(),
            i64::from(limit).into(),
        ],
    );
    let read = read.build(database.backend());
    let read = |session: Session| async move { session.query_all_raw(read).await };
    let rows = database.read_patiently(read).await;
    let rows = rows.map_err(|error| store_error(&error))?;
    rows.iter().map(SealedRow::read).collect()
}

enum Column {
    Of(&'static SealedColumn),
    Lone(LoneSecret),
}

fn column(name: &str) -> Column {
    let lone = LONE_SECRETS.into_iter().find(|secret| secret.name == name);
    let of = || COLUMNS.into_iter().find(|column| column.name == name);
    match lone {
        Some(secret) => Column::Lone(secret),
        None => Column::Of(of().expect("a stretch is of one of the columns")),
    }
}

/// A sealed value and where it belongs.
pub(super) struct SealedRow {
    key: String,
    row: String,
    generation: u64,
    sealed: Vec<u8>,
}

impl SealedRow {
    fn read(row: &QueryResult) -> Result<Self, StoreError> {
        Ok(Self {
            key: get(row, "row_key")?,
            row: get(row, "place_row")?,
            generation: number(get(row, "place_generation")?),
            sealed: get(row, "sealed")?,
        })
    }

    pub(super) fn opens(&self, column: &SealedColumn, sealer: &Sealer) -> bool {
        let place = column.place(&self.row, self.generation);
        sealer.open(place, &self.sealed).is_ok()
    }

    fn reseal(&self, column: &SealedColumn, sealer: &Sealer) -> Result<Vec<u8>, OpenError> {
        sealer.reseal(column.place(&self.row, self.generation), &self.sealed)
    }
}
