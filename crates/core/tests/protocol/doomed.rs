//! A leader that can be killed at any point at which it waits.

use std::sync::Arc;

use evergrant_core::breaker::ClientBreaker;
use evergrant_core::budget::Budgets;
use evergrant_core::ids::CredentialKey;
use evergrant_core::memory::Memory;
use evergrant_core::refresh::{Cause, Refresher, Subject, Trigger};
use evergrant_core::singleflight::Flights;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Span;

use super::world::World;

/// A process of its own that refreshes one grant.
pub struct Doomed(JoinHandle<()>);

impl Doomed {
    /// Begins to refresh the grant of `key`.
    pub async fn begin(world: &World, key: &CredentialKey) -> Self {
        let grant = world.grant(key).await;
        let refresher = Arc::new(Refresher::new(
            world.ports(),
            world.limits,
            Arc::new(Memory::new(10)),
            Arc::new(ClientBreaker::default()),
            Arc::new(Budgets::new(world.limits.per_client)),
            CancellationToken::new(),
        ));
        let trigger = Trigger {
            seen: grant.facts.generation,
            cause: Cause::Expiry,
        };
        let tracker = TaskTracker::new();
        let id = grant.facts.id;
        let mut task = None;
        Flights::new(tracker.clone()).join(id.clone(), Span::none, |landing| {
            task = Some(tracker.spawn(refresher.fly(id, trigger, Subject::default(), landing)));
            std::future::ready(())
        });
        Self(task.unwrap())
    }

    /// It is gone: whatever it waited for is dropped, and it does nothing more.
    pub async fn crash(self) {
        self.0.abort();
        assert!(self.0.await.unwrap_err().is_cancelled(), "it had ended");
    }

    /// It crashes unless it has ended.
    pub async fn end(self) {
        self.0.abort();
        if let Err(error) = self.0.await {
            assert!(error.is_cancelled());
        }
    }
}
