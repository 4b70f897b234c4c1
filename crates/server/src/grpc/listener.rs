//! The gRPC listener: transport settings and the services on it.

use std::time::Duration;

use evergrant_proto::FILE_DESCRIPTOR_SET;
use evergrant_proto::encoded::event::event_service_server::EventServiceServer;
use evergrant_proto::encoded::token::token_service_server::TokenServiceServer;
use evergrant_proto::v1::credential_service_server::CredentialServiceServer;
use evergrant_proto::v1::integration_service_server::IntegrationServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Certificate, Error, Identity, Server, ServerTlsConfig};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use super::credential::Credentials;
use super::integration::Integrations;
use super::token::Tokens;
use super::watch::Watches;
use crate::config::server::Tls;

/// The largest request: a batch of a thousand names, or token material with large tokens.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Streams of one connection; a proxy may carry all watchers of a node over one.
const MAX_STREAMS_PER_CONNECTION: u32 = 2_000;
/// A peer that is gone is noticed within half a minute.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

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
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// Serves health alone, until `started` is cancelled: before it can serve, a replica says so instead of refusing
/// connections.
pub async fn serve_health(
    listener: TcpListener,
    tls: Option<&Tls>,
    health: HealthServer<HealthService>,
    started: CancellationToken,
) -> Result<(), Error> {
    let router = transport(tls)?.add_service(health);
    let serve = router.serve_with_incoming(incoming(listener));
    // Ended by force: who still watches connects again and finds the whole server.
    started.run_until_cancelled(serve).await.unwrap_or(Ok(()))
}

/// Serves everything until `stop` is cancelled and every stream has ended.
pub async fn serve(
    listener: TcpListener,
    tls: Option<&Tls>,
    health: HealthServer<HealthService>,
    services: Services,
    stop: CancellationToken,
) -> Result<(), Error> {
    let Services {
        tokens,
        watches,
        credentials,
        integrations,
    } = services;
    let router: Router = transport(tls)?
        .add_service(health)
        .add_service(TokenServiceServer::new(tokens).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(EventServiceServer::new(watches).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(
            CredentialServiceServer::new(credentials).max_decoding_message_size(MAX_REQUEST_BYTES),
        )
        .add_service(
            IntegrationServiceServer::new(integrations)
                .max_decoding_message_size(MAX_REQUEST_BYTES),
        )
        .add_service(reflection().build_v1().expect("our own descriptors decode"))
        .add_service(
            reflection()
                .build_v1alpha()
                .expect("our own descriptors decode"),
        );
    router
        .serve_with_incoming_shutdown(incoming(listener), stop.cancelled_owned())
        .await
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn transport(tls: Option<&Tls>) -> Result<Server, Error> {
    let server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
    let Some(tls) = tls else { return Ok(server) };
    let mut config =
        ServerTlsConfig::new().identity(Identity::from_pem(&*tls.cert.pem, &*tls.key.pem));
    if let Some(ca) = &tls.client_ca {
        config = config.client_ca_root(Certificate::from_pem(&*ca.pem));
    }
    server.tls_config(config)
}

/// Without `nodelay` a small answer waits 40 ms for the next one, and the builder's setting does not reach a
/// listener that was bound elsewhere.
fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(KEEPALIVE))
}
