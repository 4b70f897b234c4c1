//! Prunes what is older than it must be kept: events, and deliveries that were dealt with.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const BATCH: u32 = 5_000;
const EVERY: Duration = Duration::from_secs(600);
/// For longer than any receiver takes a delivery.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// Prunes at once and then at intervals until `stop` is cancelled. Replicas may prune at the same time.
pub async fn run(store: Arc<dyn Store>, retention: Duration, stop: CancellationToken) {
    loop {
        prune("events", || store.prune(retention, BATCH)).await;
        prune("deliveries", || store.forget_deliveries(REMEMBERED, BATCH)).await;
        let pause = EVERY.mul_f64(0.8 + 0.4 * fastrand::f64());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn prune<F>(what: &'static str, batch: impl Fn() -> F)
where
    F: Future<Output = Result<u64, StoreError>>,
{
    loop {
        match batch().await {
            Ok(0) => return,
            Ok(pruned) => info!(pruned, "pruned {what}"),
            Err(error) => {
                warn!(%error, "{what} cannot be pruned");
                return;
            }
        }
    }
}
