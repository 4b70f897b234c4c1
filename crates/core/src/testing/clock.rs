//! Wall time under a test's control.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};

/// A clock that moves with [`tokio::time`], so that paused time holds it, and by hand.
#[derive(Debug)]
pub struct ManualClock {
    began: Instant,
    shifted_millis: AtomicI64,
}

impl ManualClock {
    /// What every such clock shows first.
    pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// A clock that shows [`START`](Self::START).
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            shifted_millis: AtomicI64::new(0),
        })
    }

    /// Moves wall time on and nothing else: tokens grow older, while leases and timers stand.
    pub fn shift(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.shifted_millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let shifted = self.shifted_millis.load(Ordering::SeqCst);
        Timestamp::from_millis(Self::START.as_millis() + shifted).plus(self.began.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_moves_with_paused_time_and_by_hand() {
        let clock = ManualClock::new();
        assert_eq!(clock.now(), ManualClock::START);
        tokio::time::advance(Duration::from_secs(2)).await;
        clock.shift(Duration::from_secs(3));
        assert_eq!(clock.now(), ManualClock::START.plus(Duration::from_secs(5)));
    }
}
