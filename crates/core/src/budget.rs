//! Budgets: how much a replica asks of the token endpoint that an OAuth client is used with.
//!
//! A refresh takes a [`Place`] before it takes a lock or a lease, so that nothing is held while it waits. Callers come
//! first: a renewal in the background never waits for a place, and leaves a quarter of the places and of the calls of
//! a minute to refreshes for which somebody waits. Waiting has an end, and so does every answer's reason to wait.
//!
//! A provider that answers 429 with `Retry-After` is left alone for so long by all grants of the client. Once half of
//! that time is over a single refresh for which a caller waits may find out whether it is over sooner. At the end,
//! callers go first, and renewals follow spread out.
//!
//! All of this is known to one replica alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::ids::ClientKey;
use crate::provider::Limits;
use window::{Taken, Window};

mod window;

/// How long a refresh waits for a place at most.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// When to come again where nobody can tell when a place will be free.
const SOON: Duration = Duration::from_secs(2);
/// A provider that asks to be left alone for longer is asked again after this all the same.
const LONGEST_THROTTLE: Duration = Duration::from_secs(3600);

/// Whether somebody waits for a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A caller does.
    Interactive,
    /// Nobody does.
    Background,
}

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Why.
    pub cause: FullCause,
    /// When to come again.
    pub retry_after: Duration,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullCause {
    /// As many refreshes run as may at a time.
    Concurrency,
    /// As many calls were made within a minute as may be.
    Rate,
    /// The provider asked to be left alone.
    Throttled,
}

/// How much of a budget is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Refreshes that may run at a time.
    pub concurrent: usize,
    /// Refreshes that run.
    pub in_use: usize,
    /// Refreshes that wait for a place.
    pub waiting: usize,
    /// Calls that may be made in a minute; `None` for any number.
    pub per_minute: Option<u32>,
    /// Calls that were made within the last minute. Counted only where there is a limit.
    pub used_last_minute: usize,
    /// For how long the provider asks to be left alone still.
    pub throttled_for: Option<Duration>,
}

/// The budgets of all clients.
#[derive(Debug)]
pub struct Budgets {
    concurrent: usize,
    by_client: Mutex<HashMap<ClientKey, Arc<Budget>>>,
}

/// The right to make the calls of one refresh. Dropped, it is free for the next one.
#[derive(Debug)]
pub struct Place {
    budget: Arc<Budget>,
    _permits: [Option<OwnedSemaphorePermit>; 2],
    waited: bool,
    taken: Taken,
    called: AtomicBool,
}

#[derive(Debug)]
struct Budget {
    concurrent: usize,
    /// One permit for each refresh that may run.
    places: Arc<Semaphore>,
    /// One more for each of them that is a renewal, of which there are fewer.
    renewals: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Held by the refresh that is the next to make a call, so that they take turns.
    turn: tokio::sync::Mutex<()>,
    window: Mutex<Window>,
}

impl Budgets {
    /// Budgets of `concurrent` refreshes at a time, where nothing else is said of a client.
    pub fn new(concurrent: usize) -> Self {
        Self {
            concurrent,
            by_client: Mutex::default(),
        }
    }

    /// A place for a refresh of `client`, whose `limits` count from its first refresh on. A renewal gets one at once or
    /// not at all; another refresh waits for [`PATIENCE`] at most, and not at all while the client is throttled.
    ///
    /// Cancelling it costs nothing.
    pub async fn enter(
        &self,
        client: &ClientKey,
        limits: Limits,
        urgency: Urgency,
    ) -> Result<Place, Full> {
        let budget = self.of(client, limits);
        match urgency {
            Urgency::Background => budget.enter_at_once(),
            Urgency::Interactive => {
                let waits = Waits::begin(&budget.waiting);
                let entered = budget.enter_in_turn();
                let entered = tokio::time::timeout(PATIENCE, entered).await;
                drop(waits);
                entered.unwrap_or_else(|_| Err(budget.full()))
            }
        }
    }

    /// Why a refresh for which a caller waits would get no place however long it waited; `None` if it may.
    pub fn refusal(&self, client: &ClientKey) -> Option<Full> {
        let budget = self.known(client)?;
        budget.window().refusal(PATIENCE)
    }

    /// How many renewals of the client would get a place now. Its `limits` count from now on, if it was never refreshed
    /// here.
    pub fn room(&self, client: &ClientKey, limits: Limits) -> usize {
        let budget = self.of(client, limits);
        let calls = budget.window().room();
        let places = budget.places.available_permits();
        calls.min(places).min(budget.renewals.available_permits())
    }

    /// The provider asked to be left alone for so long (an hour at most).
    pub fn throttle(&self, client: &ClientKey, asked: Duration) {
        if let Some(budget) = self.known(client) {
            budget.window().throttle(asked.min(LONGEST_THROTTLE));
        }
    }

