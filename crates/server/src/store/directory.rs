//! Credentials and integrations: reads and listings.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::change::{ChangeSet, Scope, Snapshot};
use evergrant_core::ids::{
    ClientKey, CredentialId, CredentialKey, GrantId, IntegrationId, IntegrationKey,
};
use evergrant_core::integration::Integration;
use evergrant_core::store::{
    ApplyError, ClientStanding, CredentialQuery, CredentialView, Directory, Forecast,
    ForecastQuery, IntegrationQuery, ProbeTurn, StoreError,
};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use super::SqlStore;
use super::entity::{credential, grant, integration, integration_credential as link};
use super::integrations::{integrations, is_integration, read_integrations};
use super::names::Stored;
use super::row;
use super::session::Session;
use super::sql::Sql;

/// What a page of credentials is made of.
struct CredentialPage {
    rows: Vec<(credential::Model, grant::Model)>,
    links: Vec<link::Model>,
    now: i64,
}

impl SqlStore {
    async fn credential_views(
        &self,
        filter: Condition,
        limit: u64,
    ) -> Result<Vec<CredentialView>, StoreError> {
        let now = self.database.now();
        let page = self.database.read(|database| {
            let filter = filter.clone();
            async move { read_credentials(&database, filter, limit, now).await }
        });
        let CredentialPage { rows, links, now } = page.await?;
        let mut dependants: BTreeMap<_, Vec<IntegrationId>> = BTreeMap::new();
        for link in links {
            let id = row::name(IntegrationId::parse, &link.integration)?;
            let needed = (link.tenant, link.credential);
            dependants.entry(needed).or_default().push(id);
        }
        let views = rows.into_iter().map(|(credential, grant)| {
            let key = (credential.tenant.clone(), credential.id.clone());
            Ok(CredentialView {
                credential: row::credential(credential)?,
                grant: row::facts(grant, now)?,
                integrations: dependants.get(&key).cloned().unwrap_or_default(),
            })
        });
        views.collect()
    }

    async fn integrations(
        &self,
        filter: Condition,
        limit: u64,
    ) -> Result<Vec<Integration>, StoreError> {
        let read = self.database.read(|database| {
            let filter = filter.clone();
            async move { read_integrations(&database, filter, limit).await }
        });
        integrations(read.await?)
    }

    /// A filter on labels, in the words of the database.
    fn has_label(&self, name: &str, value: &str) -> Expr {
        match self.database.backend() {
            DbBackend::Postgres => {
                let label = serde_json::json!({ name: value });
                Expr::cust_with_values("credentials.labels @> $1", [label])
            }
            _ => Expr::cust_with_values(
                "EXISTS (SELECT 1 FROM json_each(credentials.labels) AS label
                 WHERE label.key = ? AND label.value = ?)",
                [name, value],
            ),
        }
    }
}

async fn read_credentials(
    database: &Session,
    filter: Condition,
    limit: u64,
    now: &str,
) -> Result<CredentialPage, DbErr> {
    let rows = credential::Entity::find()
        .find_both_related(grant::Entity)
        .filter(filter)
        .order_by_asc(credential::Column::Tenant)
        .order_by_asc(credential::Column::Id)
        .limit(limit)
        .all(database)
        .await?;
    let tenants = rows.iter().map(|(row, _)| row.tenant.as_str());
    let ids = rows.iter().map(|(row, _)| row.id.as_str());
    let links = link::Entity::find()
        .filter(link::Column::Tenant.is_in(tenants))
        .filter(link::Column::Credential.is_in(ids))
        .order_by_asc(link::Column::Integration)
        .all(database)
        .await?;
    let clock = Sql::text(format!("SELECT {now} AS now")).build(database.get_database_backend());
    let now = match database.query_one_raw(clock).await? {
        Some(row) => row.try_get("", "now")?,
        None => 0,
    };
    Ok(CredentialPage { rows, links, now })
}

/// The credential of that key.
pub(super) fn is_credential(key: &CredentialKey) -> Condition {
    Condition::all()
        .add(credential::Column::Tenant.eq(key.tenant.as_str()))
        .add(credential::Column::Id.eq(key.id.as_str()))
}

