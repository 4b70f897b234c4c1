//! Pruning the trail from its old end.

use std::time::Duration;

use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait;

use super::super::grants::get;
use super::super::row::{number, stored};
use super::super::session::Session;
use super::super::sql::{Sql, update};
use super::begin::place;
use super::{AuditLog, AuditState, row};
use crate::audit::chain::{End, Link};

impl AuditLog {
    /// Raises the floor to the last record that is older than `retention` by the database's clock (at most `limit`
    /// numbers behind the first that is there), then deletes what lies at or below it. Answers how many were deleted.
    /// What is left can be verified from the floor on.
    pub async fn prune(&self, retention: Duration, limit: u32) -> Result<u64, StoreError> {
        let state = self.state().await?;
        if let Some(floor) = self.last_old(&state, retention, limit).await? {
            let columns = place(
                ["floor", "floor_mac", "floor_seal"],
                floor,
                self.key().seal(End::Floor, floor),
            );
            let conditions = vec![
                Sql::text("id = 1"),
                Sql::new("floor = ?", [stored(state.floor.number).into()]),
            ];
            // Committed before anything is deleted, so that no reader takes the hole for a fault.
            let raise = update("audit_log", columns, conditions);
            self.database.execute(raise).await?;
        }
        let forget =
            "DELETE FROM audit_records WHERE number <= (SELECT floor FROM audit_log WHERE id = 1)";
        self.database.execute(Sql::text(forget)).await
    }

    async fn last_old(
        &self,
        state: &AuditState,
        retention: Duration,
        limit: u32,
    ) -> Result<Option<Link>, StoreError> {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let now = self.database.now();
        let (floor, head) = (stored(state.floor.number), stored(state.head.number));
        let read = Sql::new(
            format!(
                "SELECT number, mac FROM audit_records WHERE number > ? AND number <= ?
                 AND number < (SELECT MIN(number) FROM audit_records WHERE number > ?) + ?
                 AND until < {now} - ? ORDER BY number DESC LIMIT 1"
            ),
            [
                floor.into(),
                head.into(),
                floor.into(),
                i64::from(limit).into(),
                retention.into(),
            ],
        );
        let read = read.build(self.database.backend());
        let query = |reader: Session| {
            let read = read.clone();
            async move { reader.query_one_raw(read).await }
        };
        let row = self.database.read(query).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Link {
            number: number(get(&row, "number")?),
            mac: row::mac(&row, "mac")?,
        }))
    }
}
