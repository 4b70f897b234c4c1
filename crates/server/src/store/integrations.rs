//! Integrations with their needs, and how the credentials that they need stand.

use std::collections::BTreeMap;

use evergrant_core::ids::{CredentialId, IntegrationKey};
use evergrant_core::integration::{Fault, Integration, Need};
use evergrant_core::store::StoreError;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QueryResult, QuerySelect,
};

use super::entity::integration;
use super::grants::get;
use super::row;
use super::session::Session;
use super::sql::Sql;

/// Integrations in order of their names, and the needs of all of them with how those credentials stand.
pub(super) type IntegrationPage = (Vec<integration::Model>, Vec<QueryResult>);

pub(super) async fn read_integrations(
    database: &Session,
    filter: Condition,
    limit: u64,
) -> Result<IntegrationPage, DbErr> {
    let rows = integration::Entity::find()
        .filter(filter)
        .order_by_asc(integration::Column::Tenant)
        .order_by_asc(integration::Column::Id)
        .limit(limit)
        .all(database)
        .await?;
    if rows.is_empty() {
        return Ok((rows, Vec::new()));
    }
    let keys = rows
        .iter()
        .map(|row| Sql::tuple([row.tenant.as_str().into(), row.id.as_str().into()]));
    let needs = Sql::text(
        "SELECT n.tenant, n.integration, n.credential, c.id AS present,
            g.invalid_reason, g.invalid_error
         FROM integration_credentials n
         LEFT JOIN credentials c ON c.tenant = n.tenant AND c.id = n.credential
         LEFT JOIN grants g ON g.id = c.grant_id
         WHERE (n.tenant, n.integration) IN (VALUES ",
    )
    .then(Sql::join(keys, ", "))
    .then_text(") ORDER BY n.credential");
    let needs = needs.build(database.get_database_backend());
    Ok((rows, database.query_all_raw(needs).await?))
}

pub(super) fn integrations(page: IntegrationPage) -> Result<Vec<Integration>, StoreError> {
    let (rows, needs) = page;
    let mut of_each: BTreeMap<(String, String), Vec<Need>> = BTreeMap::new();
    for row in &needs {
        let key = (get(row, "tenant")?, get(row, "integration")?);
        of_each.entry(key).or_default().push(need(row)?);
    }
    let rows = rows.into_iter().map(|row| {
        let key = (row.tenant.clone(), row.id.clone());
        row::integration(row, of_each.remove(&key).unwrap_or_default())
    });
    rows.collect()
}

fn need(row: &QueryResult) -> Result<Need, StoreError> {
    let present: Option<String> = get(row, "present")?;
    let reason: Option<String> = get(row, "invalid_reason")?;
    let fault = match (present, reason) {
        (None, _) => Some(Fault::Deleted),
        (Some(_), None) => None,
        (Some(_), Some(reason)) => {
            let provider_error: Option<String> = get(row, "invalid_error")?;
            let reason = row::invalidation_reason(&reason)?;
            Some(Fault::invalidated(
                reason,
                &provider_error.unwrap_or_default(),
            ))
        }
    };
    Ok(Need {
        credential: row::name(CredentialId::parse, &get::<String>(row, "credential")?)?,
        fault,
    })
}

/// The integration of that key.
pub(super) fn is_integration(key: &IntegrationKey) -> Condition {
    Condition::all()
        .add(integration::Column::Tenant.eq(key.tenant.as_str()))
        .add(integration::Column::Id.eq(key.id.as_str()))
}
