//! DeleteCredential: with or without the provider's part in it.

use std::sync::Arc;

use evergrant_core::clock::Clock;
use evergrant_core::registry::Registry;
use evergrant_core::revocation::{RevocationOutcome, Revoker};
use evergrant_proto::v1;

use super::not_found;
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::credential_key;
use crate::grpc::status::{ApiError, change_error, revoke_error};

/// Deletes credentials for callers.
#[derive(Clone)]
pub(super) struct Deletions {
    registry: Registry,
    revoker: Revoker,
    clock: Arc<dyn Clock>,
}

impl Deletions {
    /// Deletes through `registry`, and through `revoker` where the grant is to be revoked first.
    pub(super) fn new(registry: Registry, revoker: Revoker, clock: Arc<dyn Clock>) -> Self {
        Self {
            registry,
            revoker,
            clock,
        }
    }

    pub(super) async fn delete(
        &self,
        call: &Call,
        request: v1::DeleteCredentialRequest,
    ) -> Result<v1::DeleteCredentialResponse, ApiError> {
        let v1::DeleteCredentialRequest {
            tenant_id,
            credential_id,
            revoke_at_provider,
        } = request;
        let key = credential_key(&tenant_id, &credential_id)?;
        call.concerns(&key);
        call.require(Permission::CredentialWrite, Some(&key.tenant))?;
        if revoke_at_provider {
            let deleted = self.revoker.delete_credential(&key, call.deadline()).await;
            let outcome = deleted.map_err(|error| revoke_error(error, self.clock.now()))?;
            return Ok(answer(outcome));
        }
        let found = self
            .registry
            .delete_credential(&key)
            .await
            .map_err(|error| change_error(error, |never| match never {}))?;
        if !found {
            return Err(not_found(&key));
        }
        Ok(v1::DeleteCredentialResponse {
            revoked_at_provider: false,
            revocation_outcome: v1::RevocationOutcome::NotRequested.into(),
            sharing_credential_ids: Vec::new(),
        })
    }
}

fn answer(outcome: RevocationOutcome) -> v1::DeleteCredentialResponse {
    let (wire, others) = match outcome {
        RevocationOutcome::Revoked => (v1::RevocationOutcome::Revoked, Vec::new()),
        RevocationOutcome::Shared(others) => (v1::RevocationOutcome::GrantShared, others),
        RevocationOutcome::NotSupported => (v1::RevocationOutcome::NotSupported, Vec::new()),
        RevocationOutcome::NoToken => (v1::RevocationOutcome::NoToken, Vec::new()),
    };
    v1::DeleteCredentialResponse {
        revoked_at_provider: wire == v1::RevocationOutcome::Revoked,
        revocation_outcome: wire.into(),
        sharing_credential_ids: others.iter().map(|other| other.id.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests;
