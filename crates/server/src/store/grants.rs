//! Grants as the refresh protocol sees them: each write is one statement.

use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::ageing::Dates;
use evergrant_core::attempts::AttemptRecord;
use evergrant_core::change::Holder;
use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{Grant, GrantFacts, TokenSet};
use evergrant_core::ids::{
    ClientKey, CredentialKey, Epoch, Generation, GrantId, OwnerToken, ProviderName,
};
use evergrant_core::scopes::ScopeSet;
use evergrant_core::store::{
    AttemptEnd, Backlog, Claimed, DueGrant, GrantStore, GrantVersion, StoreError,
};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryResult,
    QuerySelect, Select,
};

use super::entity::{credential, grant};
use super::fragment::{free_text, next_tokens, raise_grant, requested_scopes};
use super::row::{self, number, stored};
use super::session::Session;
use super::sql::{Sql, update};
use super::{SqlStore, forecast, tokens};
use crate::seal::Sealer;

/// A grant's row with its sealed tokens, and the time when it was read.
pub(super) struct StoredGrant {
    row: grant::Model,
    tokens: Vec<u8>,
    now: i64,
}

impl FromQueryResult for StoredGrant {
    fn from_query_result(result: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Ok(Self {
            row: grant::Model::from_query_result(result, prefix)?,
            tokens: result.try_get(prefix, "tokens")?,
            now: result.try_get(prefix, "now")?,
        })
    }
}

impl StoredGrant {
    pub(super) fn open(self, sealer: &Sealer) -> Result<Grant, StoreError> {
        let facts = row::facts(self.row, self.now)?;
        let tokens = tokens::open(sealer, &facts, &self.tokens)?;
        Ok(Grant { facts, tokens })
    }

    /// Its tokens, if they open.
    pub(super) fn held(self, sealer: &Sealer) -> Result<Holder, StoreError> {
        let facts = row::facts(self.row, self.now)?;
        Ok(Holder {
            tokens: tokens::open(sealer, &facts, &self.tokens).ok(),
            generation: facts.generation,
            id: facts.id,
        })
    }
}

impl SqlStore {
    /// Grants with their sealed tokens.
    pub(super) fn stored_grants(&self) -> Select<grant::Entity> {
        grant::Entity::find()
            .expr_as(Expr::cust("grants.tokens"), "tokens")
            .expr_as(Expr::cust(self.database.now()), "now")
    }

    async fn one_grant(&self, query: Select<grant::Entity>) -> Result<Option<Grant>, StoreError> {
        let read = |database| {
            let query = query.clone().into_model::<StoredGrant>();
            async move { query.one(&database).await }
        };
        let found = self.database.read(read).await?;
        found.map(|grant| grant.open(&self.sealer)).transpose()
    }

    pub(super) async fn rows(&self, sql: Sql) -> Result<Vec<QueryResult>, StoreError> {
        let statement = sql.build(self.database.backend());
        let read = |database: Session| {
            let statement = statement.clone();
            async move { database.query_all_raw(statement).await }
        };
        self.database.read(read).await
    }

    /// What makes a grant due at `now`.
    fn is_due(&self, now: Timestamp) -> Sql {
        Sql::new("due_at <= ? AND ", [now.as_millis().into()]).then(self.is_free(now))
    }

    /// What makes a grant one that may be refreshed at `now`.
    pub(super) fn is_free(&self, now: Timestamp) -> Sql {
        let lease = format!(
            "(lease_until IS NULL OR lease_until <= {})",
            self.database.now()
        );
        Sql::new(
            "invalid_reason IS NULL AND (next_attempt_at IS NULL OR next_attempt_at <= ?) AND ",
            [now.as_millis().into()],
        )
        .then_text(&lease)
    }
}

#[async_trait]
impl GrantStore for SqlStore {
    async fn grant_of(&self, key: &CredentialKey) -> Result<Option<Grant>, StoreError> {
        let its_grant = Query::select()
            .column(credential::Column::GrantId)
            .from(credential::Entity)
            .and_where(credential::Column::Tenant.eq(key.tenant.as_str()))
            .and_where(credential::Column::Id.eq(key.id.as_str()))
            .take();
        let query = self.stored_grants();
        self.one_grant(query.filter(grant::Column::Id.in_subquery(its_grant)))
            .await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        let query = self.stored_grants();
        self.one_grant(query.filter(grant::Column::Id.eq(id.as_str())))
            .await
    }

