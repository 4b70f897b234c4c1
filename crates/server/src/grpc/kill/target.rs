//! What a request wants killed, and who may want that.

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{ClientName, ProviderName, TenantId};
use evergrant_core::kill::KillTarget;
use evergrant_proto::v1;
use evergrant_proto::v1::kill_target::What;

use super::Kills;
use crate::audit::record::Subject;
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::{tenant, timestamp};
use crate::grpc::status::ApiError;

/// A tenant's own admin may kill it; all else concerns every tenant.
pub(super) fn may(call: &Call, target: &KillTarget) -> Result<(), ApiError> {
    call.require(Permission::Admin, concerned(target))
}

/// The tenant whose admin a target concerns; `None`: all tenants.
pub(super) fn concerned(target: &KillTarget) -> Option<&TenantId> {
    match target {
        KillTarget::Tenant(tenant) => Some(tenant),
        KillTarget::Provider(_) | KillTarget::Client(_) | KillTarget::Caller { .. } => None,
    }
}

pub(super) fn target(target: Option<v1::KillTarget>) -> Result<KillTarget, ApiError> {
    let missing = || ApiError::invalid("target", "must name what is to be killed");
    let v1::KillTarget { what, since } = target.ok_or_else(missing)?;
    let what = what.ok_or_else(missing)?;
    if since.is_some() && !matches!(what, What::Caller(_)) {
        return Err(ApiError::invalid("target.since", "is for callers alone"));
    }
    let invalid = |field: &str, why: String| ApiError::invalid(format!("target.{field}"), why);
    Ok(match what {
        What::TenantId(name) if name.is_empty() => return Err(missing()),
        What::TenantId(name) => KillTarget::Tenant(tenant(&name)?),
        What::Provider(name) => KillTarget::Provider(
            ProviderName::parse(&name).map_err(|why| invalid("provider", why.to_string()))?,
        ),
        What::Client(name) => KillTarget::Client(
            ClientName::parse(&name).map_err(|why| invalid("client", why.to_string()))?,
        ),
        What::Caller(name) => KillTarget::Caller {
            name: caller(&name, "target.caller")?,
            since: match since {
                Some(since) => timestamp("target.since", since)?,
                None => Timestamp::from_millis(0),
            },
        },
    })
}

/// A caller that need not be configured on this replica.
pub(super) fn caller(name: &str, field: &str) -> Result<String, ApiError> {
    if name.is_empty() || name.len() > 512 || name.contains('\0') {
        let why = "must be the name of a caller in the configuration";
        return Err(ApiError::invalid(field, why));
    }
    Ok(name.to_owned())
}

impl Kills {
    /// What the audit trail says of a target in columns of their own: its credentials have records besides, and a caller
    /// is named in the detail alone.
    pub(super) fn subject(&self, target: &KillTarget) -> Subject {
        match target {
            KillTarget::Tenant(tenant) => Subject {
                tenant: Some(tenant.clone()),
                ..Subject::default()
            },
            KillTarget::Provider(provider) => Subject {
                provider: Some(provider.to_string()),
                ..Subject::default()
            },
            KillTarget::Client(client) => {
                let mut clients = self.providers.clients();
                let configured = clients.find(|known| known.client == *client);
                configured.map(Subject::client).unwrap_or_default()
            }
            KillTarget::Caller { .. } => Subject::default(),
        }
    }
}
