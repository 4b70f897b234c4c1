//! UpdateCredential: labels, which are all that a caller may change without new tokens.

use evergrant_proto::v1;

use super::Credentials;
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::{credential_key, etag, labels};
use crate::grpc::status::{ApiError, change_error};

impl Credentials {
    pub(super) async fn update(
        &self,
        call: &Call,
        request: v1::UpdateCredentialRequest,
    ) -> Result<v1::UpdateCredentialResponse, ApiError> {
        let v1::UpdateCredentialRequest {
            credential,
            update_mask,
        } = request;
        let wire = credential.ok_or_else(|| ApiError::invalid("credential", "must be set"))?;
        let key = credential_key(&wire.tenant_id, &wire.credential_id)?;
        call.concerns(&key);
        call.require(Permission::CredentialWrite, Some(&key.tenant))?;
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
}
