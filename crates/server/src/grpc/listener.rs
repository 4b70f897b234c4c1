//! The gRPC listener: the services on it, and how long their readers may take.

use std::time::Duration;

use evergrant_proto::FILE_DESCRIPTOR_SET;
use evergrant_proto::encoded::event::event_service_server::EventServiceServer;
use evergrant_proto::encoded::token::token_service_server::TokenServiceServer;
use evergrant_proto::v1::ErrorReason;
use evergrant_proto::v1::audit_service_server::AuditServiceServer;
use evergrant_proto::v1::credential_service_server::CredentialServiceServer;
use evergrant_proto::v1::integration_service_server::IntegrationServiceServer;
use evergrant_proto::v1::kill_service_server::KillServiceServer;
use evergrant_proto::v1::provider_service_server::ProviderServiceServer;
use http::Response;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use super::audit::AuditRecords;
use super::credential::Credentials;
use super::integration::Integrations;
use super::kill::Kills;
use super::provider::Providers;
use super::status::ApiError;
use super::token::Tokens;
use super::transport::{self, Acceptor, Leashes};
use super::watch::Watches;

/// The largest request: a batch of a thousand names, or token material with large tokens.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// All services of the API.
pub struct Services {
    /// TokenService.
    pub tokens: Tokens,
    /// EventService.
    pub watches: Watches,
    /// CredentialService.
    pub credentials: Credentials,
    /// IntegrationService.
    pub integrations: Integrations,
    /// ProviderService.
    pub providers: Providers,
    /// KillService.
    pub kills: Kills,
    /// AuditService.
    pub audit: AuditRecords,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// How often it is seen to that readers take what they are sent.
const LOOK: Duration = Duration::from_secs(15);
/// When to ask a replica again that is starting.
const SOON: Duration = Duration::from_secs(1);
/// A health check in flight gets its answer when the whole server takes over.
const HEALTH_GRACE: Duration = Duration::from_millis(100);

/// Serves health alone, until `started` is cancelled: before it can serve, a replica says so instead of refusing
/// connections. All else is refused as UNAVAILABLE, so that callers go to another replica. Who watches health then is
/// cut off, connects again and finds the whole server.
pub async fn serve_health(
    listener: TcpListener,
    tls: Option<Acceptor>,
    health: HealthServer<HealthService>,
    started: CancellationToken,
) {
    let leashes = Leashes {
        look: LOOK,
        grace: HEALTH_GRACE,
    };
    let routes = Routes::new(health).into_axum_router().fallback(starting);
    transport::serve(listener, tls, routes.into(), leashes, started).await;
}

async fn starting() -> Response<Body> {
    let error = ApiError::new(ErrorReason::Starting, "this replica is starting");
    error.retry_after(SOON).into_status().into_http()
}

/// Serves everything until `stop` is cancelled and every stream has ended. What nobody reads is cut off `grace`
/// after that.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Acceptor>,
    health: HealthServer<HealthService>,
    services: Services,
    grace: Duration,
    stop: CancellationToken,
) {
    let leashes = Leashes { look: LOOK, grace };
    transport::serve(listener, tls, routes(health, services), leashes, stop).await;
}

fn routes(health: HealthServer<HealthService>, services: Services) -> Routes {
    let Services {
        tokens,
        watches,
        credentials,
        integrations,
        providers,
        kills,
        audit,
    } = services;
    Routes::new(health)
        .add_service(TokenServiceServer::new(tokens).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(EventServiceServer::new(watches).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(
            CredentialServiceServer::new(credentials).max_decoding_message_size(MAX_REQUEST_BYTES),
        )
        .add_service(
            IntegrationServiceServer::new(integrations)
                .max_decoding_message_size(MAX_REQUEST_BYTES),
        )
        .add_service(
            ProviderServiceServer::new(providers).max_decoding_message_size(MAX_REQUEST_BYTES),
        )
        .add_service(KillServiceServer::new(kills).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(AuditServiceServer::new(audit).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(reflection().build_v1().expect("our own descriptors decode"))
        .add_service(
            reflection()
                .build_v1alpha()
                .expect("our own descriptors decode"),
        )
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