#[async_trait]
impl Directory for SqlStore {
    async fn credential(&self, key: &CredentialKey) -> Result<Option<CredentialView>, StoreError> {
        let found = self.credential_views(is_credential(key), 1).await?;
        Ok(found.into_iter().next())
    }

    async fn list_credentials(
        &self,
        query: &CredentialQuery,
    ) -> Result<Vec<CredentialView>, StoreError> {
        let CredentialQuery {
            tenant,
            ids,
            providers,
            invalidated,
            labels,
            after,
            limit,
        } = query;
        let mut filter = Condition::all();
        if let Some(tenant) = tenant {
            filter = filter.add(credential::Column::Tenant.eq(tenant.as_str()));
        }
        if !ids.is_empty() {
            let ids = ids.iter().map(CredentialId::as_str);
            filter = filter.add(credential::Column::Id.is_in(ids));
        }
        if !providers.is_empty() {
            let providers = providers.iter().map(|provider| provider.as_str());
            filter = filter.add(grant::Column::Provider.is_in(providers));
        }
        filter = match invalidated {
            Some(true) => filter.add(grant::Column::InvalidReason.is_not_null()),
            Some(false) => filter.add(grant::Column::InvalidReason.is_null()),
            None => filter,
        };
        for (name, value) in labels {
            filter = filter.add(self.has_label(name, value));
        }
        if let Some(after) = after {
            let (tenant, id) = (after.tenant.as_str(), after.id.as_str());
            let same_tenant = Condition::all()
                .add(credential::Column::Tenant.eq(tenant))
                .add(credential::Column::Id.gt(id));
            let later = Condition::any()
                .add(credential::Column::Tenant.gt(tenant))
                .add(same_tenant);
            filter = filter.add(later);
        }
        self.credential_views(filter, u64::from(*limit)).await
    }

    async fn forecast(&self, query: &ForecastQuery) -> Result<Vec<Forecast>, StoreError> {
        self.read_forecast(query).await
    }

    async fn integration(&self, key: &IntegrationKey) -> Result<Option<Integration>, StoreError> {
        let found = self.integrations(is_integration(key), 1).await?;
        Ok(found.into_iter().next())
    }

    async fn list_integrations(
        &self,
        query: &IntegrationQuery,
    ) -> Result<Vec<Integration>, StoreError> {
        let IntegrationQuery {
            tenant,
            status,
            credential,
            after,
            limit,
        } = query;
        let mut filter = Condition::all().add(integration::Column::Tenant.eq(tenant.as_str()));
        if let Some(status) = status {
            filter = filter.add(integration::Column::Status.eq(status.name()));
        }
        if let Some(credential) = credential {
            let dependants = Query::select()
                .column(link::Column::Integration)
                .from(link::Entity)
                .and_where(link::Column::Tenant.eq(tenant.as_str()))
                .and_where(link::Column::Credential.eq(credential.as_str()))
                .take();
            filter = filter.add(integration::Column::Id.in_subquery(dependants));
        }
        if let Some(after) = after {
            filter = filter.add(integration::Column::Id.gt(after.as_str()));
        }
        self.integrations(filter, u64::from(*limit)).await
    }

    async fn clients(&self) -> Result<Vec<ClientStanding>, StoreError> {
        self.client_standings().await
    }

    async fn claim_probe(
        &self,
        client: &ClientKey,
        wait: Duration,
    ) -> Result<ProbeTurn, StoreError> {
        self.take_probe(client, wait).await
    }

    async fn held(
        &self,
        client: &ClientKey,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError> {
        self.held_grants(client, after, limit).await
    }

    async fn snapshot(&self, scope: &Scope) -> Result<Snapshot, StoreError> {
        self.read_snapshot(scope).await
    }

    async fn forget_deliveries(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        self.prune_deliveries(older_than, limit).await
    }

    async fn apply(&self, change: &ChangeSet) -> Result<u64, ApplyError> {
        let head = self.apply_change(change).await?;
        self.audit.changed(change);
        Ok(head)
    }
}
