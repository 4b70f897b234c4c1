//! IntegrationService.

use std::sync::Arc;

use evergrant_core::ids::{CredentialId, IntegrationId, IntegrationKey};
use evergrant_core::integration::IntegrationStatus;
use evergrant_core::registry::Registry;
use evergrant_core::store::{IntegrationQuery, Store};
use evergrant_proto::v1::integration_service_server::IntegrationService;
use evergrant_proto::v1::{self, ErrorReason};
use tonic::{Request, Response, Status};

use super::call::Call;
use super::caller::Permission;
use super::convert::integration::{to_integration, update, whole};
use super::convert::{integration_key, page_size, tenant};
use super::gate::Gate;
use super::paging::{after_token, bad_page_token, cut};
use super::status::{ApiError, change_error, store_error};

/// Serves IntegrationService.
#[derive(Clone)]
pub struct Integrations {
    registry: Registry,
    store: Arc<dyn Store>,
    gate: Gate,
}

impl std::fmt::Debug for Integrations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Integrations").finish_non_exhaustive()
    }
}

impl Integrations {
    /// A service that changes integrations through `registry`.
    pub fn new(registry: Registry, store: Arc<dyn Store>, gate: Gate) -> Self {
        Self {
            registry,
            store,
            gate,
        }
    }

    async fn create(
        &self,
        call: &Call,
        request: v1::CreateIntegrationRequest,
    ) -> Result<v1::CreateIntegrationResponse, ApiError> {
        let wire = request
            .integration
            .ok_or_else(|| ApiError::invalid("integration", "must be set"))?;
        if wire.status != 0
            || !wire.cause.is_empty()
            || wire.status_changed_at.is_some()
            || !wire.etag.is_empty()
        {
            let why = "status, cause, status_changed_at and etag are set by the server";
            return Err(ApiError::invalid("integration.status", why));
        }
        let mut id = wire.integration_id.clone();
        if id.is_empty() {
            id = uuid::Uuid::now_v7().to_string();
        }
        let key = integration_key(&wire.tenant_id, &id)?;
        call.concerns(&key);
        call.require(Permission::IntegrationWrite, Some(&key.tenant))?;
        let integration = self
            .registry
            .create_integration(&key, &whole(wire)?)
            .await
            .map_err(|error| change_error(error, ApiError::from))?;
        Ok(v1::CreateIntegrationResponse {
            integration: Some(to_integration(integration)),
        })
    }

    async fn get(
        &self,
        call: &Call,
        request: v1::GetIntegrationRequest,
    ) -> Result<v1::GetIntegrationResponse, ApiError> {
        let key = integration_key(&request.tenant_id, &request.integration_id)?;
        call.concerns(&key);
        call.require(Permission::IntegrationRead, Some(&key.tenant))?;
        let integration = self
            .store
            .integration(&key)
            .await
            .map_err(|error| store_error(&error))?
            .ok_or_else(|| not_found(&key))?;
        Ok(v1::GetIntegrationResponse {
            integration: Some(to_integration(integration)),
        })
    }

    async fn list(
        &self,
        call: &Call,
        request: v1::ListIntegrationsRequest,
    ) -> Result<v1::ListIntegrationsResponse, ApiError> {
        let v1::ListIntegrationsRequest {
            tenant_id,
            page_size: size,
            page_token,
            status: wanted,
            credential_id,
        } = request;
        let owner = tenant(&tenant_id)?;
        call.require(Permission::IntegrationRead, Some(&owner))?;
        let limit = page_size(size)?;
        let credential = match credential_id.as_str() {
            "" => None,
            id => Some(
                CredentialId::parse(id)
                    .map_err(|why| ApiError::invalid("credential_id", why.to_string()))?,
            ),
        };
        let after = after_token(&page_token)?
            .map(|id| IntegrationId::parse(&id).map_err(|_| bad_page_token()))
            .transpose()?;
        let mut integrations = self
            .store
            .list_integrations(&IntegrationQuery {
                tenant: owner,
                status: status(wanted)?,
                credential,
                after,
                limit: limit + 1,
            })
            .await
            .map_err(|error| store_error(&error))?;
        let next_page_token = cut(&mut integrations, limit, |one| one.key.id.to_string());
        Ok(v1::ListIntegrationsResponse {
            integrations: integrations.into_iter().map(to_integration).collect(),
            next_page_token,
        })
    }

