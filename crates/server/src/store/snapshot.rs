//! Everything in a scope. The revision is read first and the rest after it, one statement each: whatever
//! moves in between is refused when the change is applied.

use std::collections::{BTreeMap, BTreeSet};

use evergrant_core::change::{Connecting, ELSEWHERE, Scope, Snapshot};
use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{ClientKey, CredentialKey, IntegrationKey, TenantId};
use evergrant_core::store::StoreError;
use sea_orm::sea_query::Query;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
};

use super::SqlStore;
use super::clients::StoredRefusals;
use super::deliveries::is_remembered;
use super::directory::is_credential;
use super::entity::{client, credential, grant, integration, integration_credential as link};
use super::grants::StoredGrant;
use super::integrations::{IntegrationPage, integrations, is_integration, read_integrations};
use super::kills::taken;
use super::reports::concerned;
use super::row::{self, number};
use super::session::Session;
use super::sql::Sql;

/// What a snapshot is made of.
struct Rows {
    revision: i64,
    now: i64,
    grants: Vec<grant::Model>,
    same_token: Vec<StoredGrant>,
    elsewhere: Vec<(String, String)>,
    credentials: Vec<credential::Model>,
    integrations: IntegrationPage,
    client: Option<client::Model>,
    delivered: bool,
    refusals: Option<StoredRefusals>,
}

impl SqlStore {
    pub(super) async fn read_snapshot(&self, scope: &Scope) -> Result<Snapshot, StoreError> {
        let read = |database| async move { self.read_rows(&database, scope).await };
        let rows = self.database.read(read).await?;
        let grants = rows.grants.into_iter();
        let grants = grants.map(|grant| row::facts(grant, rows.now));
        let same_token = rows.same_token.into_iter();
        let same_token = same_token.map(|grant| grant.held(&self.sealer));
        let elsewhere = rows.elsewhere.iter();
        let elsewhere = elsewhere.map(|(tenant, id)| row::credential_key(tenant, id));
        let credentials = rows.credentials.into_iter().map(row::credential);
        Ok(Snapshot {
            revision: number(rows.revision),
            now: Timestamp::from_millis(rows.now),
            grants: grants.collect::<Result<_, _>>()?,
            same_token: same_token.collect::<Result<_, _>>()?,
            elsewhere: elsewhere.collect::<Result<_, _>>()?,
            credentials: credentials.collect::<Result<_, _>>()?,
            integrations: integrations(rows.integrations)?,
            client: rows.client.map(row::client).transpose()?,
            delivered: rows.delivered,
            refusals: rows.refusals.map(StoredRefusals::read).transpose()?,
        })
    }

