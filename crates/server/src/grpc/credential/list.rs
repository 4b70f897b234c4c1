//! ListCredentials: those of a tenant, page by page.

use evergrant_core::ids::{CredentialId, CredentialKey, ProviderName};
use evergrant_core::store::CredentialQuery;
use evergrant_proto::v1;

use super::Credentials;
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::credential::to_credential;
use crate::grpc::convert::{labels, page_size, tenant};
use crate::grpc::paging::{after_token, bad_page_token, cut};
use crate::grpc::status::{ApiError, store_error};

impl Credentials {
    pub(super) async fn list(
        &self,
        call: &Call,
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
        call.require(Permission::CredentialRead, Some(&owner))?;
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
}
