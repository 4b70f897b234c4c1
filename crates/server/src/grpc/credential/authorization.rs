//! BeginAuthorization and CompleteAuthorization, and the same on another device.

use std::collections::BTreeMap;

use evergrant_core::grant::GrantType;
use evergrant_core::ids::{ClientKey, CredentialKey};
use evergrant_core::provider::Providers as _;
use evergrant_proto::v1;

use super::{Credentials, refuse_server_fields};
use crate::consent::{Answer, Begin, BeginDevice, ConsentError, Outcome, Polled};
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::integration::to_integration;
use crate::grpc::convert::{credential_key, labels, to_duration, to_timestamp};
use crate::grpc::status::{ApiError, store_error};

/// Longer than any provider's code or state, and short enough to be refused early.
const MAX_BYTES: usize = 16 * 1024;

impl Credentials {
    pub(super) async fn begin(
        &self,
        call: &Call,
        request: v1::BeginAuthorizationRequest,
    ) -> Result<v1::BeginAuthorizationResponse, ApiError> {
        let v1::BeginAuthorizationRequest {
            credential,
            scopes,
            redirect_uri,
            parameters,
            allow_account_change,
            return_url,
            placeholders,
        } = request;
        let wanted = self.wanted(call, credential).await?;
        let credential_id = wanted.key.id.to_string();
        let begun = self.consents.begin(Begin {
            key: wanted.key,
            client: wanted.client,
            labels: wanted.labels,
            scopes,
            redirect_uri,
            parameters: parameters.into_iter().collect(),
            placeholders: placeholders.into_iter().collect(),
            allow_account_change,
            return_url,
        });
        let begun = begun.await?;
        Ok(v1::BeginAuthorizationResponse {
            authorization_url: begun.url,
            state: begun.state,
            expires_at: Some(to_timestamp(begun.expires_at)),
            credential_id,
        })
    }

    pub(super) async fn begin_device(
        &self,
        call: &Call,
        request: v1::BeginDeviceAuthorizationRequest,
    ) -> Result<v1::BeginDeviceAuthorizationResponse, ApiError> {
        let v1::BeginDeviceAuthorizationRequest {
            credential,
            scopes,
            allow_account_change,
            placeholders,
        } = request;
        let wanted = self.wanted(call, credential).await?;
        let credential_id = wanted.key.id.to_string();
        let begun = self.consents.begin_device(BeginDevice {
            key: wanted.key,
            client: wanted.client,
            labels: wanted.labels,
            scopes,
            placeholders: placeholders.into_iter().collect(),
            allow_account_change,
        });
        let begun = begun.await?;
        Ok(v1::BeginDeviceAuthorizationResponse {
            state: begun.state,
            user_code: begun.user_code,
            verification_uri: begun.verification_uri,
            verification_uri_complete: begun.verification_uri_complete.unwrap_or_default(),
            expires_at: Some(to_timestamp(begun.expires_at)),
            interval: Some(to_duration(begun.interval)),
            credential_id,
        })
    }

    /// The credential that a request wants to be there in the end, if its caller may have it made.
    async fn wanted(
        &self,
        call: &Call,
        credential: Option<v1::Credential>,
    ) -> Result<Wanted, ApiError> {
        let wire = credential.ok_or_else(|| ApiError::invalid("credential", "must be set"))?;
        refuse_server_fields(&wire)?;
        if !wire.provider_account.is_empty() {
            let why = "is what the provider says of who consents";
            return Err(ApiError::invalid("credential.provider_account", why));
        }
        let consent = [v1::GrantType::Unspecified, v1::GrantType::AuthorizationCode];
        if !consent.contains(&wire.grant_type()) {
            let why = "must be that of a user's consent";
            return Err(ApiError::invalid("credential.grant_type", why));
        }
        let id = match wire.credential_id.as_str() {
            "" => uuid::Uuid::now_v7().to_string(),
            id => id.to_owned(),
        };
        let key = credential_key(&wire.tenant_id, &id)?;
        call.concerns(&key);
        call.require(Permission::CredentialWrite, Some(&key.tenant))?;
        let client = self.consenting_client(&key, &wire).await?;
        let profile = self.providers.profile(&client)?;
        if !profile.grant_types.contains(&GrantType::AuthorizationCode) {
            let why = format!("provider {} asks no user for consent", client.provider);
            return Err(ApiError::invalid("credential.provider", why));
        }
        Ok(Wanted {
            key,
            client,
            labels: labels("credential.labels", wire.labels)?,
        })
    }

