//! The least that could answer: generated code, one answer, one broadcast channel.

use std::pin::Pin;

use anyhow::Result;
use evergrant_proto::v1::credential_service_server::{CredentialService, CredentialServiceServer};
use evergrant_proto::v1::event_service_server::{EventService, EventServiceServer};
use evergrant_proto::v1::token_service_server::{TokenService, TokenServiceServer};
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::*;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::{Stream, StreamExt as _, wrappers::BroadcastStream};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::server::CREDENTIAL;

#[derive(Clone)]
struct Bare {
    answer: GetTokenResponse,
    events: broadcast::Sender<WatchResponse>,
}

/// Serves until the process is killed.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("bare ready grpc={}", listener.local_addr()?);
    let (events, _) = broadcast::channel(1_024);
    let bare = Bare {
        answer: crate::hot_path::answer(),
        events,
    };
    Server::builder()
        .add_service(TokenServiceServer::new(bare.clone()))
        .add_service(EventServiceServer::new(bare.clone()))
        .add_service(CredentialServiceServer::new(bare))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

#[tonic::async_trait]
impl TokenService for Bare {
    async fn get_token(
        &self,
        _: Request<GetTokenRequest>,
    ) -> Result<Response<GetTokenResponse>, Status> {
        Ok(Response::new(self.answer.clone()))
    }

    async fn batch_get_tokens(
        &self,
        _: Request<BatchGetTokensRequest>,
    ) -> Result<Response<BatchGetTokensResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }
}

#[tonic::async_trait]
impl EventService for Bare {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let first = tokio_stream::once(Ok(WatchResponse {
            event: Some(Event::SnapshotEnd(SnapshotEnd::default())),
            ..WatchResponse::default()
        }));
        let events = BroadcastStream::new(self.events.subscribe());
        let events = events.map(|event| event.map_err(|_| Status::data_loss("lagged")));
        Ok(Response::new(Box::pin(first.chain(events))))
    }
}

/// Invalidating a credential broadcasts an event; nothing else is compared.
#[tonic::async_trait]
impl CredentialService for Bare {
    async fn invalidate_credential(
        &self,
        _: Request<InvalidateCredentialRequest>,
    ) -> Result<Response<InvalidateCredentialResponse>, Status> {
        let event = WatchResponse {
            cursor: "x".repeat(74),
            event_id: format!("{}-1", "x".repeat(36)),
            event_time: Some(prost_types::Timestamp::default()),
            covers_after: 0,
            covers_to: 1,
            event: Some(Event::CredentialInvalidated(CredentialInvalidated {
                tenant_id: "default".to_owned(),
                credential_id: CREDENTIAL.to_owned(),
                provider: "acme".to_owned(),
                generation: 1,
                reason: InvalidationReason::Reported.into(),
                message: "by the benchmark".to_owned(),
                invalidated_at: Some(prost_types::Timestamp::default()),
                ..CredentialInvalidated::default()
            })),
        };
        self.events
            .send(event)
            .map_err(|_| Status::unavailable("nobody watches"))?;
        Ok(Response::new(InvalidateCredentialResponse::default()))
    }

    async fn create_credential(
        &self,
        _: Request<CreateCredentialRequest>,
    ) -> Result<Response<CreateCredentialResponse>, Status> {
        Ok(Response::new(CreateCredentialResponse::default()))
    }

    async fn reconnect_credential(
        &self,
        _: Request<ReconnectCredentialRequest>,
    ) -> Result<Response<ReconnectCredentialResponse>, Status> {
        Ok(Response::new(ReconnectCredentialResponse::default()))
    }

    async fn get_credential(
        &self,
        _: Request<GetCredentialRequest>,
    ) -> Result<Response<GetCredentialResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }

    async fn explain_credential(
        &self,
        _: Request<ExplainCredentialRequest>,
    ) -> Result<Response<ExplainCredentialResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }

    async fn list_credentials(
        &self,
        _: Request<ListCredentialsRequest>,
    ) -> Result<Response<ListCredentialsResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }

    async fn forecast_credentials(
        &self,
        _: Request<ForecastCredentialsRequest>,
    ) -> Result<Response<ForecastCredentialsResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }

    async fn update_credential(
        &self,
        _: Request<UpdateCredentialRequest>,
    ) -> Result<Response<UpdateCredentialResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }

    async fn delete_credential(
        &self,
        _: Request<DeleteCredentialRequest>,
    ) -> Result<Response<DeleteCredentialResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }

    async fn begin_authorization(
        &self,
        _: Request<BeginAuthorizationRequest>,
    ) -> Result<Response<BeginAuthorizationResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }

    async fn complete_authorization(
        &self,
        _: Request<CompleteAuthorizationRequest>,
    ) -> Result<Response<CompleteAuthorizationResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }

    async fn begin_device_authorization(
        &self,
        _: Request<BeginDeviceAuthorizationRequest>,
    ) -> Result<Response<BeginDeviceAuthorizationResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }

    async fn complete_device_authorization(
        &self,
        _: Request<CompleteDeviceAuthorizationRequest>,
    ) -> Result<Response<CompleteDeviceAuthorizationResponse>, Status> {
        Err(Status::unimplemented("not compared"))
    }
}
