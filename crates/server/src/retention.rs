//! Prunes what is older than it must be kept: events, and token sets that came too late.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const BATCH: u32 = 5_000;
const EVERY: Duration = Duration::from_secs(600);

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events.
    pub events: Duration,
    /// Token sets that came too late to be stored.
    pub orphans: Duration,
}

/// Prunes at once and then at intervals until `stop` is cancelled. Replicas may prune at the same time.
pub async fn run(store: Arc<dyn Store>, retention: Retention, stop: CancellationToken) {
    loop {
        let Retention { events, orphans } = retention;
        while is_more("events", store.prune(events, BATCH).await) {}
        while is_more("orphans", store.prune_orphans(orphans, BATCH).await) {}
        let pause = EVERY.mul_f64(0.8 + 0.4 * fastrand::f64());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Whether a batch was pruned, after which there may be more.
fn is_more(what: &'static str, batch: Result<u64, StoreError>) -> bool {
    match batch {
        Ok(0) => false,
        Ok(pruned) => {
            info!(pruned, what, "pruned what is old");
            true
        }
        Err(error) => {
            warn!(%error, what, "what is old cannot be pruned");
            false
        }
    }
}
