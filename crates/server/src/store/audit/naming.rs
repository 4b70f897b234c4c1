//! The credentials of grants, which records name.

use std::collections::HashMap;

use evergrant_core::ids::{CredentialKey, GrantId, TenantId};
use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait, Value};

use super::super::grants::get;
use super::super::row::{client_key, corrupt, credential_key};
use super::super::session::Session;
use super::super::sql::Sql;
use super::AuditLog;
use crate::audit::record::{Entry, Subject};

impl AuditLog {
    /// Replaces each entry of a grant by one for each of the grant's credentials. Of a grant that is gone meanwhile, or
    /// that no credential uses, the entry stays without a name.
    pub(super) async fn name_credentials(
        &self,
        entries: &mut Vec<Entry>,
    ) -> Result<(), StoreError> {
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
