//! GetCredential: what is known of one, without its tokens.

use evergrant_proto::v1;

use super::Credentials;
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::credential_key;
use crate::grpc::status::ApiError;

impl Credentials {
    pub(super) async fn get(
        &self,
        call: &Call,
        request: v1::GetCredentialRequest,
    ) -> Result<v1::GetCredentialResponse, ApiError> {
        let key = credential_key(&request.tenant_id, &request.credential_id)?;
        call.concerns(&key);
        call.require(Permission::CredentialRead, Some(&key.tenant))?;
        Ok(v1::GetCredentialResponse {
            credential: self.rendered(&key).await?,
        })
    }
}
