//! CredentialService.

mod authorization;
mod delete;
mod forecast;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::change::plan::{CreateCredential, Reconnect};
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::grant::{GrantType, TokenSet};
use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, Generation, ProviderName,
};
use evergrant_core::provider::{Providers as _, Renewal};
use evergrant_core::registry::Registry;
use evergrant_core::revocation::Revoker;
use evergrant_core::store::{CredentialQuery, CredentialView, Store};
use evergrant_proto::v1::credential_service_server::CredentialService;
use evergrant_proto::v1::{self, ErrorReason};
use evergrant_providers::HttpProviders;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use self::delete::Deletions;
use super::caller::{Callers, Permission};
use super::convert::credential::{account, check_message, grant_type, to_credential, tokens};
use super::convert::integration::to_integration;
use super::convert::means::refuse_incomplete;
use super::convert::{credential_key, etag, labels, page_size, tenant};
use super::meter;
use super::status::{ApiError, change_error, store_error};
use crate::consent::Consents;

/// Serves CredentialService.
#[derive(Clone)]
pub struct Credentials {
    registry: Registry,
    deletions: Deletions,
    store: Arc<dyn Store>,
    providers: Arc<HttpProviders>,
    consents: Consents,
    callers: Callers,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// A service that changes credentials through `registry`, and through `revoker` where their grants are revoked first.
    pub fn new(
        registry: Registry,
        revoker: Revoker,
        store: Arc<dyn Store>,
        providers: Arc<HttpProviders>,
        consents: Consents,
        callers: Callers,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let deletions = Deletions::new(registry.clone(), revoker, callers.clone(), clock.clone());
        Self {
            registry,
            deletions,
            store,
            providers,
            consents,
            callers,
            clock,
        }
    }

