//! What attempts to refresh came to.

use std::time::Duration;

use evergrant_core::attempts::{AttemptError, AttemptOutcome, AttemptRecord, REMEMBERED};
use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{Epoch, Generation, GrantId, ReplicaName};
use evergrant_core::store::StoreError;
use sea_orm::QueryResult;

use super::SqlStore;
use super::fragment::free_text;
use super::grants::get;
use super::names::Stored;
use super::row::{self, corrupt, number, stored, word};
use super::sql::Sql;

/// In the order of [`values`].
const COLUMNS: &str = "grant_id, slot, epoch, replica, cause, began_at, took_ms, base, left_generation, took_over, calls,
    outcome, failed, http_status, error_code, error_message";

/// Rows of one statement, so that it stays far below the number of values that a statement may have.
const CHUNK: usize = 500;

impl SqlStore {
    pub(super) async fn insert_attempts(
        &self,
        records: &[AttemptRecord],
    ) -> Result<(), StoreError> {
        let records = newest_of_each_slot(records);
        for chunk in records.chunks(CHUNK) {
            let rows = chunk.iter().map(|record| Sql::tuple(values(record)));
            let rows = Sql::join(rows, ", ");
            let write = Sql::text(format!("INSERT INTO attempts ({COLUMNS}) VALUES "))
                .then(rows)
                .then_text(&replace());
            self.database.execute(write).await?;
        }
        Ok(())
    }

    pub(super) async fn read_attempts(
        &self,
        id: &GrantId,
    ) -> Result<Vec<AttemptRecord>, StoreError> {
        let text = format!("SELECT {COLUMNS} FROM attempts WHERE grant_id = ? ORDER BY epoch DESC");
        let rows = self.rows(Sql::new(text, [id.as_str().into()])).await?;
        rows.iter().map(record).collect()
    }

    pub(super) async fn delete_attempts(
        &self,
        older_than: Duration,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let older_than = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let now = self.database.now();
        let old = Sql::new(
            format!(
                "DELETE FROM attempts WHERE (grant_id, slot) IN (
                    SELECT grant_id, slot FROM attempts WHERE began_at < {now} - ?
                    ORDER BY began_at LIMIT ?)"
            ),
            [older_than.into(), i64::from(limit).into()],
        );
        self.database.execute(old).await
    }
}

/// An attempt that is told late does not take the place of a later one.
fn replace() -> String {
    let columns = COLUMNS.split(',').map(str::trim).skip(2);
    let columns = columns.map(|column| format!("{column} = excluded.{column}"));
    let columns = columns.collect::<Vec<_>>().join(", ");
    format!(
        " ON CONFLICT (grant_id, slot) DO UPDATE SET {columns} WHERE attempts.epoch <= excluded.epoch"
    )
}

/// Postgres refuses a statement that would write a row twice.
fn newest_of_each_slot(records: &[AttemptRecord]) -> Vec<&AttemptRecord> {
    let mut newest: std::collections::BTreeMap<_, &AttemptRecord> = Default::default();
    for record in records {
        let kept = newest
            .entry((record.grant.as_str(), slot(record.epoch)))
            .or_insert(record);
        if record.epoch >= kept.epoch {
            *kept = record;
        }
    }
    newest.into_values().collect()
}

fn slot(epoch: Epoch) -> i64 {
    stored(epoch.0 % REMEMBERED as u64)
}

fn values(record: &AttemptRecord) -> [sea_orm::Value; 16] {
    let AttemptRecord {
        grant,
        epoch,
        replica,
        cause,
        began_at,
        took,
        base,
        left,
        took_over,
        calls,
        outcome,
        error,
    } = record;
    let status = error.as_ref().and_then(|error| error.status);
    let text =
        |text: fn(&AttemptError) -> &String| error.as_ref().map(|error| free_text(text(error)));
    [
        grant.as_str().into(),
        slot(*epoch).into(),
        stored(epoch.0).into(),
        replica.as_str().into(),
        cause.name().into(),
        began_at.as_millis().into(),
        i64::try_from(took.as_millis()).unwrap_or(i64::MAX).into(),
        stored(base.0).into(),
        left.map(|left| stored(left.0)).into(),
        (*took_over).into(),
        i64::from(*calls).into(),
        outcome.as_str().into(),
        error.is_some().into(),
        status.map(i64::from).into(),
        text(|error| &error.code).into(),
        text(|error| &error.message).into(),
    ]
}

fn record(row: &QueryResult) -> Result<AttemptRecord, StoreError> {
    let outcome: String = get(row, "outcome")?;
    let left: Option<i64> = get(row, "left_generation")?;
    Ok(AttemptRecord {
        grant: row::name(GrantId::parse, &get::<String>(row, "grant_id")?)?,
        epoch: Epoch(number(get(row, "epoch")?)),
        replica: row::name(ReplicaName::parse, &get::<String>(row, "replica")?)?,
        cause: word(&get::<String>(row, "cause")?)?,
        began_at: Timestamp::from_millis(get(row, "began_at")?),
        took: Duration::from_millis(number(get(row, "took_ms")?)),
        base: Generation(number(get(row, "base")?)),
        left: left.map(|left| Generation(number(left))),
        took_over: get(row, "took_over")?,
        calls: u32::try_from(get::<i64>(row, "calls")?).unwrap_or(u32::MAX),
        outcome: AttemptOutcome::from_name(&outcome)
            .ok_or_else(|| corrupt(format!("the word {outcome:?}")))?,
        error: error(row)?,
    })
}

fn error(row: &QueryResult) -> Result<Option<AttemptError>, StoreError> {
    if !get::<bool>(row, "failed")? {
        return Ok(None);
    }
    let status: Option<i64> = get(row, "http_status")?;
    let code: Option<String> = get(row, "error_code")?;
    let message: Option<String> = get(row, "error_message")?;
    Ok(Some(AttemptError {
        status: status.and_then(|status| u16::try_from(status).ok()),
        code: code.unwrap_or_default(),
        message: message.unwrap_or_default(),
    }))
}
