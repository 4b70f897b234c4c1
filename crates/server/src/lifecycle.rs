//! One object for the life of the process: serving, draining, gone.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// Tells every task when to stop, and waits for them.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Lifecycle {
    /// A process that has just begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when draining begins: nothing new is begun, and what has begun goes on to its end.
    pub fn stop(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// On which every task of the process is spawned, so that draining waits for it.
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Cancelled when draining has ended, for what must be there until then and is not waited for: probes and
    /// metrics, which are of most use while a process takes its time to leave.
    pub fn end(&self) -> CancellationToken {
        self.end.clone()
    }

    /// Begins to drain.
    pub fn drain(&self) {
        self.soft.cancel();
        self.tracker.close();
    }

    /// Waits until all tasks have ended, for `at_most`, which ends the draining. `false`: some have not, and are dropped with the
    /// runtime.
    pub async fn drained(&self, at_most: Duration) -> bool {
        let ended = tokio::time::timeout(at_most, self.tracker.wait())
            .await
            .is_ok();
        if !ended {
            warn!(
                tasks = self.tracker.len(),
                limit_seconds = at_most.as_secs_f64(),
                "not everything ended in time"
            );
        }
        self.end.cancel();
        ended
    }

    /// Drains at the first SIGTERM or SIGINT and ends the process at once at the second. Returns after the
    /// first; the second is watched for by a task of its own.
    pub async fn until_signalled(&self) -> std::io::Result<()> {
        let mut signals = Signals::listen()?;
        let name = signals.next().await;
        info!(signal = name, "draining");
        self.drain();
        // Not tracked: draining must not wait for it.
        #[expect(clippy::disallowed_methods, reason = "it outlives the drain by design")]
        tokio::spawn(async move {
            let name = signals.next().await;
            warn!(signal = name, "a second signal, stopping at once");
            std::process::exit(1);
        });
        Ok(())
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_tasks_and_no_longer_than_it_may() {
        let life = Lifecycle::new();
        let stop = life.stop();
        life.tracker().spawn(async move { stop.cancelled().await });
        life.drain();
        assert!(life.drained(Duration::from_secs(1)).await);

        let life = Lifecycle::new();
        life.tracker().spawn(std::future::pending::<()>());
        life.drain();
        assert!(!life.drained(Duration::from_secs(1)).await);
    }
}
