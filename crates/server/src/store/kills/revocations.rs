//! What a kill took is revoked, one grant at a time.

use evergrant_core::ids::{Generation, GrantId, KillId};
use evergrant_core::store::StoreError;

use super::row::millis;
use super::{Due, Turn};
use crate::store::SqlStore;
use crate::store::fragment::free_text;
use crate::store::grants::get;
use crate::store::row::{self, number};
use crate::store::sql::Sql;

impl SqlStore {
    /// The next revocations of a kill whose time has come.
    pub async fn due_revocations(&self, id: &KillId, limit: u32) -> Result<Vec<Due>, StoreError> {
        let now = self.database.now();
        let read = format!(
            "SELECT grant_id, generation, tries FROM kill_grants
             WHERE kill_id = ? AND state = 'PENDING' AND next_at <= {now} ORDER BY next_at, grant_id LIMIT ?"
        );
        let values = [id.as_str().into(), i64::from(limit).into()];
        let rows = self.rows(Sql::new(read, values)).await?;
        let due = rows.iter().map(|row| {
            Ok(Due {
                grant: row::name(GrantId::parse, &get::<String>(row, "grant_id")?)?,
                generation: Generation(number(get(row, "generation")?)),
                tries: u32::try_from(get::<i64>(row, "tries")?).unwrap_or(u32::MAX),
            })
        });
        due.collect()
    }

    /// Writes down what became of a revocation.
    pub async fn note_revocation(
        &self,
        id: &KillId,
        grant: &GrantId,
        turn: &Turn,
    ) -> Result<(), StoreError> {
        let now = self.database.now();
        let set = match turn {
            Turn::Revoked => Sql::text("state = 'REVOKED', error = NULL"),
            Turn::NotSupported => Sql::text("state = 'NOT_SUPPORTED', error = NULL"),
            Turn::Superseded => Sql::text("state = 'SUPERSEDED', error = NULL"),
            Turn::Failed(error) => Sql::new(
                "state = 'FAILED', tries = tries + 1, error = ?",
                [free_text(error).into()],
            ),
            Turn::Again {
                after,
                error,
                counts,
            } => Sql::new(
                format!("next_at = {now} + ?, tries = tries + ?, error = ?"),
                [
                    millis(*after).into(),
                    i64::from(*counts).into(),
                    free_text(error).into(),
                ],
            ),
        };
        let of_grant = Sql::new(
            " WHERE kill_id = ? AND grant_id = ? AND state = 'PENDING'",
            [id.as_str().into(), grant.as_str().into()],
        );
        let note = Sql::text("UPDATE kill_grants SET ")
            .then(set)
            .then(of_grant);
        self.database.execute(note).await.map(drop)
    }

    /// Tries again what was given up. Answers how much that is; the kill goes on unless it is none.
    pub async fn resume_kill(&self, id: &KillId) -> Result<u64, StoreError> {
        let now = self.database.now();
        let again = format!(
            "UPDATE kill_grants SET state = 'PENDING', tries = 0, next_at = {now}
             WHERE kill_id = ? AND state = 'FAILED'"
        );
        let again = self
            .database
            .execute(Sql::new(again, [id.as_str().into()]))
            .await?;
        if again > 0 {
            let open = "UPDATE kills SET finished_at = NULL WHERE id = ?";
            self.database
                .execute(Sql::new(open, [id.as_str().into()]))
                .await?;
        }
        Ok(again)
    }
}
