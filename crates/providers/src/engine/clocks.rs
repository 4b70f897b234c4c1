//! What providers' clocks show, as far as their answers told: they judge by these when an assertion was signed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use evergrant_core::clock::Timestamp;

use crate::response::Skew;

/// Hosts are few, unless grants name them; and then those of whom nothing is known any more are asked again.
const MOST: usize = 10_000;

/// By how much the clock of each host was ahead of ours at its last answer that had a date.
#[derive(Debug, Default)]
pub(super) struct Clocks(Mutex<HashMap<String, Skew>>);

impl Clocks {
    /// An answer of `host`, with its port if that is not the usual one, showed this.
    pub(super) fn learn(&self, host: &str, skew: Skew) {
        let mut known = self.lock();
        if known.len() >= MOST && !known.contains_key(host) {
            known.clear();
        }
        known.insert(host.to_owned(), skew);
    }

    /// What the host's clock shows when ours shows `at`; the same as long as nothing is known of it.
    pub(super) fn theirs(&self, host: &str, at: Timestamp) -> Timestamp {
        let skew = self.lock().get(host).copied();
        skew.map_or(at, |skew| skew.theirs(at))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Skew>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
