//! What providers' clocks show, as far as their answers told: they judge by these when an assertion was signed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::ProviderName;

use crate::response::Skew;

/// By how much the clock of each provider was ahead of ours at its last answer.
#[derive(Debug, Default)]
pub(super) struct Clocks(Mutex<HashMap<ProviderName, Skew>>);

impl Clocks {
    /// An answer of the provider showed this.
    pub(super) fn learn(&self, provider: &ProviderName, skew: Skew) {
        self.lock().insert(provider.clone(), skew);
    }

    /// What the provider's clock shows when ours shows `at`; the same as long as nothing is known of it.
    pub(super) fn theirs(&self, provider: &ProviderName, at: Timestamp) -> Timestamp {
        let skew = self.lock().get(provider).copied();
        skew.map_or(at, |skew| skew.theirs(at))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProviderName, Skew>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
