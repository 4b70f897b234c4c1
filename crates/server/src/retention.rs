//! Prunes events that are older than they must be kept, and consents that were not completed in time.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::store::EventLog as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::SqlStore;

const BATCH: u32 = 5_000;
const EVERY: Duration = Duration::from_secs(600);

/// Prunes at once and then at intervals until `stop` is cancelled. Replicas may prune at the same time.
pub async fn run(store: Arc<SqlStore>, retention: Duration, stop: CancellationToken) {
    loop {
        loop {
            match store.prune(retention, BATCH).await {
                Ok(0) => break,
                Ok(pruned) => info!(pruned, "pruned events"),
                Err(error) => {
                    warn!(%error, "events cannot be pruned");
                    break;
                }
            }
        }
        if let Err(error) = store.prune_authorizations().await {
            warn!(%error, "consents that have ended cannot be pruned");
        }
        let pause = EVERY.mul_f64(0.8 + 0.4 * fastrand::f64());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}