    /// The provider answered a refresh of the client with tokens. If that was the probe of a throttled client, callers
    /// need not wait any longer.
    pub fn accepted(&self, client: &ClientKey) {
        if let Some(budget) = self.known(client) {
            budget.window().relent();
        }
    }

    /// How much of a client's budget is in use. Its `limits` count from now on, if it was never refreshed here.
    pub fn usage(&self, client: &ClientKey, limits: Limits) -> Usage {
        let budget = self.of(client, limits);
        let Budget {
            concurrent,
            places,
            waiting,
            ..
        } = &*budget;
        let (per_minute, used_last_minute, throttled_for) = budget.window().usage();
        Usage {
            concurrent: *concurrent,
            in_use: concurrent.saturating_sub(places.available_permits()),
            waiting: waiting.load(Ordering::Relaxed),
            per_minute,
            used_last_minute,
            throttled_for,
        }
    }

    fn of(&self, client: &ClientKey, limits: Limits) -> Arc<Budget> {
        let mut budgets = self.by_client();
        if let Some(budget) = budgets.get(client) {
            return Arc::clone(budget);
        }
        let concurrent = limits
            .concurrent
            .and_then(|most| usize::try_from(most).ok());
        let concurrent = concurrent.unwrap_or(self.concurrent);
        let budget = Arc::new(Budget::new(concurrent, limits.per_minute));
        budgets.insert(client.clone(), Arc::clone(&budget));
        budget
    }

    fn known(&self, client: &ClientKey) -> Option<Arc<Budget>> {
        self.by_client().get(client).cloned()
    }

    fn by_client(&self) -> std::sync::MutexGuard<'_, HashMap<ClientKey, Arc<Budget>>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    fn new(concurrent: usize, per_minute: Option<u32>) -> Self {
        let concurrent = concurrent.clamp(1, Semaphore::MAX_PERMITS);
        let renewals = concurrent - reserved(concurrent);
        Self {
            concurrent,
            places: Arc::new(Semaphore::new(concurrent)),
            renewals: Arc::new(Semaphore::new(renewals)),
            waiting: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::new(()),
            window: Mutex::new(Window::new(per_minute)),
        }
    }

    /// Why there was no place in all that time.
    fn full(&self) -> Full {
        let cause = match self.places.available_permits() {
            0 => FullCause::Concurrency,
            _ => FullCause::Rate,
        };
        let retry_after = SOON;
        Full { cause, retry_after }
    }

    fn enter_at_once(self: &Arc<Self>) -> Result<Place, Full> {
        let busy = |_| Full {
            cause: FullCause::Concurrency,
            retry_after: SOON,
        };
        let renewal = Arc::clone(&self.renewals).try_acquire_owned();
        let renewal = renewal.map_err(busy)?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(busy)?;
        let taken = self.window().take(Urgency::Background)?;
        Ok(self.place([Some(place), Some(renewal)], false, taken))
    }

    async fn enter_in_turn(self: &Arc<Self>) -> Result<Place, Full> {
        if let Some(retry_after) = self.window().throttled(Urgency::Interactive) {
            let cause = FullCause::Throttled;
            return Err(Full { cause, retry_after });
        }
        let mut waited = false;
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                waited = true;
                // It is never closed.
                Arc::clone(&self.places).acquire_owned().await.ok()
            }
        };
        let _turn = self.turn.lock().await;
        let began = Instant::now();
        loop {
            let full = match self.window().take(Urgency::Interactive) {
                Ok(taken) => return Ok(self.place([place, None], waited, taken)),
                Err(full) => full,
            };
            let patient = began.elapsed() + full.retry_after <= PATIENCE;
            if full.cause == FullCause::Throttled || !patient {
                return Err(full);
            }
            waited = true;
            tokio::time::sleep(full.retry_after).await;
        }
    }

    fn place(
        self: &Arc<Self>,
        permits: [Option<OwnedSemaphorePermit>; 2],
        waited: bool,
        taken: Taken,
    ) -> Place {
        Place {
            budget: Arc::clone(self),
            _permits: permits,
            waited,
            taken,
            called: AtomicBool::new(false),
        }
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether it was free only after a while, in which the world may have changed.
    pub fn waited(&self) -> bool {
        self.waited
    }

    /// A call is made.
    pub fn call(&self) {
        // The first was counted when the place was taken.
        if self.called.swap(true, Ordering::Relaxed) {
            self.budget.window().count();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !*self.called.get_mut() {
            self.budget.window().give_back(self.taken);
        }
    }
}

/// How many of `all` are for callers alone: a quarter, and at least one unless it is the only one.
fn reserved(all: usize) -> usize {
    (all / 4).max(1).min(all - 1)
}

/// A refresh that waits, be it in vain or cancelled.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