    /// The client that a request names, or that of the credential if it names none.
    async fn consenting_client(
        &self,
        key: &CredentialKey,
        wire: &v1::Credential,
    ) -> Result<ClientKey, ApiError> {
        if !wire.provider.is_empty() && !wire.client.is_empty() {
            return self.client(&wire.provider, &wire.client);
        }
        let known = self.store.credential(key).await;
        let known = known.map_err(|error| store_error(&error))?;
        let known = known.map(|view| view.grant.client).filter(|client| {
            let named = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
            named(&wire.provider, client.provider.as_str())
                && named(&wire.client, client.client.as_str())
        });
        match known {
            Some(client) => Ok(client),
            None => self.client(&wire.provider, &wire.client),
        }
    }

    pub(super) async fn complete(
        &self,
        call: &Call,
        request: v1::CompleteAuthorizationRequest,
    ) -> Result<v1::CompleteAuthorizationResponse, ApiError> {
        let tenants = call.tenants(Permission::CredentialWrite)?;
        let done = self.consents.complete(answer(request)?, tenants).await;
        if let Some(about) = &done.about {
            call.concerns(&about.key);
        }
        let done = done.result?;
        Ok(v1::CompleteAuthorizationResponse {
            credential: self.rendered(&done.key).await?,
            created: done.created,
            integrations: done.integrations.into_iter().map(to_integration).collect(),
        })
    }

    pub(super) async fn complete_device(
        &self,
        call: &Call,
        request: v1::CompleteDeviceAuthorizationRequest,
    ) -> Result<v1::CompleteDeviceAuthorizationResponse, ApiError> {
        let tenants = call.tenants(Permission::CredentialWrite)?;
        let v1::CompleteDeviceAuthorizationRequest { state } = request;
        check_text("state", &state)?;
        match self.consents.poll_device(state.into(), tenants).await? {
            Polled::Pending { slow_down } => {
                call.unremarkable();
                Ok(v1::CompleteDeviceAuthorizationResponse {
                    pending: true,
                    slow_down,
                    ..Default::default()
                })
            }
            Polled::Completed(done) => {
                call.concerns(&done.key);
                Ok(v1::CompleteDeviceAuthorizationResponse {
                    pending: false,
                    slow_down: false,
                    credential: self.rendered(&done.key).await?,
                    created: done.created,
                    integrations: done.integrations.into_iter().map(to_integration).collect(),
                })
            }
        }
    }
}

/// The credential that is to be there in the end.
struct Wanted {
    key: CredentialKey,
    client: ClientKey,
    labels: BTreeMap<String, String>,
}

fn check_text(field: &str, text: &str) -> Result<(), ApiError> {
    if text.len() > MAX_BYTES {
        return Err(ApiError::invalid(field, "must have at most 16,384 bytes"));
    }
    match field == "state" && text.is_empty() {
        true => Err(ApiError::invalid(field, "must not be empty")),
        false => Ok(()),
    }
}

fn answer(request: v1::CompleteAuthorizationRequest) -> Result<Answer, ApiError> {
    let v1::CompleteAuthorizationRequest {
        state,
        code,
        error,
        error_description,
        issuer,
    } = request;
    check_text("state", &state)?;
    check_text("code", &code)?;
    let outcome = match (code.is_empty(), error.is_empty()) {
        (false, true) => Outcome::Code(code.into()),
        (true, false) => Outcome::Refused {
            error,
            description: error_description,
        },
        _ => {
            let why = "there must be either a code or an error";
            return Err(ApiError::invalid("code", why));
        }
    };
    Ok(Answer {
        state: state.into(),
        outcome,
        issuer,
    })
}

impl From<ConsentError> for ApiError {
    fn from(error: ConsentError) -> Self {
        let (reason, message) = (error.reason(), error.to_string());
        match error {
            ConsentError::Invalid { field, why } => Self::invalid(field, why),
            ConsentError::Unknown(unknown) => unknown.into(),
            ConsentError::Store(error) => store_error(&error),
            ConsentError::Internal(what) => Self::internal(what),
            ConsentError::Refused { code, .. } | ConsentError::Failed { code, .. } => {
                Self::new(reason, message).with("provider_error", code)
            }
            ConsentError::StateInvalid
            | ConsentError::Elsewhere
            | ConsentError::AccountMismatch(_)
            | ConsentError::HolderBusy(_)
            | ConsentError::Exists(_)
            | ConsentError::NotStored(_) => Self::new(reason, message),
        }
    }
}
