//! Appending a batch.

use std::collections::HashMap;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{CredentialKey, GrantId, TenantId};
use evergrant_core::store::StoreError;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
    Value,
};
use tracing::error;

use super::super::error::store_error;
use super::super::grants::get;
use super::super::row::{client_key, corrupt, credential_key, stored};
use super::super::session::Session;
use super::super::sql::{Sql, update};
use super::batch::AuditBatch;
use super::begin::place;
use super::{AuditLog, AuditState, row};
use crate::audit::chain::{End, Link};
use crate::audit::record::{Act, Entry, Record, Subject, TRAIL_ALTERED};

/// How often a batch is computed anew because another replica was faster.
const TRIES: u32 = 50;

impl AuditLog {
    /// Writes a batch at the end of the trail, once, and answers its records. After an error it may be written or not; a
    /// second call with the same batch finds out.
    ///
    /// If the head is not where it was left, the batch begins with a record that says so.
    pub async fn append(&self, batch: &mut AuditBatch) -> Result<Vec<Record>, StoreError> {
        if !batch.named {
            self.name_credentials(&mut batch.entries).await?;
            batch.named = true;
        }
        for attempt in 0..TRIES {
            let state = self.state().await?;
            if let Some(records) = self.settled(batch, &state).await? {
                return Ok(records);
            }
            let records = self.next(batch, &state);
            let last = records.last().map(|last| Link {
                number: last.number,
                mac: last.mac,
            });
            let Some(last) = last else {
                return Ok(records);
            };
            match self.write(&state, last, &records).await {
                Ok(true) => {
                    self.see(last.number);
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
        let busy = "too many replicas write the audit trail at once";
        Err(StoreError::Unavailable(busy.to_owned()))
    }

    /// The batch as it follows the head.
    fn next(&self, batch: &AuditBatch, state: &AuditState) -> Vec<Record> {
        let head = state.head;
        let is_sealed = self.key.seal(End::Head, head) == state.head_seal;
        let is_left = self.see(head.number) <= head.number;
        let altered = (!is_sealed || !is_left).then(|| {
            error!(
                head = head.number,
                "the audit trail does not end where it was left: somebody else wrote it"
            );
            let act = Act::of_evergrant(TRAIL_ALTERED, Subject::default());
            let at = batch
                .entries
                .first()
                .map_or(Timestamp::from_millis(0), |first| first.at);
            Entry::new(act, at)
        });
        let entries = altered.into_iter().chain(batch.entries.iter().cloned());
        self.key.chain(head, entries.map(Entry::content))
    }

    /// The records of the batch, if an earlier try took place after all.
    async fn settled(
        &self,
        batch: &mut AuditBatch,
        state: &AuditState,
    ) -> Result<Option<Vec<Record>>, StoreError> {
        for doubt in batch.doubts(state.head.number).collect::<Vec<_>>() {
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
    async fn write(
        &self,
        state: &AuditState,
        last: Link,
        records: &[Record],
    ) -> Result<bool, StoreError> {
        let columns = place(
            ["head", "head_mac", "head_seal"],
            last,
            self.key.seal(End::Head, last),
        );
        let conditions = vec![
            Sql::text("id = 1"),
            Sql::new("head = ?", [stored(state.head.number).into()]),
            Sql::new("head_mac = ?", [state.head.mac.0.to_vec().into()]),
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
        written?.map_err(|error| store_error(&error))
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

    /// Replaces each entry of a grant by one for each of the grant's credentials. Of a grant that is gone meanwhile, or
    /// that no credential uses, the entry stays without a name.
    async fn name_credentials(&self, entries: &mut Vec<Entry>) -> Result<(), StoreError> {
        let grants = entries
            .iter()
            .filter_map(|entry| entry.act.subject.grant.as_ref());
        let mut ids: Vec<_> = grants.map(|grant| Value::from(grant.as_str())).collect();
        if ids.is_empty() {
            return Ok(());
        }
        ids.sort_by_key(|id| format!("{id:?}"));
        ids.dedup();
        let found = self.credentials_of(ids).await?;
        let named = entries.drain(..).flat_map(|entry| {
            let grant = entry.act.subject.grant.as_ref();
            let subjects = grant.and_then(|grant| found.get(grant));
            let Some(subjects) = subjects.filter(|subjects| !subjects.is_empty()) else {
                return vec![entry];
            };
            let each = subjects.iter().map(|subject| {
                let mut one = entry.clone();
                let generation = one.act.subject.generation;
                one.act.subject = Subject {
                    generation,
                    ..subject.clone()
                };
                one
            });
            each.collect()
        });
        *entries = named.collect();
        Ok(())
    }

    async fn credentials_of(
        &self,
        ids: Vec<Value>,
    ) -> Result<HashMap<GrantId, Vec<Subject>>, StoreError> {
        let read = Sql::text(
            "SELECT grants.id AS grant_id, provider, client, grants.tenant AS tenant,
                credentials.id AS credential
             FROM grants LEFT JOIN credentials
                ON credentials.grant_id = COALESCE(grants.parent, grants.id)
             WHERE grants.id IN ",
        )
        .then(Sql::tuple(ids))
        .then_text(" ORDER BY grants.id, credentials.id");
        let read = read.build(self.database.backend());
        let query = |reader: Session| {
            let read = read.clone();
            async move { reader.query_all_raw(read).await }
        };
        let mut found: HashMap<GrantId, Vec<Subject>> = HashMap::new();
        for row in self.database.read(query).await? {
            let grant = GrantId::parse(&get::<String>(&row, "grant_id")?)
                .map_err(|_| corrupt("the id of a grant"))?;
            let tenant: String = get(&row, "tenant")?;
            let credential: Option<String> = get(&row, "credential")?;
            let credential: Option<CredentialKey> = credential
                .map(|id| credential_key(&tenant, &id))
                .transpose()?;
            let client = client_key(
                &get::<String>(&row, "provider")?,
                &get::<String>(&row, "client")?,
            )?;
            let tenant = TenantId::parse(&tenant).map_err(|_| corrupt("a tenant's name"))?;
            found.entry(grant).or_default().push(Subject {
                tenant: Some(tenant),
                credential,
                ..Subject::client(&client)
            });
        }
        Ok(found)
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
