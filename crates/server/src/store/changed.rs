//! Which grants changed lately, and which were deleted.

use std::time::Duration;

use evergrant_core::ids::{Generation, GrantId};
use evergrant_core::store::{GrantVersion, StoreError};
use sea_orm::QueryResult;

use super::SqlStore;
use super::grants::get;
use super::row::{self, number};
use super::sql::Sql;

impl SqlStore {
    pub(super) async fn read_changed(
        &self,
        window: Duration,
    ) -> Result<Vec<GrantVersion>, StoreError> {
        let window = millis(window);
        let now = self.database.now();
        let changed = format!(
            "SELECT id, generation, version FROM grants WHERE changed_at > {now} - ?
             UNION ALL
             SELECT id, NULL, NULL FROM deleted_grants WHERE deleted_at > {now} - ?"
        );
        let changed = Sql::new(changed, [window.into(), window.into()]);
        self.rows(changed).await?.iter().map(version).collect()
    }

    pub(super) async fn prune_deleted(
        &self,
        older_than: Duration,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let now = self.database.now();
        let forget = Sql::new(
            format!(
                "DELETE FROM deleted_grants WHERE id IN (
                    SELECT id FROM deleted_grants WHERE deleted_at < {now} - ?
                    ORDER BY deleted_at LIMIT ?)"
            ),
            [millis(older_than).into(), i64::from(limit).into()],
        );
        self.database.execute(forget).await
    }
}

/// Only a deleted grant has no version.
fn version(row: &QueryResult) -> Result<GrantVersion, StoreError> {
    let id = row::name(GrantId::parse, &get::<String>(row, "id")?)?;
    let Some(version) = get::<Option<i64>>(row, "version")? else {
        return Ok(GrantVersion::deleted(id));
    };
    Ok(GrantVersion {
        id,
        generation: Generation(number(get(row, "generation")?)),
        version: number(version),
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
