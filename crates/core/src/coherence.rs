//! Keeps this replica's memory true: what another replica replaced, invalidated or reconnected is forgotten here.
//!
//! Notices bring it within milliseconds. A poll of what changed lately brings it within a second where notices are
//! lost or there is no bus between replicas. Both only ever make this replica read again. A grant that is deleted counts
//! as changed, too: the name of its only credential may stand for another account by now.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::broker::Broker;
use crate::coordinator::{Bus, Notice};
use crate::store::{GrantVersion, Store};

/// How often to look for changes.
const POLL: Duration = Duration::from_millis(500);
/// How much further back than the last look: longer than any statement may take to commit.
const OVERLAP: Duration = Duration::from_secs(6);
/// After this long without a look, everything is forgotten instead of looked up.
const LONGEST_WINDOW: Duration = Duration::from_secs(300);

/// For how long the store is to know which grants were deleted: longer than anybody looks back.
pub const DELETED_ARE_KNOWN: Duration = LONGEST_WINDOW.saturating_mul(2);

/// Follows the changes of other replicas.
pub struct Coherence {
    broker: Arc<Broker>,
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
}

impl std::fmt::Debug for Coherence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coherence").finish_non_exhaustive()
    }
}

impl Coherence {
    /// Keeps the memory of `broker` true.
    pub fn new(broker: Arc<Broker>, store: Arc<dyn Store>, bus: Arc<dyn Bus>) -> Self {
        Self { broker, store, bus }
    }

    /// Follows until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut notices = self.bus.subscribe();
        let mut looked_at = Instant::now();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                notice = notices.recv() => self.hear(notice),
                _ = poll.tick() => looked_at = self.look(looked_at).await,
                () = stop.cancelled() => return,
            }
        }
    }

    fn hear(&self, notice: Result<Notice, RecvError>) {
        match notice {
            Ok(Notice::GrantChanged {
                grant,
                generation,
                version,
            }) => {
                self.broker.learn(&GrantVersion {
                    id: grant,
                    generation,
                    version,
                });
            }
            Ok(Notice::RefreshFailed { .. } | Notice::EventsAppended { .. }) => {}
            Err(RecvError::Lagged(missed)) => {
                metrics::counter!("evergrant_notices_missed_total").increment(missed);
                self.broker.forget_all();
            }
            Err(RecvError::Closed) => {}
        }
    }

    /// Looks for what changed since the last look. Answers when that was.
    async fn look(&self, looked_at: Instant) -> Instant {
        let now = Instant::now();
        let window = looked_at.elapsed() + OVERLAP;
        if window > LONGEST_WINDOW {
            self.broker.forget_all();
        }
        match self.store.changed_within(window.min(LONGEST_WINDOW)).await {
            Ok(versions) => {
                for version in &versions {
                    self.broker.learn(version);
                }
                now
            }
            Err(error) => {
                debug!(%error, "cannot look for changes");
                looked_at
            }
        }
    }
}
