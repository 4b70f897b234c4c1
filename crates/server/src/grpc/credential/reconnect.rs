//! ReconnectCredential: new tokens or means for a credential, dead or alive.

use evergrant_core::change::plan::Reconnect;
use evergrant_core::provider::Providers as _;
use evergrant_proto::v1;

use super::Credentials;
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::credential::account;
use crate::grpc::convert::credential_key;
use crate::grpc::convert::integration::to_integration;
use crate::grpc::status::{ApiError, change_error};

impl Credentials {
    pub(super) async fn reconnect(
        &self,
        call: &Call,
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
        call.concerns(&key);
        call.require(Permission::CredentialWrite, Some(&key.tenant))?;
        let grant = self.view(&key).await?.grant;
        let now = self.clock.now();
        let named = account(grant.grant_type, "provider_account", provider_account)?;
        let brought = self.brought(&grant.client, grant.grant_type, material, now)?;
        let ask = Reconnect {
            account: named.or(brought.account),
            allow_account_change,
            resume_paused,
            tokens: brought.tokens,
            issued_at: now,
            renewal: self.providers.renewal(&grant.client),
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
}
