//! CredentialService.

mod authorization;
mod create;
mod delete;
mod explain;
mod forecast;
mod invalidate;
mod list;
mod read;
mod reconnect;
mod update;

use std::sync::Arc;

use evergrant_core::broker::Broker;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::grant::GrantType;
use evergrant_core::ids::{ClientKey, ClientName, CredentialKey, ProviderName};
use evergrant_core::registry::Registry;
use evergrant_core::store::{CredentialView, Store};
use evergrant_proto::v1::credential_service_server::CredentialService;
use evergrant_proto::v1::{self, ErrorReason};
use evergrant_providers::HttpProviders;
use tonic::{Request, Response, Status};

use self::delete::Deletions;
use super::call::Call;
use super::convert::credential::to_credential;
use super::convert::material::{Brought, brought};
use super::convert::means::{refuse_unfit, unusable};
use super::gate::Gate;
use super::status::{ApiError, store_error};
use crate::consent::Consents;

/// Serves CredentialService.
#[derive(Clone)]
pub struct Credentials {
    broker: Arc<Broker>,
    registry: Registry,
    deletions: Deletions,
    store: Arc<dyn Store>,
    providers: Arc<HttpProviders>,
    consents: Consents,
    gate: Gate,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// A service that changes credentials through the registry of `broker`, and through its revoker where their grants
    /// are revoked first.
    pub fn new(
        broker: Arc<Broker>,
        store: Arc<dyn Store>,
        providers: Arc<HttpProviders>,
        consents: Consents,
        gate: Gate,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let registry = broker.registry();
        let deletions = Deletions::new(registry.clone(), broker.revoker(), clock.clone());
        Self {
            broker,
            registry,
            deletions,
            store,
            providers,
            consents,
            gate,
            clock,
        }
    }

    async fn view(&self, key: &CredentialKey) -> Result<CredentialView, ApiError> {
        self.store
            .credential(key)
            .await
            .map_err(|error| store_error(&error))?
            .ok_or_else(|| not_found(key))
    }

    async fn rendered(&self, key: &CredentialKey) -> Result<Option<v1::Credential>, ApiError> {
        Ok(Some(to_credential(self.view(key).await?)))
    }

    /// What a request brings, if new tokens can be had with it.
    fn brought(
        &self,
        client: &ClientKey,
        grant_type: GrantType,
        material: Option<v1::TokenMaterial>,
        now: Timestamp,
    ) -> Result<Brought, ApiError> {
        let provider = &client.provider;
        let brought = brought(&self.providers, provider, grant_type, material, now)?;
        let tokens = &brought.tokens;
        if let Some(entry) = self.providers.entry(provider) {
            refuse_unfit(entry, grant_type, &tokens.means)?;
        }
        self.providers
            .check_grant(client, grant_type, tokens)
            .map_err(|why| unusable(grant_type, &why))?;
        Ok(brought)
    }

    fn client(&self, provider: &str, client: &str) -> Result<ClientKey, ApiError> {
        let provider = ProviderName::parse(provider)
            .map_err(|why| ApiError::invalid("credential.provider", why.to_string()))?;
        let client = match client {
            "" => None,
            name => Some(
                ClientName::parse(name)
                    .map_err(|why| ApiError::invalid("credential.client", why.to_string()))?,
            ),
        };
        Ok(self.providers.resolve_client(&provider, client.as_ref())?)
    }
}

#[tonic::async_trait]
impl CredentialService for Credentials {
    async fn create_credential(
        &self,
        request: Request<v1::CreateCredentialRequest>,
    ) -> Result<Response<v1::CreateCredentialResponse>, Status> {
        let work = async |call: Call, message| self.create(&call, message).await;
        self.gate.serve("CreateCredential", request, work).await
    }

    async fn get_credential(
        &self,
        request: Request<v1::GetCredentialRequest>,
    ) -> Result<Response<v1::GetCredentialResponse>, Status> {
        let work = async |call: Call, message| self.get(&call, message).await;
        self.gate.serve("GetCredential", request, work).await
    }

    async fn explain_credential(
        &self,
        request: Request<v1::ExplainCredentialRequest>,
    ) -> Result<Response<v1::ExplainCredentialResponse>, Status> {
        let work = async |call: Call, message| self.explain(&call, message).await;
        self.gate.serve("ExplainCredential", request, work).await
    }

