//! Applying a change: one statement on Postgres, one transaction of this process alone on SQLite.

use evergrant_core::change::ChangeSet;
use evergrant_core::events::EventBody;
use evergrant_core::store::{ApplyError, StoreError};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait, Value,
};
use serde::Serialize;

use super::database::Database;
use super::error::apply_error;
use super::fragment::{Context, Fragment, fragments};
use super::names::Stored;
use super::row::{number, stored};
use super::session::Session;
use super::sql::Sql;
use super::{SqlStore, payload};

const EVENT_COLUMNS: &str = "kind, tenant, credential, provider, body";

impl SqlStore {
    pub(super) async fn apply_change(&self, change: &ChangeSet) -> Result<u64, ApplyError> {
        let writes = change.distinct_writes().ok_or(ApplyError::Conflict)?;
        let context = Context {
            sealer: &self.sealer,
            now: self.database.now(),
            random: self.database.random(),
        };
        let fragments = fragments(&writes, context);
        let events: Vec<_> = change.events.iter().map(EventRow::of).collect();
        match self.database.backend() {
            DbBackend::Postgres => {
                self.apply_at_once(change.revision, fragments, &events)
                    .await
            }
            _ => {
                let database = self.database.clone();
                let revision = change.revision;
                let apply = apply_in_turn(database, revision, fragments, events);
                // Not in the caller's hands: a future that is not polled would hold the one writer.
                let applied = self.tasks.spawn(apply).await;
                applied.map_err(|_| StoreError::Unavailable("a change was aborted".to_owned()))?
            }
        }
    }

    /// Everything in a chain of CTEs, the log's row last. If a write found another number of rows than it
    /// must, or the revision is another, the log's row is not updated, and a division by zero makes the
    /// database undo it all. Nobody waits for this process while the log's row is locked.
    async fn apply_at_once(
        &self,
        revision: u64,
        fragments: Vec<Fragment>,
        events: &[EventRow],
    ) -> Result<u64, ApplyError> {
        let database = &self.database;
        let statement = one_statement(revision, fragments, events, database.now());
        let statement = statement.build(database.backend());
        let head = |session: Session| async move {
            let row = session.query_one_raw(statement).await?;
            let row = row.ok_or_else(|| DbErr::RecordNotFound("the event log".to_owned()))?;
            row.try_get::<i64>("", "head")
        };
        let head = database.write(head).await?;
        Ok(number(head.map_err(|error| apply_error(&error))?))
    }
}

fn one_statement(
    revision: u64,
    fragments: Vec<Fragment>,
    events: &[EventRow],
    now: &'static str,
) -> Sql {
    let count = stored(events.len() as u64);
    let mut bump = Sql::new(
        "UPDATE event_log SET head = head + ?, revision = revision + 1
         WHERE id = 1 AND revision = ?",
        [count.into(), stored(revision).into()],
    );
    let mut chain = Vec::with_capacity(fragments.len() + 2);
    for (index, fragment) in fragments.into_iter().enumerate() {
        let write = Sql::text(format!("w{index} AS (")).then(fragment.sql);
        chain.push(write.then_text(" RETURNING 1)"));
        if let Some(rows) = fragment.rows {
            let rows = format!(" AND (SELECT count(*) FROM w{index}) = {rows}");
            bump = bump.then_text(&rows);
        }
    }
    chain.push(
        Sql::text("bump AS (")
            .then(bump)
            .then_text(" RETURNING head)"),
    );
    if !events.is_empty() {
        // All in one value, since a statement takes 65,535 of them at most.
        let rows = serde_json::to_string(events).expect("texts can be written as JSON");
        let told = Sql::new(
            format!(
                "told AS (INSERT INTO events (seq, at, {EVENT_COLUMNS})
                 SELECT bump.head - ? + told.ordinal, {now}, {EVENT_COLUMNS}
                 FROM bump, ROWS FROM (
                     jsonb_to_recordset(?::jsonb)
                     AS (kind text, tenant text, credential text, provider text, body text)
                 ) WITH ORDINALITY AS told ({EVENT_COLUMNS}, ordinal)
                 ORDER BY told.ordinal)"
            ),
            [count.into(), rows.into()],
        );
        chain.push(told);
    }
    Sql::text("WITH ")
        .then(Sql::join(chain, ", "))
        .then_text(" SELECT (SELECT head FROM bump) AS head, 1 / (SELECT count(*) FROM bump)")
}

async fn apply_in_turn(
    database: Database,
    revision: u64,
    fragments: Vec<Fragment>,
    events: Vec<EventRow>,
) -> Result<u64, ApplyError> {
    let now = database.now();
    let work = async {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = database.writer.begin_with_options(options).await?;
        let head = write_in_turn(&transaction, revision, fragments, events, now).await?;
        match head {
            // A foreign key is checked here, and a transaction that fails it is rolled back when dropped.
            Some(_) => transaction.commit().await?,
            None => transaction.rollback().await?,
        }
        Ok(head)
    };
    let head = database.bounded(work).await?;
    let head = head.map_err(|error: DbErr| apply_error(&error))?;
    head.ok_or(ApplyError::Conflict)
}

/// The new head, or `None` if something is not as the change expects.
async fn write_in_turn(
    transaction: &DatabaseTransaction,
    revision: u64,
    fragments: Vec<Fragment>,
    events: Vec<EventRow>,
    now: &'static str,
) -> Result<Option<u64>, DbErr> {
    let backend = transaction.get_database_backend();
    let bump = Sql::new(
        "UPDATE event_log SET head = head + ?, revision = revision + 1
         WHERE id = 1 AND revision = ? RETURNING head",
        [stored(events.len() as u64).into(), stored(revision).into()],
    );
    let Some(row) = transaction.query_one_raw(bump.build(backend)).await? else {
        return Ok(None);
    };
    let head: i64 = row.try_get("", "head")?;
    for fragment in fragments {
        let done = transaction.execute_raw(fragment.sql.build(backend)).await?;
        if fragment
            .rows
            .is_some_and(|rows| rows != done.rows_affected())
        {
            return Ok(None);
        }
    }
    let first = head - stored(events.len() as u64) + 1;
    for (row, seq) in events.into_iter().zip(first..) {
        let event = Sql::new(
            format!(
                "INSERT INTO events (seq, at, {EVENT_COLUMNS}) VALUES (?, {now}, ?, ?, ?, ?, ?)"
            ),
            [Value::from(seq)].into_iter().chain(row.into_values()),
        );
        transaction.execute_raw(event.build(backend)).await?;
    }
    Ok(Some(number(head)))
}

/// A row of `events`, but for its number and its time.
#[derive(Serialize)]
struct EventRow {
    kind: &'static str,
    tenant: Option<String>,
    credential: Option<String>,
    provider: Option<String>,
    body: String,
}

impl EventRow {
    fn of(body: &EventBody) -> Self {
        Self {
            kind: body.kind().name(),
            tenant: body.tenant().map(ToString::to_string),
            credential: body.credential().map(ToString::to_string),
            provider: body.provider().map(ToString::to_string),
            body: payload::write(body),
        }
    }

    /// In the order of [`EVENT_COLUMNS`].
    fn into_values(self) -> [Value; 5] {
        [
            self.kind.into(),
            self.tenant.into(),
            self.credential.into(),
            self.provider.into(),
            self.body.into(),
        ]
    }
}
