//! A caller of one replica: requests in the few words that tests need.

use std::time::Duration;

use anyhow::Result;
use evergrant_proto::v1::credential_service_client::CredentialServiceClient;
use evergrant_proto::v1::get_token_request::Rejected;
use evergrant_proto::v1::integration_service_client::IntegrationServiceClient;
use evergrant_proto::v1::token_service_client::TokenServiceClient;
use evergrant_proto::v1::{
    CreateCredentialRequest, CreateIntegrationRequest, Credential, DeleteCredentialRequest,
    ExplainCredentialRequest, ExplainCredentialResponse, GetCredentialRequest,
    GetIntegrationRequest, GetTokenRequest, GetTokenResponse, Integration,
    InvalidateCredentialRequest, ReconnectCredentialRequest, ReconnectCredentialResponse,
    TokenMaterial,
};
use evergrant_providers::sandbox::NewGrant;
use prost_types::Timestamp;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// A caller with a connection of its own; clones share the connection.
#[derive(Clone)]
pub struct Caller {
    channel: Channel,
    token: Option<String>,
}

impl Caller {
    /// Calls over `channel`.
    pub fn new(channel: Channel) -> Self {
        Self {
            channel,
            token: None,
        }
    }

    /// The same with a bearer token.
    pub fn with_token(self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self
        }
    }

    /// Asks for the token of a credential.
    pub async fn token(&self, credential: &str) -> Result<GetTokenResponse, Status> {
        self.ask(request(credential)).await
    }

    /// Reports that the token of `generation` was refused, and asks for another.
    pub async fn refused(
        &self,
        credential: &str,
        generation: u64,
    ) -> Result<GetTokenResponse, Status> {
        let request = GetTokenRequest {
            rejected: Some(Rejected::RejectedGeneration(generation)),
            ..request(credential)
        };
        self.ask(request).await
    }

    /// Asks with a request of the test's own.
    pub async fn ask(&self, request: GetTokenRequest) -> Result<GetTokenResponse, Status> {
        let mut client = TokenServiceClient::new(self.channel.clone());
        client
            .get_token(self.sent(request))
            .await
            .map(tonic::Response::into_inner)
    }

    /// Stores a grant as a credential. `expired` says that its access token is past its end.
    pub async fn store(
        &self,
        credential: Credential,
        material: TokenMaterial,
    ) -> Result<Credential, Status> {
        let mut client = CredentialServiceClient::new(self.channel.clone());
        let request = CreateCredentialRequest {
            credential: Some(credential),
            material: Some(material),
        };
        let answer = client
            .create_credential(self.sent(request))
            .await?
            .into_inner();
        answer
            .credential
            .ok_or_else(|| Status::internal("the answer has no credential"))
    }

    /// What the service says of a credential.
    pub async fn credential(&self, id: &str) -> Result<Credential, Status> {
        let mut client = CredentialServiceClient::new(self.channel.clone());
        let request = GetCredentialRequest {
            credential_id: id.to_owned(),
            ..GetCredentialRequest::default()
        };
        let answer = client
            .get_credential(self.sent(request))
            .await?
            .into_inner();
        answer
            .credential
            .ok_or_else(|| Status::internal("the answer has no credential"))
    }

    /// Asks how a credential stands, and why.
    pub async fn explanation(&self, id: &str) -> Result<ExplainCredentialResponse, Status> {
        let mut client = CredentialServiceClient::new(self.channel.clone());
        let request = ExplainCredentialRequest {
            credential_id: id.to_owned(),
            ..ExplainCredentialRequest::default()
        };
        let answer = client.explain_credential(self.sent(request)).await?;
        Ok(answer.into_inner())
    }

    /// Gives a credential new tokens.
    pub async fn reconnect(
        &self,
        id: &str,
        material: TokenMaterial,
        resume_paused: bool,
    ) -> Result<ReconnectCredentialResponse, Status> {
        self.reconnect_with(ReconnectCredentialRequest {
            credential_id: id.to_owned(),
            material: Some(material),
            resume_paused,
            ..ReconnectCredentialRequest::default()
        })
        .await
    }

    /// Reconnects with a request of the test's own.
    pub async fn reconnect_with(
        &self,
        request: ReconnectCredentialRequest,
    ) -> Result<ReconnectCredentialResponse, Status> {
        let mut client = CredentialServiceClient::new(self.channel.clone());
        client
            .reconnect_credential(self.sent(request))
            .await
            .map(tonic::Response::into_inner)
    }

    /// Marks a credential dead.
    pub async fn invalidate(&self, id: &str) -> Result<(), Status> {
        let mut client = CredentialServiceClient::new(self.channel.clone());
        let request = InvalidateCredentialRequest {
            credential_id: id.to_owned(),
            message: "by the test".to_owned(),
            ..InvalidateCredentialRequest::default()
        };
        client
            .invalidate_credential(self.sent(request))
            .await
            .map(drop)
    }

    /// Deletes a credential, after its grant was revoked at the provider if that is wanted. Answers whether it was.
    pub async fn delete(&self, id: &str, revoke: bool) -> Result<bool, Status> {
        self.send_delete(Request::new(deletion(id, revoke))).await
    }

    /// Revokes and deletes with a deadline.
    pub async fn delete_within(&self, id: &str, timeout: Duration) -> Result<bool, Status> {
        let mut request = Request::new(deletion(id, true));
        request.set_timeout(timeout);
        self.send_delete(request).await
    }

    async fn send_delete(&self, request: Request<DeleteCredentialRequest>) -> Result<bool, Status> {
        let mut client = CredentialServiceClient::new(self.channel.clone());
        let answer = client.delete_credential(request).await?;
        Ok(answer.into_inner().revoked_at_provider)
    }

    /// Stores an integration that depends on `credentials`.
    pub async fn integrate(&self, id: &str, credentials: &[&str]) -> Result<Integration, Status> {
        let mut client = IntegrationServiceClient::new(self.channel.clone());
        let request = CreateIntegrationRequest {
            integration: Some(Integration {
                integration_id: id.to_owned(),
                credential_ids: credentials.iter().map(|&id| id.to_owned()).collect(),
                ..Integration::default()
            }),
        };
        let answer = client
            .create_integration(self.sent(request))
            .await?
            .into_inner();
        answer
            .integration
            .ok_or_else(|| Status::internal("the answer has no integration"))
    }

    /// What the service says of an integration.
    pub async fn integration(&self, id: &str) -> Result<Integration, Status> {
        let mut client = IntegrationServiceClient::new(self.channel.clone());
        let request = GetIntegrationRequest {
            integration_id: id.to_owned(),
            ..GetIntegrationRequest::default()
        };
        let answer = client
            .get_integration(self.sent(request))
            .await?
            .into_inner();
        answer
            .integration
            .ok_or_else(|| Status::internal("the answer has no integration"))
    }
}

