//! What each method asks of its caller. A method that is not here fails the test.

use evergrant_proto::v1::kill_target::What;
use evergrant_proto::v1::{
    BatchGetTokensRequest, BeginAuthorizationRequest, BeginDeviceAuthorizationRequest,
    CompleteAuthorizationRequest, CompleteDeviceAuthorizationRequest, CreateCredentialRequest,
    CreateIntegrationRequest, Credential, DeleteCredentialRequest, DeleteIntegrationRequest,
    ExplainCredentialRequest, ForecastCredentialsRequest, GetCredentialRequest,
    GetIntegrationRequest, GetKillRequest, GetTokenRequest, Integration,
    InvalidateCredentialRequest, KillTarget, LiftKillRequest, ListAuditRecordsRequest,
    ListCredentialsRequest, ListIntegrationsRequest, ListKillsRequest, ListProvidersRequest,
    PreviewKillRequest, ReconnectCredentialRequest, ReleaseBrakeRequest, ResumeKillRequest,
    StartKillRequest, UpdateCredentialRequest, UpdateIntegrationRequest, WatchKillRequest,
    WatchRequest,
};
use prost::Message as _;

/// Every permission of the configuration.
pub(super) const PERMISSIONS: &[&str] = &[
    "token.get",
    "event.watch",
    "credential.read",
    "credential.write",
    "integration.read",
    "integration.write",
    "audit.read",
    "admin",
];

/// Where a caller needs its right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// In the tenant that the request names.
    Tenant,
    /// In any: the method works on what the caller's own tenants have.
    AnyOfItsOwn,
    /// In all tenants.
    All,
}

/// One method.
pub(super) struct Row {
    pub(super) path: &'static str,
    pub(super) needs: &'static str,
    pub(super) of: Where,
    /// A request of this tenant, good enough to be judged and for nothing else.
    pub(super) message: fn(&str) -> Vec<u8>,
}

const fn row(
    path: &'static str,
    needs: &'static str,
    of: Where,
    message: fn(&str) -> Vec<u8>,
) -> Row {
    Row {
        path,
        needs,
        of,
        message,
    }
}

use Where::{All, AnyOfItsOwn, Tenant};

/// What names one thing of a tenant, as all services do.
macro_rules! of_tenant {
    ($message:ident, $($id:ident),*) => {
        |tenant| {
            let mut message = $message::default();
            message.tenant_id = tenant.to_owned();
            $(message.$id = "nothing".to_owned();)*
            message.encode_to_vec()
        }
    };
}

fn credential(tenant: &str) -> Option<Credential> {
    Some(Credential {
        tenant_id: tenant.to_owned(),
        credential_id: "nothing".to_owned(),
        ..Credential::default()
    })
}

fn integration(tenant: &str) -> Option<Integration> {
    Some(Integration {
        tenant_id: tenant.to_owned(),
        integration_id: "nothing".to_owned(),
        ..Integration::default()
    })
}

fn target(tenant: &str) -> Option<KillTarget> {
    Some(KillTarget {
        what: Some(What::TenantId(tenant.to_owned())),
        ..KillTarget::default()
    })
}

