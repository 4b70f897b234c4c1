//! InvalidateCredential: a caller knows that the grant is dead.

use evergrant_core::ids::Generation;
use evergrant_proto::v1;

use super::Credentials;
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::credential::check_message;
use crate::grpc::convert::credential_key;
use crate::grpc::status::{ApiError, change_error};

impl Credentials {
    pub(super) async fn invalidate(
        &self,
        call: &Call,
        request: v1::InvalidateCredentialRequest,
    ) -> Result<v1::InvalidateCredentialResponse, ApiError> {
        let v1::InvalidateCredentialRequest {
            tenant_id,
            credential_id,
            message,
            generation,
        } = request;
        let key = credential_key(&tenant_id, &credential_id)?;
        call.concerns(&key);
        call.require(Permission::CredentialWrite, Some(&key.tenant))?;
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