fn deletion(id: &str, revoke_at_provider: bool) -> DeleteCredentialRequest {
    DeleteCredentialRequest {
        credential_id: id.to_owned(),
        revoke_at_provider,
        ..DeleteCredentialRequest::default()
    }
}

impl Caller {
    fn sent<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {token}").parse();
            let bearer = bearer.expect("tokens of the tests are plain");
            request.metadata_mut().insert("authorization", bearer);
        }
        request
    }
}

/// The plainest request for the token of `credential`.
pub fn request(credential: &str) -> GetTokenRequest {
    GetTokenRequest {
        credential_id: credential.to_owned(),
        ..GetTokenRequest::default()
    }
}

/// A credential of the provider and the client that [`Scene`](super::scene::Scene) sets up.
pub fn credential(id: &str) -> Credential {
    Credential {
        credential_id: id.to_owned(),
        provider: super::scene::PROVIDER.to_owned(),
        client: super::scene::CLIENT.to_owned(),
        ..Credential::default()
    }
}

/// The tokens of a grant, still good.
pub fn fresh(grant: &NewGrant) -> TokenMaterial {
    TokenMaterial {
        access_token: grant.access_token.expose().to_owned(),
        refresh_token: grant.refresh_token.expose().to_owned(),
        expires_at: Some(in_seconds(
            i64::try_from(grant.expires_in).unwrap_or(i64::MAX),
        )),
        ..TokenMaterial::default()
    }
}

/// The tokens of a grant, the access token past its end.
pub fn expired(grant: &NewGrant) -> TokenMaterial {
    TokenMaterial {
        expires_at: Some(in_seconds(-60)),
        ..fresh(grant)
    }
}

/// A moment so many seconds from now.
#[expect(clippy::disallowed_methods, reason = "a caller has a clock of its own")]
pub fn in_seconds(seconds: i64) -> Timestamp {
    let now = Timestamp::from(std::time::SystemTime::now());
    Timestamp {
        seconds: now.seconds.saturating_add(seconds),
        ..now
    }
}

/// The code and the `ErrorReason` of a refusal, e.g. `(FailedPrecondition, "CREDENTIAL_INVALIDATED")`.
pub fn reason(status: &Status) -> (Code, String) {
    let reason = status
        .get_details_error_info()
        .map_or_else(String::new, |info| info.reason);
    (status.code(), reason)
}
