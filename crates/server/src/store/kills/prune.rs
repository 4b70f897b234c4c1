//! Kills that are over for long are forgotten.

use std::time::Duration;

use evergrant_core::store::StoreError;

use super::row::millis;
use crate::store::SqlStore;
use crate::store::sql::Sql;

impl SqlStore {
    /// Forgets kills that were finished, and lifted where they locked a caller out, longer ago than `older_than`; at most
    /// `limit` of their grants at a time, and then the kills themselves. Answers how many rows that were.
    ///
    /// A kill that locks a caller out stays: without its row the caller would be let in again.
    pub async fn prune_kills(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        let now = self.database.now();
        let is_over = || {
            let ago = millis(older_than);
            let text = format!(
                "kills.finished_at < {now} - ? AND (kills.kind <> 'CALLER' OR kills.lifted_at < {now} - ?)"
            );
            Sql::new(text, [ago.into(), ago.into()])
        };
        let grants = Sql::text(
            "DELETE FROM kill_grants WHERE (kill_id, grant_id) IN (
                SELECT g.kill_id, g.grant_id FROM kill_grants g JOIN kills ON kills.id = g.kill_id WHERE ",
        )
        .then(is_over())
        .then(Sql::new(" LIMIT ?)", [i64::from(limit).into()]));
        let grants = self.database.execute(grants).await?;
        let kills = Sql::text("DELETE FROM kills WHERE ")
            .then(is_over())
            .then_text(
                " AND NOT EXISTS (SELECT 1 FROM kill_grants WHERE kill_grants.kill_id = kills.id)",
            );
        Ok(grants + self.database.execute(kills).await?)
    }
}
