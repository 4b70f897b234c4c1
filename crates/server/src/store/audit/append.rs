//! Appending a batch.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::store::StoreError;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tracing::error;

use super::super::error::{Meaning, meaning, store_error};
use super::super::row::{corrupt, stored};
use super::super::session::Session;
use super::super::sql::{Sql, update};
use super::batch::AuditBatch;
use super::begin::place;
use super::go_on::Next;
use super::{AuditLog, AuditState, row};
use crate::audit::chain::{End, Link};
use crate::audit::record::{Act, Entry, Record, Subject, TRAIL_ALTERED};

/// How often a batch is computed anew because another replica was faster.
const TRIES: u32 = 50;

impl AuditLog {
    /// Writes a batch at the end of the trail, once, and answers its records. After an error it may be written or not; a
    /// second call with the same batch finds out.
    ///
    /// If the trail is not as it was left, the batch begins with a record that says so.
    pub async fn append(&self, batch: &mut AuditBatch) -> Result<Vec<Record>, StoreError> {
        if !batch.named {
            self.name_credentials(&mut batch.entries).await?;
            batch.named = true;
        }
        let mut before = None;
        let mut has_moved = false;
        for attempt in 0..TRIES {
            let Some(next) = self.next().await? else {
                has_moved = true;
                continue;
            };
            has_moved |= before.is_some_and(|before| before != next.state);
            before = Some(next.state.clone());
            if let Some(records) = self.settled(batch, &next).await? {
                count_altered(&records);
                return Ok(records);
            }
            let records = chained(batch, &next);
            let last = records.last().map(|last| Link {
                number: last.number,
                mac: last.mac,
            });
            let Some(last) = last else {
                return Ok(records);
            };
            match self.write(&next, last, &records).await {
                Ok(true) => {
                    self.left(&next, last);
                    count_altered(&records);
                    batch.doubtful.clear();
                    return Ok(records);
                }
                Ok(false) => {
                    let most = 2 << attempt.min(6);
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..most))).await;
                }
                Err(failed) => {
                    batch.doubt(records);
                    return Err(failed);
                }
            }
        }
        if !has_moved {
            return Err(corrupt("audit_log, which takes no record"));
        }
        let busy = "too many replicas write the audit trail at once, or somebody else does";
        Err(StoreError::Unavailable(busy.to_owned()))
    }

    /// Remembers the trail as this process has just left it, and says what it found before.
    fn left(&self, next: &Next, last: Link) {
        self.known().seen = Some(AuditState {
            head: last,
            head_seal: next.key.seal(End::Head, last),
            ..next.state.clone()
        });
        if let Some(altered) = &next.altered {
            error!(
                head = last.number,
                found = altered,
                "the audit trail was altered; it goes on, and a record says so"
            );
        }
    }

    /// The records of the batch, if an earlier try took place after all.
    async fn settled(
        &self,
        batch: &mut AuditBatch,
        next: &Next,
    ) -> Result<Option<Vec<Record>>, StoreError> {
        let last = next.state.head.number.max(next.after.number);
        for doubt in batch.doubts(last).collect::<Vec<_>>() {
            let there = self.records_after(doubt.number - 1, 1).await?;
            if there.first().is_some_and(|record| record.mac == doubt.mac) {
                let mut doubtful = std::mem::take(&mut batch.doubtful).into_iter();
                let written = doubtful
                    .find(|records| records.last().is_some_and(|last| last.mac == doubt.mac));
                return Ok(written);
            }
        }
        Ok(None)
    }

    /// Moves the head from where it was read to `last`, and writes the records between. `false`: it is not there any more,
    /// and nothing was written.
    async fn write(&self, next: &Next, last: Link, records: &[Record]) -> Result<bool, StoreError> {
        let columns = place(
            ["head", "head_mac", "head_seal"],
            last,
            next.key.seal(End::Head, last),
        );
        let Next { state, .. } = next;
        let conditions = vec![
            Sql::text("id = 1"),
            Sql::new("head = ?", [stored(state.head.number).into()]),
            Sql::new("head_mac = ?", [state.head.mac.0.to_vec().into()]),
            Sql::new("head_seal = ?", [state.head_seal.0.to_vec().into()]),
        ];
        let bump = update("audit_log", columns, conditions);
        let rows = row::write(records);
        let written = match self.database.backend() {
            DbBackend::Postgres => {
                let write = |session| write_at_once(session, bump, rows);
                self.database.write(write).await
            }
            _ => self.database.bounded(self.write_in_turn(bump, rows)).await,
        };
        match written? {
            // Somebody wrote a record there meanwhile. Nothing was written, and it is in the way from now on.
            Err(error) if meaning(&error).0 == Meaning::Conflict => Ok(false),
            written => written.map_err(|error| store_error(&error)),
        }
    }

    async fn write_in_turn(&self, bump: Sql, rows: String) -> Result<bool, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.database.writer.begin_with_options(options).await?;
        let backend = transaction.get_database_backend();
        let bumped = transaction.execute_raw(bump.build(backend)).await?;
        if bumped.rows_affected() != 1 {
            transaction.rollback().await?;
            return Ok(false);
        }
        let insert = row::insert_on_sqlite(rows).build(backend);
        transaction.execute_raw(insert).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// The batch as it follows the head, after a record of what was found altered.
fn chained(batch: &AuditBatch, next: &Next) -> Vec<Record> {
    let altered = next.altered.as_ref().map(|detail| {
        let act = Act {
            detail: detail.clone(),
            ..Act::of_evergrant(TRAIL_ALTERED, Subject::default())
        };
        let first = batch.entries.first();
        let at = first.map_or(Timestamp::from_millis(0), |first| first.at);
        Entry::new(act, at)
    });
    let entries = altered.into_iter().chain(batch.entries.iter().cloned());
    next.key.chain(next.after, entries.map(Entry::content))
}

/// Counts what was found, once its record is written: that of [`chained`], or of pruning, which appends its own.
fn count_altered(written: &[Record]) {
    for record in written {
        if record.content.action == TRAIL_ALTERED {
            metrics::counter!("evergrant_audit_altered_total").increment(1);
        }
    }
}

async fn write_at_once(session: Session, bump: Sql, rows: String) -> Result<bool, DbErr> {
    let statement = Sql::text("WITH bump AS (")
        .then(bump)
        .then_text(" RETURNING 1), written AS (")
        .then(row::insert_on_postgres(rows))
        .then_text(") SELECT count(*) AS moved FROM bump");
    let statement = statement.build(DbBackend::Postgres);
    let moved = session.query_one_raw(statement).await?;
    moved.map_or(Ok(false), |row| Ok(row.try_get::<i64>("", "moved")? == 1))
}

#[cfg(test)]
mod tests;
