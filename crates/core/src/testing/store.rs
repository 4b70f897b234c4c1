//! The store in memory: every port of [`crate::store`] over one mutex, with faults on order.

mod apply;
mod directory;
mod faults;
mod grants;
mod log;
mod reads;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

pub use faults::{Faults, Op};
use state::{Now, State};

pub use super::held::Held;

use crate::clock::{Clock, Timestamp};
use crate::events::{Event, LogPosition};
use crate::grant::TokenSet;
use crate::ids::{CredentialKey, Generation, GrantId};
#[cfg(doc)]
use crate::store::GrantStore;
use crate::store::{EventLog, Store, StoreError};

/// A token set that was kept by [`GrantStore::keep_orphan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The grant that it was meant for.
    pub grant: GrantId,
    /// The generation whose refresh token bought it.
    pub base: Generation,
    /// The token set.
    pub tokens: TokenSet,
    /// Why it was kept.
    pub reason: String,
    /// When.
    pub kept_at: Timestamp,
}

/// A store that forgets everything when it is dropped.
///
/// Leases and the window of [`GrantStore::changed_within`] run by [`tokio::time::Instant`], so paused time
/// holds them; every timestamp is of the clock that it was made with.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    faults: Faults,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::new(State::default()),
            faults: Faults::default(),
        }
    }

    /// To order faults and to count calls.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The token sets that came too late, in the order in which they were kept.
    pub fn orphans(&self) -> Vec<Orphan> {
        self.with(|state, _| state.orphans.clone())
    }

    /// Gives the event log a new epoch, as an operator does after a restore.
    pub fn renew_epoch(&self) {
        self.with(|state, _| state.log.renew_epoch());
    }

    /// Loses an event, which makes a hole in the log.
    pub fn lose_event(&self, seq: u64) {
        self.with(|state, _| state.log.lose(seq));
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, Now) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Now {
            wall: self.clock.now(),
            instant: Instant::now(),
        };
        work(&mut state, now)
    }

    async fn call<T>(
        &self,
        op: Op,
        work: impl FnOnce(&mut State, Now) -> T,
    ) -> Result<T, StoreError> {
        self.faults.strike(op, || Ok(self.with(work))).await
    }
}

#[async_trait]
impl EventLog for MemoryStore {
    async fn position(&self) -> Result<LogPosition, StoreError> {
        self.call(Op::Position, |state, _| state.log.position())
            .await
    }

    async fn events_after(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<(Vec<Event>, LogPosition), StoreError> {
        self.call(Op::EventsAfter, |state, _| {
            (state.log.after(after, limit), state.log.position())
        })
        .await
    }

    async fn events_of(&self, key: &CredentialKey, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.call(Op::EventsOf, |state, _| state.log.of(key, limit))
            .await
    }

    async fn prune(&self, retention: Duration, limit: u32) -> Result<u64, StoreError> {
        self.call(Op::Prune, |state, now| {
            state.log.prune(now.wall.minus(retention), limit)
        })
        .await
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.call(Op::Ping, |_, _| ()).await
    }
}
