//! Locks, escrow and bus in memory, with the faults of a real coordination service on demand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::coordinator::local::BUS_CAPACITY;
use crate::coordinator::{
    Acquired, Bus, Escrow, EscrowEntry, LockHolder, Locks, Notice, Unreachable,
};
use crate::ids::{Generation, GrantId, OwnerToken};

/// One coordination service in memory. Replicas under test share it by its [`Arc`].
///
/// Locks expire by [`tokio::time`], so paused time works. Without a fault every command answers at once.
#[derive(Debug)]
pub struct MemoryCoordinator {
    state: Mutex<State>,
    notices: broadcast::Sender<Notice>,
}

#[derive(Debug, Default)]
struct State {
    locks: HashMap<GrantId, (OwnerToken, Instant)>,
    escrow: HashMap<GrantId, EscrowEntry>,
    left_behind: Vec<EscrowEntry>,
    faults: Faults,
    commands: u64,
}

/// What is wrong with the service.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Commands do nothing and fail, and notices are lost.
    pub down: bool,
    /// So many of the next commands act and then fail, as if the answer had been lost.
    pub lost_answers: u32,
    /// Every command takes this long.
    pub delay: Duration,
    /// Notices are lost, also to subscribers of the process that publishes.
    pub lost_notices: bool,
}

impl MemoryCoordinator {
    /// An empty service without faults.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            notices: broadcast::Sender::new(BUS_CAPACITY),
        })
    }

    /// Changes what is wrong from now on, e.g. `set(|faults| faults.down = true)`.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// Forgets locks and escrow, as `FLUSHALL` does.
    pub fn flush(&self) {
        let mut state = self.state();
        state.locks.clear();
        state.escrow.clear();
    }

    /// Ends the lock of a grant before its time.
    pub fn expire_lock(&self, grant: &GrantId) {
        self.state().locks.remove(grant);
    }

    /// Who holds the lock of a grant.
    pub fn holder(&self, grant: &GrantId) -> Option<OwnerToken> {
        self.state().live_lock(grant).map(|(owner, _)| owner)
    }

    /// The kept entry of a grant.
    pub fn escrowed(&self, grant: &GrantId) -> Option<EscrowEntry> {
        self.state().escrow.get(grant).cloned()
    }

    /// Whether no lock is live and no entry is kept.
    pub fn is_quiescent(&self) -> bool {
        let state = self.state();
        let now = Instant::now();
        state.escrow.is_empty() && state.locks.values().all(|(_, ends)| *ends <= now)
    }

    /// Makes [`Escrow::left_behind`] answer with `entries` that are not removed yet, as a journal does after
    /// a crash.
    pub fn leave_behind(&self, entries: Vec<EscrowEntry>) {
        let mut state = self.state();
        for entry in &entries {
            state.escrow.insert(entry.grant.clone(), entry.clone());
        }
        state.left_behind = entries;
    }

    /// How many commands came, failed ones included.
    pub fn commands(&self) -> u64 {
        self.state().commands
    }

    /// One command: waits, acts and answers as the faults say.
    async fn command<T>(&self, act: impl FnOnce(&mut State) -> T) -> Result<T, Unreachable> {
        let delay = {
            let mut state = self.state();
            state.commands += 1;
            state.faults.delay
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut state = self.state();
        if state.faults.down {
            return Err(unreachable("it is down"));
        }
        let answer = act(&mut state);
        if state.faults.lost_answers > 0 {
            state.faults.lost_answers -= 1;
            return Err(unreachable("the answer was lost"));
        }
        Ok(answer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn live_lock(&self, grant: &GrantId) -> Option<(OwnerToken, Duration)> {
        let (owner, ends) = self.locks.get(grant)?;
        let left = ends.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then(|| (owner.clone(), left))
    }

    fn hold(&mut self, grant: &GrantId, owner: &OwnerToken, ttl: Duration) {
        let ends = Instant::now() + ttl;
        self.locks.insert(grant.clone(), (owner.clone(), ends));
    }

    fn is_held_by(&self, grant: &GrantId, owner: &OwnerToken) -> bool {
        self.live_lock(grant)
            .is_some_and(|(holder, _)| holder == *owner)
    }
}

fn unreachable(message: &str) -> Unreachable {
    Unreachable {
        service: "memory",
        message: message.to_owned(),
    }
}

#[async_trait]
impl Locks for MemoryCoordinator {
    async fn acquire(
        &self,
        grant: &GrantId,
        owner: &OwnerToken,
        ttl: Duration,
    ) -> Result<Acquired, Unreachable> {
        self.command(|state| match state.live_lock(grant) {
            Some((holder, left)) if holder != *owner => Acquired::HeldElsewhere { left },
            _ => {
                state.hold(grant, owner, ttl);
                Acquired::Won
            }
        })
        .await
    }

    async fn renew(
        &self,
        grant: &GrantId,
        owner: &OwnerToken,
        ttl: Duration,
    ) -> Result<bool, Unreachable> {
        self.command(|state| {
            let held = state.is_held_by(grant, owner);
            if held {
                state.hold(grant, owner, ttl);
            }
            held
        })
        .await
    }

    async fn release(&self, grant: &GrantId, owner: &OwnerToken) -> Result<bool, Unreachable> {
        self.command(|state| {
            let held = state.is_held_by(grant, owner);
            if held {
                state.locks.remove(grant);
            }
            held
        })
        .await
    }

    async fn holder(&self, grant: &GrantId) -> Result<Option<LockHolder>, Unreachable> {
        self.command(|state| {
            let (owner, left) = state.live_lock(grant)?;
            Some(LockHolder { owner, left })
        })
        .await
    }
}

#[async_trait]
impl Escrow for MemoryCoordinator {
    async fn put(&self, entry: &EscrowEntry) -> Result<(), Unreachable> {
        self.command(|state| {
            let kept = state.escrow.get(&entry.grant);
            if kept.is_none_or(|kept| kept.base <= entry.base) {
                state.escrow.insert(entry.grant.clone(), entry.clone());
            }
        })
        .await
    }

    async fn find(
        &self,
        grant: &GrantId,
        base: Generation,
    ) -> Result<Option<EscrowEntry>, Unreachable> {
        self.command(|state| {
            let kept = state.escrow.get(grant);
            kept.filter(|kept| kept.base >= base).cloned()
        })
        .await
    }

    async fn remove(&self, grant: &GrantId, base: Generation) -> Result<(), Unreachable> {
        self.command(|state| {
            if state
                .escrow
                .get(grant)
                .is_some_and(|kept| kept.base <= base)
            {
                state.escrow.remove(grant);
            }
        })
        .await
    }

    async fn left_behind(&self) -> Result<Vec<EscrowEntry>, Unreachable> {
        self.command(|state| {
            let State {
                escrow,
                left_behind,
                ..
            } = state;
            left_behind.retain(|entry| escrow.get(&entry.grant) == Some(entry));
            left_behind.clone()
        })
        .await
    }
}

#[async_trait]
impl Bus for MemoryCoordinator {
    async fn publish(&self, notice: Notice) {
        let lost = {
            let state = self.state();
            state.faults.down || state.faults.lost_notices
        };
        if !lost {
            // Without a subscriber there is nobody to tell, which is no failure.
            let _ = self.notices.send(notice);
        }
    }

    fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

#[cfg(test)]
mod tests;
