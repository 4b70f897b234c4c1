//! The announcer: watchers are told of an end that no refresh moves while there is time to ask the user to connect again.
//!
//! Every replica looks for what is to be told; that each announcement is made once is decided where all changes are.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::provider::Providers;
use crate::registry::Registry;
use crate::store::Store;

/// How many grants are looked at before the store is asked again.
const PAGE: u32 = 200;

/// Tells what ends, ahead of time.
pub struct Announcer {
    registry: Registry,
    store: Arc<dyn Store>,
    providers: Arc<dyn Providers>,
    clock: Arc<dyn Clock>,
    interval: Duration,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl Announcer {
    /// An announcer that looks every `interval`, ± 20 %.
    pub fn new(
        registry: Registry,
        store: Arc<dyn Store>,
        providers: Arc<dyn Providers>,
        clock: Arc<dyn Clock>,
        interval: Duration,
    ) -> Self {
        Self {
            registry,
            store,
            providers,
            clock,
            interval,
        }
    }

    /// Looks at once and then at every interval, until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            while self.round().await && !stop.is_cancelled() {}
            let pause = self.interval.mul_f64(0.8 + 0.4 * fastrand::f64());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One look. Answers whether there is likely more that can be told.
    async fn round(&self) -> bool {
        let due = match self.store.to_announce(self.clock.now(), PAGE).await {
            Ok(due) => due,
            Err(error) => {
                warn!(%error, "cannot look for grants that come near to their end");
                return false;
            }
        };
        let full_page = due.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut done = false;
        // Replicas that look at the same page start at different ends of it.
        let mut due = due;
        fastrand::shuffle(&mut due);
        for grant in due {
            let renewal = |client: &_| self.providers.renewal(client);
            match self.registry.announce(&grant, renewal).await {
                Ok(told) => {
                    done = true;
                    if told {
                        info!(%grant, "told that the grant comes near to its end");
                    }
                }
                Err(error) => warn!(%grant, %error, "the end of a grant cannot be told yet"),
            }
        }
        full_page && done
    }
}
