//! Background renewal: grants are refreshed ahead of their expiry, so that callers rarely wait.
//!
//! Every replica looks for what is due; the leader lock and the lease let one of them do it, and a flight of this
//! kind never waits for another. A page of due grants holds a bounded number of any one client, so that none
//! keeps the others waiting; a dead grant is not due, so it is never looked at again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::broker::Broker;
use crate::clock::Clock;
use crate::refresh::Outcome;
use crate::store::{DueGrant, Store};

/// How background renewal paces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often to look for what is due, ± 20 %.
    pub interval: Duration,
    /// How many renewals run at a time.
    pub concurrency: usize,
    /// How many due grants of one client are taken at a time.
    pub per_client: u32,
}

/// Renews what is due until it is told to stop.
pub struct Scheduler {
    broker: Arc<Broker>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    tracker: TaskTracker,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl Scheduler {
    /// A scheduler whose renewals are tracked by `tracker`.
    pub fn new(
        broker: Arc<Broker>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        pace: Pace,
        tracker: TaskTracker,
    ) -> Self {
        Self {
            broker,
            store,
            clock,
            pace,
            tracker,
        }
    }

    /// Looks for what is due, at once and then at every interval, until `stop` is cancelled. Renewals that
    /// have begun then go on to their end.
    pub async fn run(self, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.pace.concurrency));
        loop {
            let full_page = self.round(&places, &stop).await;
            let pause = if full_page {
                Duration::from_millis(10)
            } else {
                self.pace.interval.mul_f64(0.8 + 0.4 * fastrand::f64())
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One look, and a renewal for each grant that it finds. Answers whether there is likely more.
    async fn round(&self, places: &Arc<Semaphore>, stop: &CancellationToken) -> bool {
        let limit = u32::try_from(self.pace.concurrency * 2).unwrap_or(u32::MAX);
        let due = match self
            .store
            .due(self.clock.now(), limit, self.pace.per_client)
            .await
        {
            Ok(due) => due,
            Err(error) => {
                warn!(%error, "cannot look for grants to renew");
                return false;
            }
        };
        let full_page = due.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let mut begun = 0;
        for grant in shuffled(due) {
            if self.broker.client_is_rejected(&grant.client) {
                continue;
            }
            let place = tokio::select! {
                place = Arc::clone(places).acquire_owned() => place,
                () = stop.cancelled() => return false,
            };
            let Ok(place) = place else { return false };
            let broker = Arc::clone(&self.broker);
            begun += 1;
            self.tracker.spawn(async move {
                let outcome = broker.renew(&grant.id, grant.generation).await;
                if let Outcome::Failed(failure) = outcome {
                    debug!(grant = %grant.id, reason = %failure.reason, "not renewed");
                }
                drop(place);
            });
        }
        full_page && begun > 0
    }
}

/// Replicas that look at the same page start at different ends of it.
fn shuffled(mut due: Vec<DueGrant>) -> Vec<DueGrant> {
    fastrand::shuffle(&mut due);
    due
}
