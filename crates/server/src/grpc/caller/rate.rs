//! How often a caller may ask.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// So many requests in the long run, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// Holds one caller to its rate, without a lock and without a task: the generic cell rate algorithm (ITU-T I.371).
///
/// All it keeps is the moment at which the caller would have been quiet long enough to be owed its whole burst.
#[derive(Debug)]
pub(super) struct Limiter {
    began: Instant,
    /// Nanoseconds after `began`.
    free_at: AtomicU64,
}

impl Limiter {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            free_at: AtomicU64::new(0),
        }
    }

    /// Admits a request, or says how long the caller must wait.
    pub(super) fn admit(&self, rate: Rate) -> Result<(), Duration> {
        let (now, step) = (self.now(), step(rate));
        let tolerance = step.saturating_mul(u64::from(rate.burst.get()) - 1);
        let next = |free_at: u64| {
            let free_at = free_at.max(now);
            (free_at - now <= tolerance).then_some(free_at.saturating_add(step))
        };
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        match self.free_at.fetch_update(set, fetch, next) {
            Ok(_) => Ok(()),
            Err(free_at) => Err(Duration::from_nanos(free_at - tolerance - now)),
        }
    }

    /// Counts `more` requests that came with one that was admitted. What goes beyond the burst is owed: the next
    /// request waits until it is paid off.
    pub(super) fn owe(&self, rate: Rate, more: u32) {
        let (now, cost) = (self.now(), step(rate).saturating_mul(u64::from(more)));
        let next = |free_at: u64| Some(free_at.max(now).saturating_add(cost));
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.free_at.fetch_update(set, fetch, next);
    }

    fn now(&self) -> u64 {
        let since = self.began.elapsed().as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

/// Nanoseconds between two requests of a steady caller.
fn step(rate: Rate) -> u64 {
    (1_000_000_000 / u64::from(rate.per_second.get())).max(1)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const RATE: Rate = Rate {
        per_second: NonZeroU32::new(10).unwrap(),
        burst: NonZeroU32::new(3).unwrap(),
    };

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_one_in_each_step() {
        let limiter = Limiter::new();
        for _ in 0..3 {
            limiter.admit(RATE).unwrap();
        }
        let wait = limiter.admit(RATE).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        advance(Duration::from_millis(99)).await;
        assert_eq!(limiter.admit(RATE), Err(Duration::from_millis(1)));
        advance(Duration::from_millis(1)).await;
        limiter.admit(RATE).unwrap();
        assert!(limiter.admit(RATE).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_earns_the_burst_and_no_more() {
        let limiter = Limiter::new();
        advance(Duration::from_secs(3_600)).await;
        let admitted = (0..10).filter(|_| limiter.admit(RATE).is_ok()).count();
        assert_eq!(admitted, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_beyond_the_burst_is_paid_off_before_anything_else_passes() {
        let limiter = Limiter::new();
        limiter.admit(RATE).unwrap();
        limiter.owe(RATE, 99);
        let wait = limiter.admit(RATE).unwrap_err();
        assert_eq!(wait, Duration::from_millis(9_800));
        advance(wait).await;
        limiter.admit(RATE).unwrap();
    }
}
