//! A call that waits on order.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Where a call waits until whoever ordered it lets it go on.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Semaphores>);

#[derive(Debug)]
struct Semaphores {
    reached: Semaphore,
    open: Semaphore,
}

impl Gate {
    /// A closed gate, and what opens it.
    pub(super) fn closed() -> (Self, Held) {
        let gate = Self(Arc::new(Semaphores {
            reached: Semaphore::new(0),
            open: Semaphore::new(0),
        }));
        (gate.clone(), Held(gate))
    }

    /// Tells that the call has come, and waits.
    pub(super) async fn wait(&self) {
        self.0.reached.add_permits(1);
        drop(self.0.open.acquire().await);
    }
}

/// A call that waits, or will. Dropping this releases it.
#[derive(Debug)]
pub struct Held(Gate);

impl Held {
    /// Waits until the call has come.
    pub async fn reached(&self) {
        drop(self.0.0.reached.acquire().await);
    }

    /// Lets the call go on.
    pub fn release(self) {}
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.open.add_permits(1);
    }
}