    fn allow(
        &self,
        metadata: &MetadataMap,
        permission: Permission,
        key: &CredentialKey,
    ) -> Result<(), ApiError> {
        self.callers
            .recognise(metadata)?
            .require(permission, Some(&key.tenant))
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

    async fn create(
        &self,
        metadata: MetadataMap,
        request: v1::CreateCredentialRequest,
    ) -> Result<v1::CreateCredentialResponse, ApiError> {
        let v1::CreateCredentialRequest {
            credential,
            material,
        } = request;
        let wire = credential.ok_or_else(|| ApiError::invalid("credential", "must be set"))?;
        refuse_server_fields(&wire)?;
        let id = if wire.credential_id.is_empty() {
            uuid::Uuid::now_v7().to_string()
        } else {
            wire.credential_id.clone()
        };
        let key = credential_key(&wire.tenant_id, &id)?;
        self.allow(&metadata, Permission::CredentialWrite, &key)?;
        let client = self.client(&wire.provider, &wire.client)?;
        let grant_type = grant_type(wire.grant_type)?;
        let profile = self.providers.profile(&client)?;
        if !profile.grant_types.contains(&grant_type) {
            let why = format!("provider {} has no such grant type", client.provider);
            return Err(ApiError::invalid("credential.grant_type", why));
        }
        let now = self.clock.now();
        let tokens = self.tokens(&client, grant_type, material, now)?;
        let new = CreateCredential {
            client,
            grant_type,
            account: account(
                grant_type,
                "credential.provider_account",
                wire.provider_account,
            )?,
            labels: labels("credential.labels", wire.labels)?,
            tokens,
            issued_at: now,
            renewal: profile.renewal,
            key: key.clone(),
        };
        self.registry
            .create_credential(&new)
            .await
            .map_err(|error| change_error(error, ApiError::from))?;
        Ok(v1::CreateCredentialResponse {
            credential: self.rendered(&key).await?,
        })
    }

    /// The tokens or the means that a request brings.
    fn tokens(
        &self,
        client: &ClientKey,
        grant_type: GrantType,
        material: Option<v1::TokenMaterial>,
        now: Timestamp,
    ) -> Result<TokenSet, ApiError> {
        let tokens = tokens(grant_type, material, now)?;
        if let Some(entry) = self.providers.entry(&client.provider) {
            refuse_incomplete(entry, grant_type, &tokens.means)?;
        }
        Ok(tokens)
    }

    /// How the grants of a client are renewed; as usual, where the catalogue no longer knows the provider.
    fn renewal(&self, client: &ClientKey) -> Renewal {
        let profile = self.providers.profile(client);
        profile.map_or_else(|_| Renewal::default(), |profile| profile.renewal)
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

    async fn list(
        &self,
        metadata: MetadataMap,
        request: v1::ListCredentialsRequest,
    ) -> Result<v1::ListCredentialsResponse, ApiError> {
        let v1::ListCredentialsRequest {
            tenant_id,
            page_size: size,
            page_token,
            state,
            provider,
            labels: wanted,
        } = request;
        let owner = tenant(&tenant_id)?;
        self.callers
            .recognise(&metadata)?
            .require(Permission::CredentialRead, Some(&owner))?;
        let limit = page_size(size)?;
        let invalidated = match v1::CredentialState::try_from(state) {
            Ok(v1::CredentialState::Unspecified) => None,
            Ok(v1::CredentialState::Active) => Some(false),
            Ok(v1::CredentialState::Invalidated) => Some(true),
            Err(_) => return Err(ApiError::invalid("state", "is no known state")),
        };
        let providers = match provider.as_str() {
            "" => Vec::new(),
            name => vec![
                ProviderName::parse(name)
                    .map_err(|why| ApiError::invalid("provider", why.to_string()))?,
            ],
        };
        let after = after_token(&page_token)?
            .map(|id| {
                CredentialId::parse(&id)
                    .map(|id| CredentialKey {
                        tenant: owner.clone(),
                        id,
                    })
                    .map_err(|_| bad_page_token())
            })
            .transpose()?;
        let mut views = self
            .store
            .list_credentials(&CredentialQuery {
                tenant: Some(owner),
                ids: Vec::new(),
                providers,
                invalidated,
                labels: labels("labels", wanted)?,
                after,
                limit: limit + 1,
            })
            .await
            .map_err(|error| store_error(&error))?;
        let next_page_token = cut(&mut views, limit, |view| view.credential.key.id.to_string());
        Ok(v1::ListCredentialsResponse {
            credentials: views.into_iter().map(to_credential).collect(),
            next_page_token,
        })
    }

    async fn update(
        &self,
        metadata: MetadataMap,
        request: v1::UpdateCredentialRequest,
    ) -> Result<v1::UpdateCredentialResponse, ApiError> {
        let v1::UpdateCredentialRequest {
            credential,
            update_mask,
        } = request;
        let wire = credential.ok_or_else(|| ApiError::invalid("credential", "must be set"))?;
        let key = credential_key(&wire.tenant_id, &wire.credential_id)?;
        self.allow(&metadata, Permission::CredentialWrite, &key)?;
        let paths = update_mask.map(|mask| mask.paths).unwrap_or_default();
        if let Some(other) = paths.iter().find(|path| *path != "labels") {
            let why = format!("{other:?} cannot be updated, only labels");
            return Err(ApiError::invalid("update_mask", why));
        }
        let new = labels("credential.labels", wire.labels)?;
        self.registry
            .update_labels(&key, &new, etag(&wire.etag))
            .await
            .map_err(|error| change_error(error, ApiError::from))?;
        Ok(v1::UpdateCredentialResponse {
            credential: self.rendered(&key).await?,
        })
    }

    async fn reconnect(
        &self,
        metadata: MetadataMap,
        request: v1::ReconnectCredentialRequest,
    ) -> Result<v1::ReconnectCredentialResponse, ApiError> {
        let v1::ReconnectCredentialRequest {
            tenant_id,
            credential_id,
            material,
            provider_account,
            allow_account_change,
            resume_paused,
        } = request;
        let key = credential_key(&tenant_id, &credential_id)?;
        self.allow(&metadata, Permission::CredentialWrite, &key)?;
        let grant = self.view(&key).await?.grant;
        let now = self.clock.now();
        let ask = Reconnect {
            account: account(grant.grant_type, "provider_account", provider_account)?,
            allow_account_change,
            resume_paused,
            tokens: self.tokens(&grant.client, grant.grant_type, material, now)?,
            issued_at: now,
            renewal: self.renewal(&grant.client),
            key: key.clone(),
        };
        let changed = self
            .registry
            .reconnect(&ask, &grant.client)
            .await
            .map_err(|error| change_error(error, ApiError::from))?;
        Ok(v1::ReconnectCredentialResponse {
            credential: self.rendered(&key).await?,
            integrations: changed.into_iter().map(to_integration).collect(),
        })
    }

    async fn invalidate(
        &self,
        metadata: MetadataMap,
        request: v1::InvalidateCredentialRequest,
    ) -> Result<v1::InvalidateCredentialResponse, ApiError> {
        let v1::InvalidateCredentialRequest {
            tenant_id,
            credential_id,
            message,
            generation,
        } = request;
        let key = credential_key(&tenant_id, &credential_id)?;
        self.allow(&metadata, Permission::CredentialWrite, &key)?;
        check_message(&message)?;
        let generation = (generation != 0).then_some(Generation(generation));
        self.registry
            .invalidate(&key, generation, &message)
            .await
            .map_err(|error| change_error(error, ApiError::from))?;
        Ok(v1::InvalidateCredentialResponse {
            credential: self.rendered(&key).await?,
        })
    }
}

#[tonic::async_trait]
impl CredentialService for Credentials {
    async fn create_credential(
        &self,
        request: Request<v1::CreateCredentialRequest>,
    ) -> Result<Response<v1::CreateCredentialResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("CreateCredential", self.create(metadata, request)).await
    }

    async fn get_credential(
        &self,
        request: Request<v1::GetCredentialRequest>,
    ) -> Result<Response<v1::GetCredentialResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("GetCredential", async {
            let key = credential_key(&request.tenant_id, &request.credential_id)?;
            self.allow(&metadata, Permission::CredentialRead, &key)?;
            Ok(v1::GetCredentialResponse {
                credential: self.rendered(&key).await?,
            })
        })
        .await
    }