    async fn derived(
        &self,
        parent: &GrantId,
        scopes: &ScopeSet,
    ) -> Result<Option<Grant>, StoreError> {
        let query = self.stored_grants();
        let derived = query
            .filter(grant::Column::Parent.eq(parent.as_str()))
            .filter(grant::Column::RequestedScopes.eq(requested_scopes(scopes)));
        self.one_grant(derived).await
    }

    async fn claim(
        &self,
        id: &GrantId,
        generation: Generation,
        owner: &OwnerToken,
        lease: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        let now = self.database.now();
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let claim = update(
            "grants",
            vec![
                ("epoch", Sql::text("epoch + 1")),
                ("lease_owner", Sql::value(owner.as_str())),
                (
                    "lease_until",
                    Sql::new(format!("{now} + ?"), [lease.into()]),
                ),
                // Right-hand sides see the row as it was.
                ("takeover", Sql::text("intent")),
                ("intent", Sql::text("TRUE")),
            ],
            vec![
                Sql::new("id = ?", [id.as_str().into()]),
                Sql::new("generation = ?", [stored(generation.0).into()]),
                Sql::text("invalid_reason IS NULL"),
                Sql::text(format!("(lease_until IS NULL OR lease_until <= {now})")),
            ],
        );
        let statement = claim
            .then_text(" RETURNING epoch, takeover")
            .build(self.database.backend());
        let claimed = |session: Session| async move {
            let row = session.query_one_raw(statement).await?;
            row.map(|row| {
                Ok(Claimed {
                    epoch: Epoch(number(row.try_get("", "epoch")?)),
                    takeover: row.try_get("", "takeover")?,
                })
            })
            .transpose()
        };
        let claimed = self.database.write(claimed).await?;
        claimed.map_err(|error| super::error::store_error(&error))
    }

    async fn commit(
        &self,
        id: &GrantId,
        base: Generation,
        tokens: &TokenSet,
        issued_at: Timestamp,
        dates: &Dates,
    ) -> Result<Option<u64>, StoreError> {
        let mut columns = next_tokens(&self.sealer, id, base.next(), tokens, issued_at, dates);
        columns.extend(raise_grant(self.database.now()));
        let conditions = vec![
            Sql::new("id = ?", [id.as_str().into()]),
            Sql::new("generation = ?", [stored(base.0).into()]),
            Sql::text("invalid_reason IS NULL"),
        ];
        let statement = update("grants", columns, conditions)
            .then_text(" RETURNING version")
            .build(self.database.backend());
        let version = |session: Session| async move {
            let row = session.query_one_raw(statement).await?;
            row.map(|row| row.try_get("", "version")).transpose()
        };
        let version = self.database.write(version).await?;
        let version = version.map_err(|error| super::error::store_error(&error))?;
        if version.is_some() {
            self.audit.refreshed(id, base.next());
        }
        Ok(version.map(number))
    }

    async fn end_attempt(
        &self,
        id: &GrantId,
        epoch: Epoch,
        end: AttemptEnd,
    ) -> Result<bool, StoreError> {
        let mut columns = vec![
            ("lease_owner", Sql::text("NULL")),
            ("lease_until", Sql::text("NULL")),
        ];
        let mut failed = None;
        match end {
            AttemptEnd::Unused => columns.push(("intent", Sql::text("takeover"))),
            AttemptEnd::Deferred {
                next_at,
                failure,
                ambiguous,
            } => {
                failed = Some(failure.reason);
                columns.extend([
                    ("intent", Sql::new("takeover OR ?", [ambiguous.into()])),
                    ("failed", Sql::text("failed + 1")),
                    ("next_attempt_at", Sql::value(next_at.as_millis())),
                    ("failure_reason", Sql::value(failure.reason.as_str())),
                    ("failure_message", Sql::value(free_text(&failure.message))),
                ]);
            }
        }
        let conditions = vec![
            Sql::new("id = ?", [id.as_str().into()]),
            Sql::new("epoch = ?", [stored(epoch.0).into()]),
            Sql::text("lease_owner IS NOT NULL"),
        ];
        let end = update("grants", columns, conditions);
        let ended = self.database.execute(end).await? == 1;
        if let Some(reason) = failed.filter(|_| ended) {
            self.audit.refresh_failed(id, reason.as_str());
        }
        Ok(ended)
    }

    async fn keep_orphan(
        &self,
        id: &GrantId,
        base: Generation,
        tokens: &TokenSet,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.insert_orphan(id, base, tokens, reason).await?;
        self.audit.kept_aside(id, base);
        Ok(())
    }

    async fn orphans_of(&self, grant: &GrantFacts) -> Result<Vec<TokenSet>, StoreError> {
        self.read_orphans(grant).await
    }

