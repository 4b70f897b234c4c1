//! Every column that holds sealed values, and which keys sealed them.
//!
//! A sealed value begins with the id of its key. Beside it the row repeats that id as `key_id`, written by the same
//! statement, so that values can be counted and found by key with an index.

use std::collections::BTreeSet;

use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait as _;

use super::database::Database;
use super::error::store_error;
use super::grants::get;
use super::lone::LONE_SECRETS;
use super::row::number;
use super::session::Session;
use super::sql::Sql;
use crate::seal::Place;

/// The tokens of grants, with the means of those that are minted.
pub(super) const GRANT_TOKENS: SealedColumn = SealedColumn {
    name: "grants.tokens",
    table: "grants",
    column: "tokens",
    key: "id",
    row: "id",
    generation: "generation",
};

/// Tokens that came too late to be stored.
pub(super) const ORPHAN_TOKENS: SealedColumn = SealedColumn {
    name: "orphans.tokens",
    table: "orphans",
    column: "tokens",
    key: "id",
    row: "grant_id",
    generation: "generation",
};

/// What consents that have begun need to be completed.
pub(super) const AUTHORIZATION_PAYLOAD: SealedColumn = SealedColumn {
    name: "authorizations.payload",
    table: "authorizations",
    column: "payload",
    key: "state",
    row: "state",
    generation: "0",
};

/// All columns of sealed values with a `key_id` beside them. Whatever counts, seals anew or looks for unknown keys goes
/// through this list, and a test holds it against the schema.
pub(super) const COLUMNS: [&SealedColumn; 3] =
    [&GRANT_TOKENS, &ORPHAN_TOKENS, &AUTHORIZATION_PAYLOAD];

/// Names of all columns that hold sealed values, as `table.column`.
pub fn sealed_columns() -> impl Iterator<Item = &'static str> {
    COLUMNS
        .into_iter()
        .map(|column| column.name)
        .chain(LONE_SECRETS.iter().map(|secret| secret.name))
}

/// A column of sealed values.
#[derive(Debug)]
pub(super) struct SealedColumn {
    /// `table.column`: what it is called in [`Place::column`].
    pub(super) name: &'static str,
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    /// The primary key, one text.
    pub(super) key: &'static str,
    /// The column that is [`Place::row`].
    pub(super) row: &'static str,
    /// The column that is [`Place::generation`], or `0`.
    pub(super) generation: &'static str,
}

impl SealedColumn {
    /// Where the value of a row belongs.
    pub(super) fn place<'a>(&self, row: &'a str, generation: u64) -> Place<'a> {
        Place {
            column: self.name,
            row,
            generation,
        }
    }
}

/// How many values of one column a key sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The key's id.
    pub key: String,
    /// `table.column`.
    pub column: &'static str,
    /// How many.
    pub values: u64,
}

/// Ids of all keys that sealed something. It jumps from one id to the next in the index.
pub(super) async fn key_ids(database: &Database) -> Result<BTreeSet<String>, StoreError> {
    let mut ids = BTreeSet::new();
    for column in COLUMNS {
        let table = column.table;
        let jump = Sql::text(format!(
            "WITH RECURSIVE ids (id) AS (
                SELECT min(key_id) FROM {table}
                UNION ALL
                SELECT (SELECT min(key_id) FROM {table} WHERE key_id > ids.id) FROM ids
                    WHERE ids.id IS NOT NULL
            ) SELECT id FROM ids WHERE id IS NOT NULL"
        ));
        let jump = jump.build(database.backend());
        let read = |reader: Session| {
            let jump = jump.clone();
            async move { reader.query_all_raw(jump).await }
        };
        for row in database.read(read).await? {
            ids.insert(get(&row, "id")?);
        }
    }
    for secret in LONE_SECRETS {
        ids.extend(secret.key_id(database).await?);
    }
    Ok(ids)
}

/// How many values each key sealed, column by column. It reads an index from end to end and may take some seconds.
pub(super) async fn key_use(database: &Database) -> Result<Vec<KeyUse>, StoreError> {
    let mut found = Vec::new();
    for column in COLUMNS {
        let table = column.table;
        let count = format!("SELECT key_id, count(*) AS rows_sealed FROM {table} GROUP BY key_id");
        let count = Sql::text(count + " ORDER BY key_id").build(database.backend());
        let count = |session: Session| async move { session.query_all_raw(count).await };
        let rows = database.read_patiently(count).await;
        for row in rows.map_err(|error| store_error(&error))? {
            found.push(KeyUse {
                key: get(&row, "key_id")?,
                column: column.name,
                values: number(get(&row, "rows_sealed")?),
            });
        }
    }
    for secret in LONE_SECRETS {
        let key = secret.key_id(database).await?;
        found.extend(key.map(|key| KeyUse {
            key,
            column: secret.name,
            values: 1,
        }));
    }
    Ok(found)
}