    async fn update(
        &self,
        call: &Call,
        request: v1::UpdateIntegrationRequest,
    ) -> Result<v1::UpdateIntegrationResponse, ApiError> {
        let wire = request
            .integration
            .ok_or_else(|| ApiError::invalid("integration", "must be set"))?;
        let key = integration_key(&wire.tenant_id, &wire.integration_id)?;
        call.concerns(&key);
        call.require(Permission::IntegrationWrite, Some(&key.tenant))?;
        let integration = self
            .registry
            .update_integration(&key, &update(wire, request.update_mask)?)
            .await
            .map_err(|error| change_error(error, ApiError::from))?;
        Ok(v1::UpdateIntegrationResponse {
            integration: Some(to_integration(integration)),
        })
    }

    async fn delete(
        &self,
        call: &Call,
        request: v1::DeleteIntegrationRequest,
    ) -> Result<v1::DeleteIntegrationResponse, ApiError> {
        let key = integration_key(&request.tenant_id, &request.integration_id)?;
        call.concerns(&key);
        call.require(Permission::IntegrationWrite, Some(&key.tenant))?;
        let found = self
            .registry
            .delete_integration(&key)
            .await
            .map_err(|error| change_error(error, |never| match never {}))?;
        if !found {
            return Err(not_found(&key));
        }
        Ok(v1::DeleteIntegrationResponse {})
    }
}

#[tonic::async_trait]
impl IntegrationService for Integrations {
    async fn create_integration(
        &self,
        request: Request<v1::CreateIntegrationRequest>,
    ) -> Result<Response<v1::CreateIntegrationResponse>, Status> {
        let work = async |call: Call, message| self.create(&call, message).await;
        self.gate.serve("CreateIntegration", request, work).await
    }

    async fn get_integration(
        &self,
        request: Request<v1::GetIntegrationRequest>,
    ) -> Result<Response<v1::GetIntegrationResponse>, Status> {
        let work = async |call: Call, message| self.get(&call, message).await;
        self.gate.serve("GetIntegration", request, work).await
    }

    async fn list_integrations(
        &self,
        request: Request<v1::ListIntegrationsRequest>,
    ) -> Result<Response<v1::ListIntegrationsResponse>, Status> {
        let work = async |call: Call, message| self.list(&call, message).await;
        self.gate.serve("ListIntegrations", request, work).await
    }

    async fn update_integration(
        &self,
        request: Request<v1::UpdateIntegrationRequest>,
    ) -> Result<Response<v1::UpdateIntegrationResponse>, Status> {
        let work = async |call: Call, message| self.update(&call, message).await;
        self.gate.serve("UpdateIntegration", request, work).await
    }

    async fn delete_integration(
        &self,
        request: Request<v1::DeleteIntegrationRequest>,
    ) -> Result<Response<v1::DeleteIntegrationResponse>, Status> {
        let work = async |call: Call, message| self.delete(&call, message).await;
        self.gate.serve("DeleteIntegration", request, work).await
    }
}

fn not_found(key: &IntegrationKey) -> ApiError {
    let message = format!("integration {key} does not exist");
    ApiError::new(ErrorReason::IntegrationNotFound, message)
}

fn status(value: i32) -> Result<Option<IntegrationStatus>, ApiError> {
    use v1::IntegrationStatus as Wire;
    Ok(match Wire::try_from(value) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::Enabled) => Some(IntegrationStatus::Enabled),
        Ok(Wire::Disabled) => Some(IntegrationStatus::Disabled),
        Ok(Wire::Error) => Some(IntegrationStatus::Error),
        Ok(Wire::Processing) => Some(IntegrationStatus::Processing),
        Ok(Wire::NeedsConfig) => Some(IntegrationStatus::NeedsConfig),
        Err(_) => return Err(ApiError::invalid("status", "is no known status")),
    })
}