    async fn list_credentials(
        &self,
        request: Request<v1::ListCredentialsRequest>,
    ) -> Result<Response<v1::ListCredentialsResponse>, Status> {
        let work = async |call: Call, message| self.list(&call, message).await;
        self.gate.serve("ListCredentials", request, work).await
    }

    async fn forecast_credentials(
        &self,
        request: Request<v1::ForecastCredentialsRequest>,
    ) -> Result<Response<v1::ForecastCredentialsResponse>, Status> {
        let work = async |call: Call, message| self.forecast(&call, message).await;
        self.gate.serve("ForecastCredentials", request, work).await
    }

    async fn update_credential(
        &self,
        request: Request<v1::UpdateCredentialRequest>,
    ) -> Result<Response<v1::UpdateCredentialResponse>, Status> {
        let work = async |call: Call, message| self.update(&call, message).await;
        self.gate.serve("UpdateCredential", request, work).await
    }

    async fn reconnect_credential(
        &self,
        request: Request<v1::ReconnectCredentialRequest>,
    ) -> Result<Response<v1::ReconnectCredentialResponse>, Status> {
        let work = async |call: Call, message| self.reconnect(&call, message).await;
        self.gate.serve("ReconnectCredential", request, work).await
    }

    async fn invalidate_credential(
        &self,
        request: Request<v1::InvalidateCredentialRequest>,
    ) -> Result<Response<v1::InvalidateCredentialResponse>, Status> {
        let work = async |call: Call, message| self.invalidate(&call, message).await;
        self.gate.serve("InvalidateCredential", request, work).await
    }

    async fn delete_credential(
        &self,
        request: Request<v1::DeleteCredentialRequest>,
    ) -> Result<Response<v1::DeleteCredentialResponse>, Status> {
        let work = async |call: Call, message| self.deletions.delete(&call, message).await;
        self.gate.serve("DeleteCredential", request, work).await
    }

    async fn begin_authorization(
        &self,
        request: Request<v1::BeginAuthorizationRequest>,
    ) -> Result<Response<v1::BeginAuthorizationResponse>, Status> {
        let work = async |call: Call, message| self.begin(&call, message).await;
        self.gate.serve("BeginAuthorization", request, work).await
    }

    async fn complete_authorization(
        &self,
        request: Request<v1::CompleteAuthorizationRequest>,
    ) -> Result<Response<v1::CompleteAuthorizationResponse>, Status> {
        let work = async |call: Call, message| self.complete(&call, message).await;
        self.gate
            .serve("CompleteAuthorization", request, work)
            .await
    }

    async fn begin_device_authorization(
        &self,
        request: Request<v1::BeginDeviceAuthorizationRequest>,
    ) -> Result<Response<v1::BeginDeviceAuthorizationResponse>, Status> {
        let work = async |call: Call, message| self.begin_device(&call, message).await;
        self.gate
            .serve("BeginDeviceAuthorization", request, work)
            .await
    }

    async fn complete_device_authorization(
        &self,
        request: Request<v1::CompleteDeviceAuthorizationRequest>,
    ) -> Result<Response<v1::CompleteDeviceAuthorizationResponse>, Status> {
        let work = async |call: Call, message| self.complete_device(&call, message).await;
        self.gate
            .serve("CompleteDeviceAuthorization", request, work)
            .await
    }
}

fn not_found(key: &CredentialKey) -> ApiError {
    let message = format!("credential {key} does not exist");
    ApiError::new(ErrorReason::CredentialNotFound, message)
}

/// What the server decides must not be claimed by a caller.
fn refuse_server_fields(wire: &v1::Credential) -> Result<(), ApiError> {
    let given = [
        ("state", wire.state != 0),
        ("generation", wire.generation != 0),
        ("scopes", !wire.scopes.is_empty()),
        ("created_at", wire.created_at.is_some()),
        ("refreshed_at", wire.refreshed_at.is_some()),
        ("expires_at", wire.expires_at.is_some()),
        ("refresh_expires_at", wire.refresh_expires_at.is_some()),
        ("refreshable", wire.refreshable),
        ("invalidation", wire.invalidation.is_some()),
        ("failed_attempts", wire.failed_attempts != 0),
        ("next_attempt_at", wire.next_attempt_at.is_some()),
        ("etag", !wire.etag.is_empty()),
        ("grant_id", !wire.grant_id.is_empty()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((field, _)) => Err(ApiError::invalid(
            format!("credential.{field}"),
            "is set by the server",
        )),
    }
}
