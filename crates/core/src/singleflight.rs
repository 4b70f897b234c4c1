//! One flight per key in this process: the work outlives its callers, and all of them share its outcome.
//!
//! A flight is a task of its own. Whoever asks for its key while it flies joins it, and a caller that leaves
//! changes nothing. An outcome is stored and its entry removed in one step, then the waiters are woken, so that
//! a waiter that asks again starts a new flight instead of finding the old one.
//!
//! A flight has a span of its own, which belongs to none of its callers: the one that starts it and those that join it
//! are linked to it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

/// The flight ended without an outcome: its task panicked or was dropped with the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the work ended without an outcome")]
pub struct FlightLost;

/// Flights by key. Clones share them.
pub struct Flights<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    entries: Mutex<HashMap<K, Arc<Slot<V>>>>,
    next_id: AtomicU64,
    tracker: TaskTracker,
}

struct Slot<V> {
    id: u64,
    outcome: OnceLock<Result<V, FlightLost>>,
    ready: Notify,
    landed: AtomicBool,
    span: Span,
}

impl<K, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

impl<K, V> Shared<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Slot<V>>>> {
        // The map is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Flights<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Flights whose tasks are tracked by `tracker`, so that a shutdown can wait for them.
    pub fn new(tracker: TaskTracker) -> Self {
        Self {
            shared: Arc::new(Shared {
                entries: Mutex::new(HashMap::new()),
                next_id: AtomicU64::new(0),
                tracker,
            }),
        }
    }

    /// Joins the flight of `key`, or starts one with `work` if none is in the air, within the span that `span` makes.
    ///
    /// The caller's span is made to follow from that of the flight; the first caller's is followed by it too.
    /// `work` gets the [`Landing`] by which it tells its outcome. Dropping the returned [`Flight`], or the
    /// future that waits for it, changes nothing for the work or for others.
    pub fn join<W, F>(&self, key: K, span: impl FnOnce() -> Span, work: W) -> Flight<V>
    where
        W: FnOnce(Landing<K, V>) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut entries = self.shared.lock();
        if let Some(slot) = entries.get(&key) {
            let slot = Arc::clone(slot);
            drop(entries);
            Span::current().follows_from(&slot.span);
            return Flight { slot, joined: true };
        }
        let span = span();
        let slot = Arc::new(Slot {
            id: self.shared.next_id.fetch_add(1, Ordering::Relaxed),
            outcome: OnceLock::new(),
            ready: Notify::new(),
            landed: AtomicBool::new(false),
            span: span.clone(),
        });
        entries.insert(key.clone(), Arc::clone(&slot));
        drop(entries);

        // Before the work begins, so that whoever decides whether the span is kept knows where it came from.
        let caller = Span::current();
        span.follows_from(&caller);
        caller.follows_from(&span);
        let landing = Landing {
            shared: Arc::clone(&self.shared),
            slot: Arc::clone(&slot),
            key,
        };
        self.shared.tracker.spawn(work(landing).instrument(span));
        Flight {
            slot,
            joined: false,
        }
    }

    /// How many flights are in the air.
    pub fn len(&self) -> usize {
        self.shared.lock().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A caller's hold on a flight.
#[derive(Debug)]
pub struct Flight<V> {
    slot: Arc<Slot<V>>,
    joined: bool,
}

impl<V> fmt::Debug for Slot<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<V: Clone> Flight<V> {
    /// Whether the flight was in the air already.
    pub fn joined(&self) -> bool {
        self.joined
    }

    /// Waits for the outcome. Dropping this future changes nothing for anybody else.
    pub async fn outcome(&self) -> Result<V, FlightLost> {
        self.wait_for(|slot| slot.outcome.get().cloned()).await
    }

    /// Waits for the end of the flight, after which the next one may begin. Dropping this future changes nothing
    /// for anybody else.
    pub async fn landed(&self) {
        self.wait_for(|slot| slot.landed.load(Ordering::Acquire).then_some(()))
            .await;
    }

    async fn wait_for<T>(&self, look: impl Fn(&Slot<V>) -> Option<T>) -> T {
        loop {
            let ready = self.slot.ready.notified();
            tokio::pin!(ready);
            // Registered before the look, so that a landing in between is not missed.
            ready.as_mut().enable();
            if let Some(answer) = look(&self.slot) {
                return answer;
            }
            ready.await;
        }
    }
}

/// By which the work tells its outcome. Dropped without one, all waiters get [`FlightLost`].
pub struct Landing<K, V>
where
    K: Eq + Hash,
{
    shared: Arc<Shared<K, V>>,
    slot: Arc<Slot<V>>,
    key: K,
}

impl<K, V> Landing<K, V>
where
    K: Eq + Hash,
{
    /// Tells the outcome while the work goes on: who waits is served, and who asks next joins this flight
    /// still. The first outcome counts.
    pub fn announce(&self, outcome: V) {
        if self.slot.outcome.set(Ok(outcome)).is_ok() {
            self.slot.ready.notify_waiters();
        }
    }

    /// Tells the outcome, if none was announced, and ends the flight: who asks next starts another.
    pub fn land(self, outcome: V) {
        self.end(Ok(outcome));
    }

    fn end(&self, outcome: Result<V, FlightLost>) {
        {
            // Who sees the outcome without being woken cannot join before the entry is gone.
            let mut entries = self.shared.lock();
            // The first outcome counts; a later one is no error.
            let _ = self.slot.outcome.set(outcome);
            // A successor's entry under the same key is not ours to remove.
            if entries
                .get(&self.key)
                .is_some_and(|slot| slot.id == self.slot.id)
            {
                entries.remove(&self.key);
            }
            self.slot.landed.store(true, Ordering::Release);
        }
        self.slot.ready.notify_waiters();
    }
}

impl<K, V> Drop for Landing<K, V>
where
    K: Eq + Hash,
{
    fn drop(&mut self) {
        self.end(Err(FlightLost));
    }
}

impl<K, V> fmt::Debug for Landing<K, V>
where
    K: Eq + Hash,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Landing")
            .field("flight", &self.slot.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
