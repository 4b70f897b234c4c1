//! Health: the same answer over gRPC (`grpc.health.v1`) and over HTTP.
//!
//! SERVING only while the store can be used, and while the audit trail can be written if nothing is answered without a
//! record. Without Redis the service is slower and says so in its metrics, yet
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

use crate::audit::{Audit, Unrecorded};

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
/// Checks in a row that the audit trail must fail: a batch that has to be written again is no reason to send callers away.
const FAILED_CHECKS: u32 = 3;

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

    /// Watches the store and the trail until `stop` is cancelled, and says NOT_SERVING then.
    pub async fn run(self, store: Arc<dyn Store>, audit: Audit, stop: CancellationToken) {
        let mut unrecorded = 0;
        loop {
            let reached = store.ping().await;
            metrics::gauge!("evergrant_store_up").set(if reached.is_ok() { 1.0 } else { 0.0 });
            if stop.is_cancelled() {
                break;
            }
            unrecorded = match audit.ready() {
                Ok(()) => 0,
                Err(Unrecorded) => FAILED_CHECKS.min(unrecorded + 1),
            };
            let is_recording = unrecorded < FAILED_CHECKS;
            let serving = reached.is_ok() && is_recording;
            if serving != self.is_serving() {
                match &reached {
                    Err(error) => warn!(%error, "not serving: the store cannot be used"),
                    Ok(()) if serving => info!("serving"),
                    Ok(()) => {
                        warn!("not serving: the audit trail cannot be written, and is strict")
                    }
                }
                self.tell(serving).await;
            }
            tokio::select! {
                () = tokio::time::sleep(CHECK_EVERY) => {}
                () = stop.cancelled() => break,
            }
        }
        self.tell(false).await;
    }
}

#[cfg(test)]
mod tests {
    use evergrant_core::testing::clock::ManualClock;
    use evergrant_core::testing::store::MemoryStore;
    use tokio::sync::watch;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::audit::queue::Queue;
    use crate::clock::SystemClock;

    /// Whether a replica serves while batches of its trail fail, before and after `FAILED_CHECKS` of them.
    async fn serves_without_records(is_strict: bool) -> [bool; 3] {
        let queue = Arc::new(Queue::new(10));
        let (_told, stored) = watch::channel(0);
        let audit = Audit::new(queue.clone(), stored, is_strict, Arc::new(SystemClock));
        let (health, _service) = Health::new().await;
        let stop = CancellationToken::new();
        let store = Arc::new(MemoryStore::new(ManualClock::new()));
        let tasks = TaskTracker::new();
        tasks.spawn(health.clone().run(store, audit, stop.clone()));
        let after = async |checks: u32| {
            tokio::time::sleep(CHECK_EVERY * checks).await;
            tokio::time::sleep(CHECK_EVERY / 2).await;
            health.is_serving()
        };
        after(0).await;
        queue.set_failing(true);
        let serves = [after(1).await, after(FAILED_CHECKS).await];
        queue.set_failing(false);
        let again = after(1).await;
        stop.cancel();
        [serves[0], serves[1], again]
    }

    #[tokio::test(start_paused = true)]
    async fn a_strict_trail_that_cannot_be_written_sends_callers_elsewhere_until_it_can() {
        assert_eq!(serves_without_records(true).await, [true, false, true]);
        assert_eq!(serves_without_records(false).await, [true, true, true]);
    }
}
