//! Reading the trail.

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{CredentialId, CredentialKey, TenantId};
use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait, QueryResult};

use super::super::row::stored;
use super::super::session::Session;
use super::super::sql::Sql;
use super::{AuditLog, row};
use crate::audit::record::{OK, Record};

/// Which records to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditQuery {
    /// Only of these tenants; `None` means all, and what concerns no tenant.
    pub tenants: Option<Vec<TenantId>>,
    /// Only of this credential.
    pub credential: Option<CredentialId>,
    /// Only of this caller.
    pub caller: Option<String>,
    /// Only of this action.
    pub action: Option<String>,
    /// Only with such an outcome.
    pub outcomes: Outcomes,
    /// Only of what was still going on at this time or later.
    pub since: Option<Timestamp>,
    /// Only of what began before this time.
    pub before: Option<Timestamp>,
    /// Only records of a higher number.
    pub above: u64,
    /// Only records of a lower number.
    pub below: Option<u64>,
    /// In which order they come.
    pub order: Order,
    /// At most this many.
    pub limit: u32,
}

/// Which outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Outcomes {
    /// All of them.
    #[default]
    Any,
    /// Whatever did not come about.
    Refused,
    /// This one.
    Only(String),
}

/// By number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest first.
    #[default]
    Descending,
    /// The oldest first.
    Ascending,
}

impl AuditLog {
    /// A page of records. What lies above the head, or at the floor or below it, is none. Without a head there is no
    /// telling, which is an error.
    pub async fn records(&self, query: &AuditQuery) -> Result<Vec<Record>, StoreError> {
        let ends = [
            "number <= (SELECT head FROM audit_log WHERE id = 1)",
            "number > (SELECT floor FROM audit_log WHERE id = 1)",
        ];
        let records = self.rows_of(query, ends.map(Sql::text)).await?;
        if records.is_empty() {
            self.state().await?;
        }
        Ok(records)
    }

    /// What lies in the table behind the number `after`, in its order.
    pub async fn records_after(&self, after: u64, limit: u32) -> Result<Vec<Record>, StoreError> {
        let query = AuditQuery {
            above: after,
            order: Order::Ascending,
            limit,
            ..AuditQuery::default()
        };
        self.rows_of(&query, []).await
    }

    async fn rows_of(
        &self,
        query: &AuditQuery,
        ends: impl IntoIterator<Item = Sql>,
    ) -> Result<Vec<Record>, StoreError> {
        let order = match query.order {
            Order::Descending => "DESC",
            Order::Ascending => "ASC",
        };
        let read = Sql::text(format!(
            "SELECT {}, mac FROM audit_records WHERE ",
            row::COLUMNS
        ))
        .then(Sql::join(
            conditions(query).into_iter().chain(ends),
            " AND ",
        ))
        .then(Sql::new(
            format!(" ORDER BY number {order} LIMIT ?"),
            [i64::from(query.limit).into()],
        ));
        let rows = self.rows(read).await?;
        rows.iter().map(row::record).collect()
    }

    /// The credentials of which a token was disclosed to `caller` at `since` or later, as far as the trail goes back: by
    /// tenant and id, ascending, at most `limit`, and only those that come after `after`.
    ///
    /// A replica writes its part of the trail in batches, so what was disclosed within the last `audit.flush` may be
    /// missing.
    pub async fn disclosed_to(
        &self,
        caller: &str,
        since: Timestamp,
        after: Option<&CredentialKey>,
        limit: u32,
    ) -> Result<Vec<CredentialKey>, StoreError> {
        let mut conditions = vec![
            Sql::new("caller = ?", [caller.into()]),
            Sql::new("until >= ?", [since.as_millis().into()]),
            Sql::text("action IN ('GetToken', 'BatchGetTokens')"),
            Sql::new("outcome = ?", [OK.into()]),
        ];
        if let Some(after) = after {
            let (tenant, id) = (after.tenant.as_str(), after.id.as_str());
            let beyond = "(tenant > ? OR (tenant = ? AND credential > ?))";
            conditions.push(Sql::new(beyond, [tenant.into(), tenant.into(), id.into()]));
        }
        let read = Sql::text("SELECT DISTINCT tenant, credential FROM audit_records WHERE ")
            .then(Sql::join(conditions, " AND "))
            .then(Sql::new(
                " ORDER BY tenant, credential LIMIT ?",
                [i64::from(limit).into()],
            ));
        let rows = self.rows(read).await?;
        rows.iter().map(row::key).collect()
    }

    async fn rows(&self, sql: Sql) -> Result<Vec<QueryResult>, StoreError> {
        let statement = sql.build(self.database.backend());
        let read = |reader: Session| {
            let statement = statement.clone();
            async move { reader.query_all_raw(statement).await }
        };
        self.database.read(read).await
    }
}

fn conditions(query: &AuditQuery) -> Vec<Sql> {
    let AuditQuery {
        tenants,
        credential,
        caller,
        action,
        outcomes,
        since,
        before,
        above,
        below,
        order: _,
        limit: _,
    } = query;
    let mut conditions = vec![Sql::new("number > ?", [stored(*above).into()])];
    if let Some(below) = below {
        conditions.push(Sql::new("number < ?", [stored(*below).into()]));
    }
    if let Some(tenants) = tenants {
        let names = tenants.iter().map(|tenant| tenant.as_str().into());
        conditions.push(Sql::text("tenant IN ").then(Sql::tuple(names)));
    }
    let names = [
        (
            "credential = ?",
            credential.as_ref().map(CredentialId::as_str),
        ),
        ("caller = ?", caller.as_deref()),
        ("action = ?", action.as_deref()),
    ];
    for (condition, name) in names {
        conditions.extend(name.map(|name| Sql::new(condition, [name.into()])));
    }
    match outcomes {
        Outcomes::Any => {}
        Outcomes::Refused => conditions.push(Sql::new("outcome <> ?", [OK.into()])),
        Outcomes::Only(outcome) => {
            conditions.push(Sql::new("outcome = ?", [outcome.as_str().into()]));
        }
    }
    if let Some(since) = since {
        conditions.push(Sql::new("until >= ?", [since.as_millis().into()]));
    }
    if let Some(before) = before {
        conditions.push(Sql::new("at < ?", [before.as_millis().into()]));
    }
    conditions
}
