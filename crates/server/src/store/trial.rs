//! Whether a key opens what was sealed under its name: a wrong file under a right name is a common mistake.
//!
//! One value that does not open may be damaged; a key that opens none of those that are tried is most likely another one.

use evergrant_core::store::StoreError;
use thiserror::Error;

use super::database::Database;
use super::lone::LONE_SECRETS;
use super::open::OpenStoreError;
use super::reseal::{Stretch, rows};
use super::sealed::{self, COLUMNS};
use crate::seal::Sealer;

/// So many values of a column are tried. More would say little more.
const SAMPLE: u32 = 8;

/// How a key did with some of what was sealed under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The key's id.
    pub key: String,
    /// One of each column in which there is something.
    pub columns: Vec<Tried>,
}

/// How a key did with some values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// `table.column`.
    pub column: &'static str,
    /// Values that it opened.
    pub opened: u32,
    /// Values that it did not open.
    pub closed: u32,
}

/// A key is not the one that sealed under its name, as far as can be told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "sealing key {key} does not open what was sealed under its name ({column}): \
     it has other bytes, as from a wrong key file, or else the database is damaged"
)]
pub struct WrongKey {
    /// The key's id.
    pub key: String,
    /// `table.column` of what it does not open.
    pub column: &'static str,
}

impl Trial {
    /// What the key failed to open, if it opened nothing at all.
    pub fn wrong(&self) -> Option<WrongKey> {
        match self.columns.iter().any(|tried| tried.opened > 0) {
            true => None,
            false => self.closed().map(|column| WrongKey {
                key: self.key.clone(),
                column,
            }),
        }
    }

    /// Whether more failed to open than values that were damaged one by one, or one without which no replica starts.
    fn is_no_accident(&self) -> bool {
        let is_lone = |tried: &Tried| LONE_SECRETS.iter().any(|lone| lone.name == tried.column);
        let mut closed = self.columns.iter().filter(|tried| tried.closed > 0);
        closed.any(|tried| tried.closed >= SAMPLE || is_lone(tried))
    }

    /// The first column in which something did not open.
    pub fn closed(&self) -> Option<&'static str> {
        let mut columns = self.columns.iter();
        let closed = columns.find(|tried| tried.closed > 0);
        closed.map(|tried| tried.column)
    }
}

/// Refuses a key of `sealer` that opens nothing of what was sealed under its name, before anything is sealed with it.
///
/// Of a key that seals no more a few values may be all that is left, since they are damaged: they are told of, and stop
/// no start.
pub(super) async fn all_keys(database: &Database, sealer: &Sealer) -> Result<(), OpenStoreError> {
    for key in sealed::key_ids(database).await? {
        if !sealer.opens(&key) {
            continue;
        }
        let trial = try_key(database, sealer, &key).await?;
        if let Some(wrong) = trial.wrong() {
            if key == sealer.active_key() || trial.is_no_accident() {
                return Err(wrong.into());
            }
            tracing::error!(key_id = %key, error = %wrong, "what a sealing key sealed does not open");
        }
    }
    Ok(())
}

/// Refuses the key if it opens nothing of what was sealed under its name.
pub(super) async fn one_key(
    database: &Database,
    sealer: &Sealer,
    key: &str,
) -> Result<(), OpenStoreError> {
    let trial = try_key(database, sealer, key).await?;
    trial.wrong().map_or(Ok(()), |wrong| Err(wrong.into()))
}

/// Tries the key on some values of each column. It takes a step down an index for each.
pub(super) async fn try_key(
    database: &Database,
    sealer: &Sealer,
    key: &str,
) -> Result<Trial, StoreError> {
    let mut columns = Vec::new();
    for secret in LONE_SECRETS {
        if let Some(opened) = secret.opens_with(database, sealer, key).await? {
            columns.push(Tried {
                column: secret.name,
                opened: u32::from(opened),
                closed: u32::from(!opened),
            });
        }
    }
    for column in COLUMNS {
        let stretch = Stretch {
            column: column.name,
            key: key.to_owned(),
            after: String::new(),
        };
        let rows = rows(database, column, &stretch, SAMPLE).await?;
        let mut tried = Tried {
            column: column.name,
            opened: 0,
            closed: 0,
        };
        for row in &rows {
            match row.opens(column, sealer) {
                true => tried.opened += 1,
                false => tried.closed += 1,
            }
        }
        if !rows.is_empty() {
            columns.push(tried);
        }
    }
    Ok(Trial {
        key: key.to_owned(),
        columns,
    })
}
