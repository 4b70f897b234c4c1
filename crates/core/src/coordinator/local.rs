//! The ports for a server that shares its coordination with nobody.
//!
//! With them a crowd on several replicas reaches the database, where one claim wins; nothing else changes.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{Acquired, Bus, LockHolder, Locks, Notice, Unreachable};
use crate::ids::{GrantId, OwnerToken};

/// Notices that a slow subscriber may be behind before it lags.
pub const BUS_CAPACITY: usize = 4096;

/// No lock at all: everyone wins, always.
///
/// Within one process a grant has one flight, and between processes the claim in the database decides who
/// calls the provider. A lock in front of it only spares the database the losers.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalLocks;

#[async_trait]
impl Locks for LocalLocks {
    async fn acquire(
        &self,
        _grant: &GrantId,
        _owner: &OwnerToken,
        _ttl: Duration,
    ) -> Result<Acquired, Unreachable> {
        Ok(Acquired::Won)
    }

    async fn renew(
        &self,
        _grant: &GrantId,
        _owner: &OwnerToken,
        _ttl: Duration,
    ) -> Result<bool, Unreachable> {
        Ok(true)
    }

    async fn release(&self, _grant: &GrantId, _owner: &OwnerToken) -> Result<bool, Unreachable> {
        Ok(true)
    }

    async fn holder(&self, _grant: &GrantId) -> Result<Option<LockHolder>, Unreachable> {
        Ok(None)
    }
}

/// Carries notices within this process.
#[derive(Debug, Clone)]
pub struct LocalBus {
    notices: broadcast::Sender<Notice>,
}

impl LocalBus {
    /// A bus without subscribers.
    pub fn new() -> Self {
        Self {
            notices: broadcast::Sender::new(BUS_CAPACITY),
        }
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn publish(&self, notice: Notice) {
        // Without a subscriber there is nobody to tell, which is no failure.
        let _ = self.notices.send(notice);
    }

    fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::coordinator_contract::Pair;

    crate::bus_contract!(async {
        let bus = Arc::new(LocalBus::new());
        Pair::new(bus.clone() as Arc<dyn Bus>, bus)
    });

    #[tokio::test]
    async fn a_local_lock_never_holds_anyone_up() {
        let grant = GrantId::random();
        for _ in 0..2 {
            let owner = OwnerToken::random();
            let won = LocalLocks.acquire(&grant, &owner, Duration::from_secs(1));
            assert_eq!(won.await, Ok(Acquired::Won));
            assert_eq!(LocalLocks.release(&grant, &owner).await, Ok(true));
        }
    }
}
