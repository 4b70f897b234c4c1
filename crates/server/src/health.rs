//! Health: the same answer over gRPC (`grpc.health.v1`) and over HTTP.
//!
//! SERVING only while the store can be used. Without Redis the service is slower and says so in its metrics, yet
//! SERVING.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evergrant_core::store::Store;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tracing::{info, warn};

/// Every name that may be asked for; the empty one stands for the whole server.
const NAMES: [&str; 8] = [
    "",
    "evergrant.v1.TokenService",
    "evergrant.v1.EventService",
    "evergrant.v1.CredentialService",
    "evergrant.v1.IntegrationService",
    "evergrant.v1.ProviderService",
    "evergrant.v1.KillService",
    "evergrant.v1.AuditService",
];

/// SERVING for as long as the process answers, whatever its store does: a liveness probe that asked for the whole
/// server would have replicas killed for a database that is away.
const LIVENESS: &str = "liveness";

const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Whether this replica can serve.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    serving: Arc<AtomicBool>,
}

impl Health {
    /// Not serving yet, and the gRPC service that tells so.
    pub async fn new() -> (Self, HealthServer<HealthService>) {
        let reporter = HealthReporter::new();
        reporter
            .set_service_status(LIVENESS, ServingStatus::Serving)
            .await;
        let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let health = Self {
            reporter,
            serving: Arc::default(),
        };
        health.tell(false).await;
        (health, service)
    }

    /// Whether it serves.
    pub fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Says whether it serves.
    pub async fn tell(&self, serving: bool) {
        self.serving.store(serving, Ordering::Relaxed);
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Watches the store until `stop` is cancelled, and says NOT_SERVING then.
    pub async fn run(self, store: Arc<dyn Store>, stop: CancellationToken) {
        loop {
            let reached = store.ping().await;
            metrics::gauge!("evergrant_store_up").set(if reached.is_ok() { 1.0 } else { 0.0 });
            if stop.is_cancelled() {
                break;
            }
            if reached.is_ok() != self.is_serving() {
                match &reached {
                    Ok(()) => info!("serving"),
                    Err(error) => warn!(%error, "not serving: the store cannot be used"),
                }
                self.tell(reached.is_ok()).await;
            }
            tokio::select! {
                () = tokio::time::sleep(CHECK_EVERY) => {}
                () = stop.cancelled() => break,
            }
        }
        self.tell(false).await;
    }
}