    async fn list_credentials(
        &self,
        request: Request<v1::ListCredentialsRequest>,
    ) -> Result<Response<v1::ListCredentialsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("ListCredentials", self.list(metadata, request)).await
    }

    async fn forecast_credentials(
        &self,
        request: Request<v1::ForecastCredentialsRequest>,
    ) -> Result<Response<v1::ForecastCredentialsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("ForecastCredentials", self.forecast(metadata, request)).await
    }

    async fn update_credential(
        &self,
        request: Request<v1::UpdateCredentialRequest>,
    ) -> Result<Response<v1::UpdateCredentialResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("UpdateCredential", self.update(metadata, request)).await
    }

    async fn reconnect_credential(
        &self,
        request: Request<v1::ReconnectCredentialRequest>,
    ) -> Result<Response<v1::ReconnectCredentialResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("ReconnectCredential", self.reconnect(metadata, request)).await
    }

    async fn invalidate_credential(
        &self,
        request: Request<v1::InvalidateCredentialRequest>,
    ) -> Result<Response<v1::InvalidateCredentialResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("InvalidateCredential", self.invalidate(metadata, request)).await
    }

    async fn delete_credential(
        &self,
        request: Request<v1::DeleteCredentialRequest>,
    ) -> Result<Response<v1::DeleteCredentialResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("DeleteCredential", self.deletions.delete(metadata, request)).await
    }

    async fn begin_authorization(
        &self,
        request: Request<v1::BeginAuthorizationRequest>,
    ) -> Result<Response<v1::BeginAuthorizationResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("BeginAuthorization", self.begin(metadata, request)).await
    }

    async fn complete_authorization(
        &self,
        request: Request<v1::CompleteAuthorizationRequest>,
    ) -> Result<Response<v1::CompleteAuthorizationResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        meter::request("CompleteAuthorization", self.complete(metadata, request)).await
    }

    async fn begin_device_authorization(
        &self,
        request: Request<v1::BeginDeviceAuthorizationRequest>,
    ) -> Result<Response<v1::BeginDeviceAuthorizationResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let begun = self.begin_device(metadata, request);
        meter::request("BeginDeviceAuthorization", begun).await
    }

    async fn complete_device_authorization(
        &self,
        request: Request<v1::CompleteDeviceAuthorizationRequest>,
    ) -> Result<Response<v1::CompleteDeviceAuthorizationResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let completed = self.complete_device(metadata, request);
        meter::request("CompleteDeviceAuthorization", completed).await
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
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((field, _)) => Err(ApiError::invalid(
            format!("credential.{field}"),
            "is set by the server",
        )),
    }
}

/// The name after which a page begins.
pub(super) fn after_token(token: &str) -> Result<Option<String>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| bad_page_token())?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| bad_page_token())
}

pub(super) fn bad_page_token() -> ApiError {
    ApiError::invalid("page_token", "is no page token of this service")
}

/// Cuts a page that was read with one row too many, and names the page after it.
pub(super) fn cut<T>(page: &mut Vec<T>, limit: u32, name: impl Fn(&T) -> String) -> String {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if page.len() <= limit {
        return String::new();
    }
    page.truncate(limit);
    page.last()
        .map(|last| URL_SAFE_NO_PAD.encode(name(last)))
        .unwrap_or_default()
}
