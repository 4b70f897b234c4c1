//! Credentials, integrations and changes in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryStore, Op};
use crate::change::{ChangeSet, Scope, Snapshot};
use crate::ids::{ClientKey, CredentialKey, GrantId, IntegrationKey};
use crate::integration::Integration;
use crate::store::{
    ApplyError, ClientStanding, CredentialQuery, CredentialView, Directory, Forecast,
    ForecastQuery, IntegrationQuery, ProbeTurn, StoreError,
};

#[async_trait]
impl Directory for MemoryStore {
    async fn credential(&self, key: &CredentialKey) -> Result<Option<CredentialView>, StoreError> {
        self.call(Op::Credential, |state, now| {
            Some(state.credential_view(state.credentials.get(key)?, now))
        })
        .await
    }

    async fn list_credentials(
        &self,
        query: &CredentialQuery,
    ) -> Result<Vec<CredentialView>, StoreError> {
        self.call(Op::ListCredentials, |state, now| {
            state.list_credentials(query, now)
        })
        .await
    }

    async fn forecast(&self, query: &ForecastQuery) -> Result<Vec<Forecast>, StoreError> {
        self.call(Op::Forecast, |state, _| state.forecast(query))
            .await
    }

    async fn integration(&self, key: &IntegrationKey) -> Result<Option<Integration>, StoreError> {
        self.call(Op::Integration, |state, _| {
            Some(state.integration_view(state.integrations.get(key)?))
        })
        .await
    }

    async fn list_integrations(
        &self,
        query: &IntegrationQuery,
    ) -> Result<Vec<Integration>, StoreError> {
        self.call(Op::ListIntegrations, |state, _| {
            state.list_integrations(query)
        })
        .await
    }

    async fn clients(&self) -> Result<Vec<ClientStanding>, StoreError> {
        self.call(Op::Clients, |state, _| state.client_standings())
            .await
    }

    async fn claim_probe(
        &self,
        client: &ClientKey,
        wait: Duration,
    ) -> Result<ProbeTurn, StoreError> {
        self.call(Op::ClaimProbe, |state, now| {
            state.claim_probe(client, wait, now.wall)
        })
        .await
    }

    async fn held(
        &self,
        client: &ClientKey,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError> {
        self.call(Op::Held, |state, _| {
            let rows = state.grants.iter();
            rows.filter(|(id, row)| row.is_suspect_of(client) && Some(*id) > after)
                .map(|(id, _)| id.clone())
                .take(limit as usize)
                .collect()
        })
        .await
    }

    async fn snapshot(&self, scope: &Scope) -> Result<Snapshot, StoreError> {
        self.call(Op::Snapshot, |state, now| state.snapshot(scope, now))
            .await
    }

    async fn forget_deliveries(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        self.call(Op::ForgetDeliveries, |state, now| {
            state.forget_deliveries(now.wall.minus(older_than), limit)
        })
        .await
    }

    async fn apply(&self, change: &ChangeSet) -> Result<u64, ApplyError> {
        self.faults
            .strike(Op::Apply, || {
                self.with(|state, now| state.apply(change, now))
                    .ok_or(ApplyError::Conflict)
            })
            .await
    }
}