    async fn prune_orphans(&self, retention: Duration, limit: u32) -> Result<u64, StoreError> {
        self.delete_orphans(retention, limit).await
    }

    async fn note_attempts(&self, records: &[AttemptRecord]) -> Result<(), StoreError> {
        self.insert_attempts(records).await
    }

    async fn attempts_of(&self, id: &GrantId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.read_attempts(id).await
    }

    async fn prune_attempts(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        self.delete_attempts(older_than, limit).await
    }

    async fn due(
        &self,
        now: Timestamp,
        limit: u32,
        per_client: u32,
    ) -> Result<Vec<DueGrant>, StoreError> {
        let ranked = Sql::text(
            "SELECT id, generation, provider, client, grant_type, due_at FROM (
                SELECT id, generation, provider, client, grant_type, due_at, row_number()
                    OVER (PARTITION BY provider, client ORDER BY due_at, id) AS place
                FROM grants WHERE ",
        )
        .then(self.is_due(now))
        .then(Sql::new(
            ") ranked WHERE place <= ? ORDER BY due_at, id LIMIT ?",
            [i64::from(per_client).into(), i64::from(limit).into()],
        ));
        let rows = self.rows(ranked).await?;
        rows.iter().map(due_grant).collect()
    }

    async fn to_probe(
        &self,
        client: &ClientKey,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError> {
        self.probe_candidates(client, now, limit).await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        let count = "SELECT count(*) AS due, min(due_at) AS oldest FROM grants WHERE ";
        let rows = self.rows(Sql::text(count).then(self.is_due(now))).await?;
        let Some(row) = rows.first() else {
            return Ok(Backlog::default());
        };
        let oldest: Option<i64> = get(row, "oldest")?;
        Ok(Backlog {
            due: number(get(row, "due")?),
            oldest: oldest.map(Timestamp::from_millis),
        })
    }

    async fn to_announce(&self, now: Timestamp, limit: u32) -> Result<Vec<GrantId>, StoreError> {
        let rows = self.rows(forecast::to_announce(now, limit)).await?;
        let ids = rows
            .iter()
            .map(|row| row::name(GrantId::parse, &get::<String>(row, "id")?));
        ids.collect()
    }

    async fn changed_within(&self, window: Duration) -> Result<Vec<GrantVersion>, StoreError> {
        self.read_changed(window).await
    }

    async fn forget_deleted(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        self.prune_deleted(older_than, limit).await
    }

    async fn count_by_state(&self) -> Result<Vec<(ProviderName, bool, u64)>, StoreError> {
        let count = Sql::text(
            "SELECT provider, active, count(*) AS counted FROM (
                SELECT provider, CAST(CASE WHEN invalid_reason IS NULL THEN 1 ELSE 0 END AS BIGINT)
                    AS active FROM grants WHERE parent IS NULL
            ) states GROUP BY provider, active",
        );
        self.rows(count).await?.iter().map(counted).collect()
    }

    async fn count_credentials(&self) -> Result<Vec<(ProviderName, bool, u64)>, StoreError> {
        let count = Sql::text(
            "SELECT provider, active, count(*) AS counted FROM (
                SELECT g.provider,
                    CAST(CASE WHEN g.invalid_reason IS NULL THEN 1 ELSE 0 END AS BIGINT) AS active
                FROM credentials c JOIN grants g ON g.id = c.grant_id
            ) states GROUP BY provider, active",
        );
        self.rows(count).await?.iter().map(counted).collect()
    }
}

fn counted(row: &QueryResult) -> Result<(ProviderName, bool, u64), StoreError> {
    let provider = row::name(ProviderName::parse, &get::<String>(row, "provider")?)?;
    let active = get::<i64>(row, "active")? == 1;
    Ok((provider, active, number(get(row, "counted")?)))
}

fn due_grant(row: &QueryResult) -> Result<DueGrant, StoreError> {
    let client: ClientKey = row::client_key(
        &get::<String>(row, "provider")?,
        &get::<String>(row, "client")?,
    )?;
    Ok(DueGrant {
        id: row::name(GrantId::parse, &get::<String>(row, "id")?)?,
        generation: Generation(number(get(row, "generation")?)),
        client,
        grant_type: row::word(&get::<String>(row, "grant_type")?)?,
        due_at: Timestamp::from_millis(get(row, "due_at")?),
    })
}

/// The value of a column.
pub(super) fn get<T: sea_orm::TryGetable>(
    row: &QueryResult,
    column: &str,
) -> Result<T, StoreError> {
    let value = row.try_get("", column);
    value.map_err(|error| super::error::store_error(&error))
}
