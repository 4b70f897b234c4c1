//! Token sets that came too late to be stored, kept aside for a while.

use std::time::Duration;

use evergrant_core::grant::{GrantFacts, TokenSet};
use evergrant_core::ids::{Generation, GrantId};
use evergrant_core::store::StoreError;

use super::fragment::free_text;
use super::grants::get;
use super::row::stored;
use super::sql::{Sql, insert};
use super::{SqlStore, tokens};

impl SqlStore {
    pub(super) async fn insert_orphan(
        &self,
        id: &GrantId,
        base: Generation,
        tokens: &TokenSet,
        reason: &str,
    ) -> Result<(), StoreError> {
        let sealed = tokens::seal_orphan(&self.sealer, id, base, tokens);
        let orphan = vec![
            ("id", Sql::value(uuid::Uuid::now_v7().to_string())),
            ("grant_id", Sql::value(id.as_str())),
            ("generation", Sql::value(stored(base.0))),
            ("tokens", Sql::value(sealed)),
            ("key_id", Sql::value(self.sealer.active_key())),
            ("reason", Sql::value(free_text(reason))),
            ("kept_at", Sql::text(self.database.now())),
        ];
        self.database.execute(insert("orphans", orphan)).await?;
        Ok(())
    }

    pub(super) async fn read_orphans(
        &self,
        grant: &GrantFacts,
    ) -> Result<Vec<TokenSet>, StoreError> {
        let of_grant = Sql::new(
            "SELECT tokens FROM orphans WHERE grant_id = ? AND generation = ? ORDER BY kept_at, id",
            [grant.id.as_str().into(), stored(grant.generation.0).into()],
        );
        let rows = self.rows(of_grant).await?;
        let opened = rows.iter().map(|row| {
            let sealed: Vec<u8> = get(row, "tokens")?;
            tokens::open_orphan(&self.sealer, grant, &sealed)
        });
        opened.collect()
    }

    pub(super) async fn delete_orphans(
        &self,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let now = self.database.now();
        let old = format!(
            "DELETE FROM orphans WHERE id IN (SELECT id FROM orphans
             WHERE kept_at < {now} - ? ORDER BY kept_at, id LIMIT ?)"
        );
        let old = Sql::new(old, [retention.into(), i64::from(limit).into()]);
        self.database.execute(old).await
    }
}