    async fn read_rows(&self, database: &Session, scope: &Scope) -> Result<Rows, DbErr> {
        let first = format!(
            "SELECT revision, {} AS now FROM event_log",
            self.database.now()
        );
        let first = Sql::text(first).build(database.get_database_backend());
        let first = database.query_one_raw(first).await?;
        let first = first.ok_or_else(|| DbErr::RecordNotFound("the event log".to_owned()))?;
        let mut rows = Rows {
            revision: first.try_get("", "revision")?,
            now: first.try_get("", "now")?,
            grants: Vec::new(),
            same_token: Vec::new(),
            elsewhere: Vec::new(),
            credentials: Vec::new(),
            integrations: (Vec::new(), Vec::new()),
            client: None,
            delivered: false,
            refusals: None,
        };
        match scope {
            Scope::Client(key) => {
                rows.client = read_client(database, key).await?;
                rows.refusals = Some(self.read_refusals(database, key, None).await?);
            }
            Scope::Refusal { grant, client } => {
                add_grants(database, [grant.to_string()].into(), None, &mut rows).await?;
                let refusals = self.read_refusals(database, client, Some(grant));
                rows.refusals = Some(refusals.await?);
            }
            Scope::Integration { key, credentials } => {
                let wanted = credentials.iter().map(|id| id.as_str());
                let wanted = Condition::all()
                    .add(credential::Column::Tenant.eq(key.tenant.as_str()))
                    .add(
                        Condition::any()
                            .add(credential::Column::Id.is_in(wanted))
                            .add(credential::Column::Id.in_subquery(needs_of(key))),
                    );
                rows.credentials = read_credentials(database, wanted).await?;
                rows.integrations = read_integrations(database, is_integration(key), 1).await?;
                let grants = rows.credentials.iter().map(|row| row.grant_id.clone());
                rows.grants = read_grants(database, grants.collect()).await?;
            }
            Scope::Grant(id) => {
                let id = [id.to_string()].into();
                add_grants(database, id, None, &mut rows).await?;
            }
            Scope::Credential { key, connecting } => {
                let mut grants = BTreeSet::new();
                if let Some(wanted) = connecting {
                    grants.extend(of_account(database, &key.tenant, wanted).await?);
                    let holders = with_token(database, &key.tenant, wanted).await?;
                    rows.same_token = self.read_tokens(database, &holders).await?;
                    grants.extend(holders);
                    rows.elsewhere = with_token_elsewhere(database, &key.tenant, wanted).await?;
                }
                let found = read_credentials(database, is_credential(key)).await?;
                grants.extend(found.into_iter().map(|row| row.grant_id));
                add_grants(database, grants, Some(key), &mut rows).await?;
            }
            Scope::Kill(batch) => {
                let grants = taken(database, batch).await?;
                add_grants(database, grants.into_iter().collect(), None, &mut rows).await?;
            }
            Scope::Report { report, limit } => {
                rows.delivered = is_remembered(database, &report.delivery).await?;
                let grants = concerned(database, report, *limit).await?;
                add_grants(database, grants.into_iter().collect(), None, &mut rows).await?;
            }
        }
        Ok(rows)
    }

    async fn read_tokens(
        &self,
        database: &Session,
        ids: &[String],
    ) -> Result<Vec<StoredGrant>, DbErr> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let these = grant::Column::Id.is_in(ids.iter().map(String::as_str));
        let query = self.stored_grants().filter(these);
        let query = query.order_by_asc(grant::Column::Id);
        query.into_model::<StoredGrant>().all(database).await
    }
}

/// Adds grants, the credentials that use them, and the integrations that need those or `key`.
async fn add_grants(
    database: &Session,
    ids: BTreeSet<String>,
    key: Option<&CredentialKey>,
    rows: &mut Rows,
) -> Result<(), DbErr> {
    let sharing = credential::Column::GrantId.is_in(ids.iter().map(String::as_str));
    let sharing = Condition::all().add(sharing);
    rows.credentials = read_credentials(database, sharing).await?;
    rows.grants = read_with_derived(database, ids).await?;
    let mut needed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &rows.credentials {
        needed.entry(&row.tenant).or_default().insert(&row.id);
    }
    if let Some(key) = key {
        let of_tenant = needed.entry(key.tenant.as_str()).or_default();
        of_tenant.insert(key.id.as_str());
    }
    // One condition a tenant and not one a credential: sea-query nests them, and thousands of credentials that
    // share a grant would exhaust the stack.
    let mut dependants = Condition::any();
    for (tenant, ids) in needed {
        let of_tenant = Query::select()
            .column(link::Column::Integration)
            .from(link::Entity)
            .and_where(link::Column::Tenant.eq(tenant))
            .and_where(link::Column::Credential.is_in(ids))
            .take();
        let of_tenant = Condition::all()
            .add(integration::Column::Tenant.eq(tenant))
            .add(integration::Column::Id.in_subquery(of_tenant));
        dependants = dependants.add(of_tenant);
    }
    if !dependants.is_empty() {
        rows.integrations = read_integrations(database, dependants, u64::MAX >> 1).await?;
    }
    Ok(())
}

/// Grants, and those that are derived from them.
async fn read_with_derived(
    database: &Session,
    ids: BTreeSet<String>,
) -> Result<Vec<grant::Model>, DbErr> {
    let ids = || ids.iter().map(String::as_str);
    let these = Condition::any()
        .add(grant::Column::Id.is_in(ids()))
        .add(grant::Column::Parent.is_in(ids()));
    let query = grant::Entity::find().filter(these);
    query.order_by_asc(grant::Column::Id).all(database).await
}

