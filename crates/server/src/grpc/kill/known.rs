//! A target that nobody knows is a slip of the pen: it is refused before anything is written.

use evergrant_core::kill::KillTarget;
use evergrant_core::meant::did_you_mean;
use evergrant_proto::v1::ErrorReason;

use super::Kills;
use crate::audit::record::RESERVED;
use crate::grpc::status::{ApiError, store_error};

impl Kills {
    /// Refuses what neither the configuration of this replica nor anything stored names. What is known need not have
    /// anything left to kill.
    pub(super) async fn check_known(&self, target: &KillTarget) -> Result<(), ApiError> {
        let configured = self.configured(target);
        let name = match target {
            KillTarget::Tenant(name) => name.as_str(),
            KillTarget::Provider(name) => name.as_str(),
            KillTarget::Client(name) => name.as_str(),
            KillTarget::Caller { name, .. } => name,
        };
        if configured.iter().any(|known| known == name) {
            return Ok(());
        }
        // The trail knows these, and nobody can be locked out by them.
        let is_nobody = matches!(target, KillTarget::Caller { .. }) && RESERVED.contains(&name);
        let store = self.killer.store();
        if !is_nobody
            && store
                .knows_target(target)
                .await
                .map_err(|error| store_error(&error))?
        {
            return Ok(());
        }
        Err(unknown(target, &did_you_mean(name, configured)))
    }

    /// The names of this kind that the configuration has. Of tenants it has none.
    fn configured(&self, target: &KillTarget) -> Vec<String> {
        match target {
            KillTarget::Tenant(_) => Vec::new(),
            KillTarget::Provider(_) => {
                let entries = self.providers.catalogue().iter();
                entries.map(|entry| entry.name.to_string()).collect()
            }
            KillTarget::Client(_) => {
                let clients = self.providers.clients();
                clients.map(|client| client.client.to_string()).collect()
            }
            KillTarget::Caller { .. } => self.gate.callers().names(),
        }
    }
}

fn unknown(target: &KillTarget, hint: &str) -> ApiError {
    match target {
        KillTarget::Tenant(_) => {
            let why = format!("{target} has no credential, neither alive nor dead{hint}");
            ApiError::invalid("target.tenant_id", why)
        }
        KillTarget::Provider(_) => {
            let why = format!("{target} is not in the catalogue, and no grant is of it{hint}");
            ApiError::new(ErrorReason::UnknownProvider, why).about("target.provider")
        }
        KillTarget::Client(_) => {
            let why = format!("{target} is not in the configuration, and no grant is of it{hint}");
            ApiError::new(ErrorReason::UnknownClient, why).about("target.client")
        }
        KillTarget::Caller { .. } => {
            let why = format!(
                "{target} is neither in the configuration of this replica nor in the audit trail{hint}"
            );
            ApiError::invalid("target.caller", why)
        }
    }
}

#[cfg(test)]
mod tests {
    use evergrant_core::ids::ProviderName;

    use super::*;

    #[test]
    fn an_unknown_provider_is_named_with_its_field() {
        let target = KillTarget::Provider(ProviderName::parse("sandbx").unwrap());
        let refused = unknown(&target, "; did you mean sandbox?");
        assert_eq!(
            refused.message(),
            "provider sandbx is not in the catalogue, and no grant is of it; did you mean sandbox?"
        );
        assert_eq!(refused.reason(), ErrorReason::UnknownProvider);
    }
}
