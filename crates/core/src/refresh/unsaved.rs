//! Token sets that are nowhere but in this process: neither stored nor in escrow.
//!
//! Usually for some milliseconds between the provider's answer and the commit, for as long as it takes while the
//! database is away and there is no escrow. What is still here when the process ends is lost, and is said to be.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::error;

use crate::coordinator::EscrowEntry;
use crate::ids::{Generation, GrantId};

/// The token sets that this process alone has, by grant; a process has one flight a grant.
#[derive(Debug, Default)]
pub(in crate::refresh) struct Unsaved(Mutex<HashMap<GrantId, Generation>>);

/// A token set that this process alone has. Dropped before it is [saved](Self::saved), it is lost.
pub(in crate::refresh) struct OnlyHere<'a> {
    unsaved: &'a Unsaved,
    entry: &'a EscrowEntry,
}

impl Unsaved {
    /// Takes note of a token set that a provider has just issued.
    pub(in crate::refresh) fn hold<'a>(&'a self, entry: &'a EscrowEntry) -> OnlyHere<'a> {
        self.map().insert(entry.grant.clone(), entry.base);
        OnlyHere {
            unsaved: self,
            entry,
        }
    }

    /// A token set that need not be saved, since another can be had at any time.
    pub(in crate::refresh) fn let_go<'a>(&'a self, entry: &'a EscrowEntry) -> OnlyHere<'a> {
        OnlyHere {
            unsaved: self,
            entry,
        }
    }

    /// Tells of all that is lost if the process ends now, each once. Answers their grants.
    pub(in crate::refresh) fn give_up(&self) -> Vec<GrantId> {
        let lost: Vec<_> = self.map().drain().collect();
        let tell = |(grant, base)| {
            tell_lost(&grant, base);
            grant
        };
        lost.into_iter().map(tell).collect()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<GrantId, Generation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> OnlyHere<'a> {
    /// The token set.
    pub(in crate::refresh) fn entry(&self) -> &'a EscrowEntry {
        self.entry
    }

    /// It is stored, kept aside or in escrow.
    pub(in crate::refresh) fn saved(&self) {
        self.unsaved.map().remove(&self.entry.grant);
    }
}

impl Drop for OnlyHere<'_> {
    fn drop(&mut self) {
        let lost = self.unsaved.map().remove(&self.entry.grant);
        if let Some(base) = lost {
            tell_lost(&self.entry.grant, base);
        }
    }
}

fn tell_lost(grant: &GrantId, base: Generation) {
    metrics::counter!("evergrant_rotations_lost_total").increment(1);
    error!(
        %grant, base = base.0,
        "a token set could be stored nowhere and is lost; its user may have to connect again"
    );
}
