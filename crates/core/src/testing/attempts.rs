//! Attempts as they were told, in memory.

use std::sync::{Mutex, PoisonError};

use crate::attempts::{AttemptLog, AttemptRecord};

/// Keeps every attempt in the order in which they were told.
#[derive(Debug, Default)]
pub struct MemoryAttempts(Mutex<Vec<AttemptRecord>>);

impl MemoryAttempts {
    /// What was told so far.
    pub fn told(&self) -> Vec<AttemptRecord> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl AttemptLog for MemoryAttempts {
    fn note(&self, record: AttemptRecord) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record);
    }
}