/// Every method, what it needs, and where.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("TokenService/GetToken", "token.get", Tenant, of_tenant!(GetTokenRequest, credential_id)),
    row("TokenService/BatchGetTokens", "token.get", Tenant, of_tenant!(BatchGetTokensRequest,)),
    row("EventService/Watch", "event.watch", Tenant, of_tenant!(WatchRequest,)),
    row("CredentialService/GetCredential", "credential.read", Tenant, of_tenant!(GetCredentialRequest, credential_id)),
    row("CredentialService/ListCredentials", "credential.read", Tenant, of_tenant!(ListCredentialsRequest,)),
    row("CredentialService/ForecastCredentials", "credential.read", Tenant, of_tenant!(ForecastCredentialsRequest,)),
    row("CredentialService/ExplainCredential", "credential.read", Tenant, of_tenant!(ExplainCredentialRequest, credential_id)),
    row("CredentialService/CreateCredential", "credential.write", Tenant,
        |tenant| CreateCredentialRequest { credential: credential(tenant), ..Default::default() }.encode_to_vec()),
    row("CredentialService/UpdateCredential", "credential.write", Tenant,
        |tenant| UpdateCredentialRequest { credential: credential(tenant), ..Default::default() }.encode_to_vec()),
    row("CredentialService/ReconnectCredential", "credential.write", Tenant, of_tenant!(ReconnectCredentialRequest, credential_id)),
    row("CredentialService/InvalidateCredential", "credential.write", Tenant, of_tenant!(InvalidateCredentialRequest, credential_id)),
    row("CredentialService/DeleteCredential", "credential.write", Tenant, of_tenant!(DeleteCredentialRequest, credential_id)),
    row("CredentialService/BeginAuthorization", "credential.write", Tenant,
        |tenant| BeginAuthorizationRequest { credential: credential(tenant), ..Default::default() }.encode_to_vec()),
    row("CredentialService/BeginDeviceAuthorization", "credential.write", Tenant,
        |tenant| BeginDeviceAuthorizationRequest { credential: credential(tenant), ..Default::default() }.encode_to_vec()),
    row("CredentialService/CompleteAuthorization", "credential.write", AnyOfItsOwn,
        |_| CompleteAuthorizationRequest::default().encode_to_vec()),
    row("CredentialService/CompleteDeviceAuthorization", "credential.write", AnyOfItsOwn,
        |_| CompleteDeviceAuthorizationRequest::default().encode_to_vec()),
    row("IntegrationService/GetIntegration", "integration.read", Tenant, of_tenant!(GetIntegrationRequest, integration_id)),
    row("IntegrationService/ListIntegrations", "integration.read", Tenant, of_tenant!(ListIntegrationsRequest,)),
    row("IntegrationService/CreateIntegration", "integration.write", Tenant,
        |tenant| CreateIntegrationRequest { integration: integration(tenant) }.encode_to_vec()),
    row("IntegrationService/UpdateIntegration", "integration.write", Tenant,
        |tenant| UpdateIntegrationRequest { integration: integration(tenant), ..Default::default() }.encode_to_vec()),
    row("IntegrationService/DeleteIntegration", "integration.write", Tenant, of_tenant!(DeleteIntegrationRequest, integration_id)),
    row("AuditService/ListAuditRecords", "audit.read", Tenant, of_tenant!(ListAuditRecordsRequest,)),
    row("KillService/PreviewKill", "admin", Tenant, |tenant| PreviewKillRequest { target: target(tenant) }.encode_to_vec()),
    // Without a reason, so that nothing begins.
    row("KillService/StartKill", "admin", Tenant,
        |tenant| StartKillRequest { target: target(tenant), ..Default::default() }.encode_to_vec()),
    row("KillService/GetKill", "admin", AnyOfItsOwn, |_| GetKillRequest::default().encode_to_vec()),
    row("KillService/ListKills", "admin", AnyOfItsOwn, |_| ListKillsRequest::default().encode_to_vec()),
    row("KillService/WatchKill", "admin", AnyOfItsOwn, |_| WatchKillRequest::default().encode_to_vec()),
    row("KillService/ResumeKill", "admin", AnyOfItsOwn, |_| ResumeKillRequest::default().encode_to_vec()),
    row("KillService/LiftKill", "admin", All, |_| LiftKillRequest::default().encode_to_vec()),
    row("ProviderService/ListProviders", "credential.read", AnyOfItsOwn,
        |_| ListProvidersRequest::default().encode_to_vec()),
    row("ProviderService/ReleaseBrake", "admin", All,
        |_| ReleaseBrakeRequest::default().encode_to_vec()),
];