async fn read_grants(
    database: &Session,
    ids: BTreeSet<String>,
) -> Result<Vec<grant::Model>, DbErr> {
    let these = grant::Column::Id.is_in(ids.iter().map(String::as_str));
    let query = grant::Entity::find().filter(these);
    query.order_by_asc(grant::Column::Id).all(database).await
}

async fn read_credentials(
    database: &Session,
    filter: Condition,
) -> Result<Vec<credential::Model>, DbErr> {
    credential::Entity::find()
        .filter(filter)
        .order_by_asc(credential::Column::Tenant)
        .order_by_asc(credential::Column::Id)
        .all(database)
        .await
}

async fn read_client(database: &Session, key: &ClientKey) -> Result<Option<client::Model>, DbErr> {
    let key = (key.provider.to_string(), key.client.to_string());
    client::Entity::find_by_id(key).one(database).await
}

async fn of_account(
    database: &Session,
    tenant: &TenantId,
    wanted: &Connecting,
) -> Result<Vec<String>, DbErr> {
    let Some(account) = &wanted.account else {
        return Ok(Vec::new());
    };
    let is_of_account = Sql::new("account = ?", [account.as_str().into()]);
    grants_where(database, tenant, wanted, is_of_account).await
}

async fn with_token(
    database: &Session,
    tenant: &TenantId,
    wanted: &Connecting,
) -> Result<Vec<String>, DbErr> {
    let Some(hash) = wanted.refresh_token else {
        return Ok(Vec::new());
    };
    let has_token = Sql::new("refresh_hash = ?", [hash.to_vec().into()]);
    grants_where(database, tenant, wanted, has_token).await
}

/// Tenant and id of the credentials of [`Snapshot::elsewhere`].
async fn with_token_elsewhere(
    database: &Session,
    tenant: &TenantId,
    wanted: &Connecting,
) -> Result<Vec<(String, String)>, DbErr> {
    let Some(hash) = wanted.refresh_token else {
        return Ok(Vec::new());
    };
    let query = Sql::new(
        "SELECT c.tenant, c.id FROM grants g JOIN credentials c ON c.grant_id = g.id
         WHERE g.refresh_hash = ? AND g.invalid_reason IS NULL
         AND NOT (g.tenant = ? AND g.provider = ? AND g.client = ?)
         ORDER BY c.tenant, c.id LIMIT ?",
        [
            hash.to_vec().into(),
            tenant.as_str().into(),
            wanted.client.provider.as_str().into(),
            wanted.client.client.as_str().into(),
            i64::from(ELSEWHERE).into(),
        ],
    );
    let query = query.build(database.get_database_backend());
    let rows = database.query_all_raw(query).await?.into_iter();
    rows.map(|row| Ok((row.try_get("", "tenant")?, row.try_get("", "id")?)))
        .collect()
}

async fn grants_where(
    database: &Session,
    tenant: &TenantId,
    wanted: &Connecting,
    is_wanted: Sql,
) -> Result<Vec<String>, DbErr> {
    let of_client = Sql::new(
        "SELECT id FROM grants WHERE tenant = ? AND provider = ? AND client = ? AND ",
        [
            tenant.as_str().into(),
            wanted.client.provider.as_str().into(),
            wanted.client.client.as_str().into(),
        ],
    );
    let query = of_client.then(is_wanted).then(Sql::text(" ORDER BY id"));
    let query = query.build(database.get_database_backend());
    let rows = database.query_all_raw(query).await?.into_iter();
    rows.map(|row| row.try_get::<String>("", "id")).collect()
}

fn needs_of(key: &IntegrationKey) -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .column(link::Column::Credential)
        .from(link::Entity)
        .and_where(link::Column::Tenant.eq(key.tenant.as_str()))
        .and_where(link::Column::Integration.eq(key.id.as_str()))
        .take()
}
