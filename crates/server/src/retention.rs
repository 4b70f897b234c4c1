//! Prunes what is older than it must be kept: events, token sets that came too late, attempts, deliveries that were dealt
//! with, names of deleted grants, consents that nobody completed, kills that are over, and records of the audit trail.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::coherence::DELETED_ARE_KNOWN;
use evergrant_core::store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::{AuditLog, SqlStore};

const BATCH: u32 = 5_000;
const EVERY: Duration = Duration::from_secs(600);
/// For longer than any receiver takes a delivery.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// What attempts to refresh came to is of no use for longer.
const ATTEMPTS: Duration = Duration::from_hours(30 * 24);

/// How long a kill is kept once it is over.
const KILLS: Duration = Duration::from_hours(90 * 24);

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
        prune("events", || store.prune(events, BATCH)).await;
        prune("orphans", || store.prune_orphans(orphans, BATCH)).await;
        prune("attempts", || store.prune_attempts(ATTEMPTS, BATCH)).await;
        prune("deliveries", || store.forget_deliveries(REMEMBERED, BATCH)).await;
        prune("deleted grants", || {
            store.forget_deleted(DELETED_ARE_KNOWN, BATCH)
        })
        .await;
        if pause(&stop).await.is_none() {
            return;
        }
    }
}

/// The same for consents that were not completed in time.
pub async fn of_authorizations(store: Arc<SqlStore>, stop: CancellationToken) {
    loop {
        prune("authorizations", || store.prune_authorizations()).await;
        if pause(&stop).await.is_none() {
            return;
        }
    }
}

/// The same for kills.
pub async fn of_kills(store: Arc<SqlStore>, stop: CancellationToken) {
    loop {
        prune("kills", || store.prune_kills(KILLS, BATCH)).await;
        if pause(&stop).await.is_none() {
            return;
        }
    }
}

/// The same for records of the audit trail.
pub async fn of_audit(log: AuditLog, retention: Duration, stop: CancellationToken) {
    loop {
        prune("audit records", || log.prune(retention, BATCH)).await;
        if pause(&stop).await.is_none() {
            return;
        }
    }
}

/// `None` once `stop` is cancelled.
async fn pause(stop: &CancellationToken) -> Option<()> {
    let pause = EVERY.mul_f64(0.8 + 0.4 * fastrand::f64());
    tokio::select! {
        () = tokio::time::sleep(pause) => Some(()),
        () = stop.cancelled() => None,
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

#[cfg(test)]
mod tests {
    use evergrant_core::change::{ChangeSet, Write};
    use evergrant_core::ids::ReceiverName;
    use evergrant_core::report::DeliveryId;
    use evergrant_core::store::{ApplyError, Directory};
    use evergrant_core::testing::clock::ManualClock;
    use evergrant_core::testing::store::{MemoryStore, Op};

    use super::*;

    async fn remember(store: &MemoryStore, revision: u64) -> Result<u64, ApplyError> {
        let receiver = ReceiverName::parse("slack").unwrap();
        let delivery = DeliveryId::new(receiver, "Ev1");
        let change = ChangeSet {
            revision,
            writes: vec![Write::RememberDelivery(delivery)],
            events: Vec::new(),
        };
        store.apply(&change).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_is_remembered_for_thirty_days() {
        let clock = ManualClock::new();
        let store = Arc::new(MemoryStore::new(clock.clone()));
        remember(&store, 0).await.unwrap();
        let prune = async || {
            let stop = CancellationToken::new();
            let before = store.faults().calls(Op::ForgetDeliveries);
            let pruned = async {
                while store.faults().calls(Op::ForgetDeliveries) == before {
                    tokio::task::yield_now().await;
                }
                stop.cancel();
            };
            let retention = Retention {
                events: REMEMBERED,
                orphans: REMEMBERED,
            };
            tokio::join!(run(store.clone(), retention, stop.clone()), pruned);
        };
        clock.shift(REMEMBERED);
        prune().await;
        assert_eq!(remember(&store, 1).await, Err(ApplyError::Conflict));
        clock.shift(Duration::from_secs(1));
        prune().await;
        remember(&store, 1).await.unwrap();
    }
}
