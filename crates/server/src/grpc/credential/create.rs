//! CreateCredential: tokens or means that a caller brings.

use evergrant_core::change::plan::CreateCredential;
use evergrant_core::provider::Providers as _;
use evergrant_proto::v1;

use super::{Credentials, refuse_server_fields};
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::credential::{account, grant_type};
use crate::grpc::convert::{credential_key, labels};
use crate::grpc::status::{ApiError, change_error};

impl Credentials {
    pub(super) async fn create(
        &self,
        call: &Call,
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
        call.concerns(&key);
        call.require(Permission::CredentialWrite, Some(&key.tenant))?;
        let client = self.client(&wire.provider, &wire.client)?;
        let grant_type = grant_type(wire.grant_type)?;
        let profile = self.providers.profile(&client)?;
        if !profile.grant_types.contains(&grant_type) {
            let why = format!("provider {} has no such grant type", client.provider);
            return Err(ApiError::invalid("credential.grant_type", why));
        }
        let now = self.clock.now();
        let brought = self.brought(&client, grant_type, material, now)?;
        let named = account(
            grant_type,
            "credential.provider_account",
            wire.provider_account,
        )?;
        let new = CreateCredential {
            client,
            grant_type,
            account: named.or(brought.account),
            labels: labels("credential.labels", wire.labels)?,
            tokens: brought.tokens,
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
}
