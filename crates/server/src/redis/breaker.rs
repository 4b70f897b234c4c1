//! Fails calls at once while Redis is known to be away.

use std::sync::atomic::{AtomicU32, Ordering};

/// So many failures in a row open the breaker.
const OPENS_AFTER: u32 = 3;

/// Open after some failures in a row, closed again by one success.
///
/// While it is open nobody calls; the pulse goes on asking in the background and closes it, so that no caller
/// pays for finding out.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
}

impl Breaker {
    /// Whether calls should not even be tried.
    pub(super) fn is_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= OPENS_AFTER
    }

    /// Takes the outcome of a call into account.
    pub(super) fn record(&self, succeeded: bool) {
        if succeeded {
            self.failures.store(0, Ordering::Relaxed);
        } else {
            // Saturates: 2³² failures in a row must not close it.
            let _ = self
                .failures
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |failures| {
                    failures.checked_add(1)
                });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_one_success_closes_it() {
        let breaker = Breaker::default();
        for _ in 1..OPENS_AFTER {
            breaker.record(false);
        }
        breaker.record(true);
        for _ in 1..OPENS_AFTER {
            breaker.record(false);
        }
        assert!(!breaker.is_open(), "the success began a new row");
        breaker.record(false);
        assert!(breaker.is_open());
        breaker.record(true);
        assert!(!breaker.is_open());
    }

    #[test]
    fn it_stays_open_however_many_fail() {
        let breaker = Breaker {
            failures: AtomicU32::new(u32::MAX),
        };
        breaker.record(false);
        assert!(breaker.is_open());
    }
}
