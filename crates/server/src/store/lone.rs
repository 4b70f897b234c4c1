//! Secrets of which a store has one: each in a table of one row, sealed, with no `key_id` beside it.

use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait;
use zeroize::Zeroizing;

use super::database::Database;
use super::grants::get;
use super::row;
use super::session::Session;
use super::sql::Sql;
use crate::seal::{OpenError, Place, Sealer};

/// The secret that authenticates cursors of event streams.
pub const CURSOR_KEY: LoneSecret = LoneSecret {
    name: "event_log.cursor_key",
    table: "event_log",
    column: "cursor_key",
};

/// The secret that the audit trail is chained with.
pub const CHAIN_KEY: LoneSecret = LoneSecret {
    name: "audit_log.chain_key",
    table: "audit_log",
    column: "chain_key",
};

/// All of them.
pub const LONE_SECRETS: [LoneSecret; 2] = [CURSOR_KEY, CHAIN_KEY];

/// 32 random bytes in the row with the id 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoneSecret {
    /// `table.column`
    pub name: &'static str,
    table: &'static str,
    column: &'static str,
}

/// The bytes of such a secret.
pub(super) type SecretBytes = Zeroizing<[u8; 32]>;

impl LoneSecret {
    fn place(&self) -> Place<'static> {
        Place {
            column: self.name,
            row: "1",
            generation: 0,
        }
    }

    /// A new secret, and the same sealed.
    pub(super) fn generate(&self, sealer: &Sealer) -> (SecretBytes, Vec<u8>) {
        let mut fresh = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(fresh.as_mut()).expect("the system's random source works");
        let sealed = sealer.seal(self.place(), fresh.as_ref());
        (fresh, sealed)
    }

    /// The secret as it is stored. `None` if there is no row.
    pub(super) async fn sealed(&self, database: &Database) -> Result<Option<Vec<u8>>, StoreError> {
        let Self { table, column, .. } = self;
        let read = Sql::text(format!("SELECT {column} FROM {table} WHERE id = 1"));
        let read = read.build(database.backend());
        let query = |reader: Session| {
            let read = read.clone();
            async move { reader.query_one_raw(read).await }
        };
        let row = database.read(query).await?;
        row.map(|row| get(&row, column)).transpose()
    }

    /// The secret of the row, which must be there.
    pub(super) async fn open(
        &self,
        database: &Database,
        sealer: &Sealer,
    ) -> Result<SecretBytes, StoreError> {
        let sealed = self.sealed(database).await?;
        let sealed = sealed.ok_or_else(|| row::corrupt(format!("{} has no row", self.table)))?;
        self.open_sealed(sealer, &sealed)
    }

    /// The secret of what is stored.
    pub(super) fn open_sealed(
        &self,
        sealer: &Sealer,
        sealed: &[u8],
    ) -> Result<SecretBytes, StoreError> {
        let opened = sealer
            .open(self.place(), sealed)
            .map_err(|error| match error {
                OpenError::UnknownKey(id) => StoreError::KeyUnavailable(id),
                OpenError::Broken(column) => row::corrupt(format!("a sealed value of {column}")),
            })?;
        let mut secret = Zeroizing::new([0; 32]);
        if opened.len() != secret.len() {
            return Err(row::corrupt(self.name));
        }
        secret.copy_from_slice(&opened);
        Ok(secret)
    }

    /// What is stored, sealed anew with the active key; as it is if it does not open.
    pub(super) fn resealed(&self, sealer: &Sealer, sealed: &[u8]) -> Vec<u8> {
        let anew = sealer.reseal(self.place(), sealed);
        anew.unwrap_or_else(|_| sealed.to_vec())
    }

    /// The secret of the row, and sealed anew if an older key sealed it, so that the older key can be retired.
    pub(super) async fn open_and_renew(
        &self,
        database: &Database,
        sealer: &Sealer,
    ) -> Result<SecretBytes, StoreError> {
        let secret = self.open(database, sealer).await?;
        self.renew(database, sealer, true).await?;
        Ok(secret)
    }

    /// Seals it anew unless the active key did, or `write` is off. Answers whether it had to; `None` if it does not open.
    pub(super) async fn renew(
        &self,
        database: &Database,
        sealer: &Sealer,
        write: bool,
    ) -> Result<Option<bool>, StoreError> {
        let Some(sealed) = self.sealed(database).await? else {
            return Ok(Some(false));
        };
        let Ok(anew) = sealer.reseal(self.place(), &sealed) else {
            return Ok(None);
        };
        if Sealer::key_of(&sealed) == Some(sealer.active_key()) {
            return Ok(Some(false));
        }
        if write {
            self.replace(database, &sealed, anew).await?;
        }
        Ok(Some(true))
    }

    /// Of several that seal it anew, the first wins, which is all the same.
    async fn replace(
        &self,
        database: &Database,
        sealed: &[u8],
        anew: Vec<u8>,
    ) -> Result<(), StoreError> {
        let Self { table, column, .. } = self;
        let write = format!("UPDATE {table} SET {column} = ? WHERE id = 1 AND {column} = ?");
        let write = Sql::new(write, [anew.into(), sealed.to_vec().into()]);
        database.execute(write).await.map(drop)
    }

    /// Whether it opens with the key of that id; `None` if another one sealed it, or there is no row.
    pub(super) async fn opens_with(
        &self,
        database: &Database,
        sealer: &Sealer,
        key: &str,
    ) -> Result<Option<bool>, StoreError> {
        let sealed = self.sealed(database).await?;
        let sealed = sealed.filter(|sealed| Sealer::key_of(sealed) == Some(key));
        Ok(sealed.map(|sealed| sealer.open(self.place(), &sealed).is_ok()))
    }

    /// The id of the key that sealed it.
    pub(super) async fn key_id(&self, database: &Database) -> Result<Option<String>, StoreError> {
        let sealed = self.sealed(database).await?;
        Ok(sealed.and_then(|sealed| Sealer::key_of(&sealed).map(str::to_owned)))
    }

    /// The secret as it is stored, if it is not what was sealed there. One that an older key is to have sealed is not
    /// called that, since nobody may have tried whether that key is the right one.
    pub(super) async fn damaged(
        &self,
        database: &Database,
        sealer: &Sealer,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = self.sealed(database).await?;
        Ok(sealed.filter(|sealed| {
            let is_tried = Sealer::key_of(sealed).is_none_or(|id| id == sealer.active_key());
            let opened = self.open_sealed(sealer, sealed);
            is_tried && matches!(opened, Err(StoreError::Corrupt(_)))
        }))
    }

    /// The secret as it is stored, if a key sealed it that is among `lost`, with the id of that key.
    pub(super) async fn lost(
        &self,
        database: &Database,
        sealer: &Sealer,
        lost: &[String],
    ) -> Result<Option<(Vec<u8>, String)>, StoreError> {
        if lost.is_empty() {
            return Ok(None);
        }
        let Some(sealed) = self.sealed(database).await? else {
            return Ok(None);
        };
        let is_lost = |id: &&str| !sealer.opens(id) && lost.iter().any(|lost| lost == id);
        let key = Sealer::key_of(&sealed).filter(is_lost).map(str::to_owned);
        Ok(key.map(|key| (sealed, key)))
    }
}
