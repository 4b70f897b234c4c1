//! Keeps what attempts came to, beside the work and never in its way.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::attempts::{AttemptLog, AttemptRecord};
use evergrant_core::store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Attempts that may wait to be written. What comes beyond is let go.
const WAITING: usize = 4_096;
/// Attempts that one statement writes.
const BATCH: usize = 256;
/// How long attempts gather before they are written.
const GATHER: Duration = Duration::from_millis(250);

/// Takes attempts from the refresh protocol.
#[derive(Debug)]
pub struct AttemptQueue(mpsc::Sender<AttemptRecord>);

/// Writes them to the store.
#[derive(Debug)]
pub struct AttemptWriter(mpsc::Receiver<AttemptRecord>);

/// A queue, and what empties it once it runs.
pub fn queue() -> (AttemptQueue, AttemptWriter) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (AttemptQueue(sender), AttemptWriter(receiver))
}

impl AttemptLog for AttemptQueue {
    fn note(&self, record: AttemptRecord) {
        if self.0.try_send(record).is_err() {
            lost(1);
        }
    }
}

impl AttemptWriter {
    /// Writes until `stop` is cancelled, and then what still waits. A batch that the store does not take is let go.
    pub async fn run(mut self, store: Arc<dyn Store>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let received = tokio::select! {
                received = self.0.recv_many(&mut batch, BATCH) => received,
                () = stop.cancelled() => break,
            };
            if received == 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = stop.cancelled() => {}
            }
            while batch.len() < BATCH
                && let Ok(record) = self.0.try_recv()
            {
                batch.push(record);
            }
            write(&*store, &mut batch).await;
        }
        while let Ok(record) = self.0.try_recv() {
            batch.push(record);
        }
        write(&*store, &mut batch).await;
    }
}

async fn write(store: &dyn Store, batch: &mut Vec<AttemptRecord>) {
    if !batch.is_empty()
        && let Err(error) = store.note_attempts(batch).await
    {
        debug!(%error, attempts = batch.len(), "attempts could not be kept");
        lost(batch.len());
    }
    batch.clear();
}

fn lost(attempts: usize) {
    let attempts = u64::try_from(attempts).unwrap_or(u64::MAX);
    metrics::counter!("evergrant_attempts_lost_total").increment(attempts);
}

#[cfg(test)]
mod tests {
    use evergrant_core::attempts::AttemptOutcome;
    use evergrant_core::clock::Timestamp;
    use evergrant_core::ids::{Epoch, Generation, GrantId, ReplicaName};
    use evergrant_core::refresh::Cause;
    use evergrant_core::store::GrantStore as _;
    use evergrant_core::testing::clock::ManualClock;
    use evergrant_core::testing::store::{MemoryStore, Op};
    use tokio_util::task::TaskTracker;

    use super::*;

    fn attempt(grant: &GrantId, epoch: u64) -> AttemptRecord {
        AttemptRecord {
            grant: grant.clone(),
            epoch: Epoch(epoch),
            replica: ReplicaName::parse("replica").unwrap(),
            cause: Cause::Expiry,
            began_at: Timestamp::from_millis(0),
            took: Duration::ZERO,
            base: Generation(1),
            left: None,
            took_over: false,
            calls: 1,
            outcome: AttemptOutcome::Gone,
            error: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_before_the_end_is_written_and_a_full_queue_blocks_nobody() {
        let store = Arc::new(MemoryStore::new(ManualClock::new()));
        let (queue, writer) = queue();
        let grants: Vec<_> = (0..WAITING + 10).map(|_| GrantId::random()).collect();
        for grant in &grants {
            queue.note(attempt(grant, 1));
        }
        let stop = CancellationToken::new();
        stop.cancel();
        writer.run(store.clone(), stop).await;
        let kept = async |grant| !store.attempts_of(grant).await.unwrap().is_empty();
        assert!(kept(&grants[0]).await && kept(&grants[WAITING - 1]).await);
        assert!(!kept(&grants[WAITING]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_the_store_does_not_take_holds_nothing_up() {
        let store = Arc::new(MemoryStore::new(ManualClock::new()));
        store.faults().fail_next(Op::NoteAttempts, 1);
        let (queue, writer) = queue();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(writer.run(store.clone(), stop.clone()));
        let (lost, kept) = (GrantId::random(), GrantId::random());
        queue.note(attempt(&lost, 1));
        tokio::time::sleep(2 * GATHER).await;
        queue.note(attempt(&kept, 1));
        tokio::time::sleep(2 * GATHER).await;
        assert_eq!(store.attempts_of(&lost).await.unwrap(), []);
        assert_eq!(store.attempts_of(&kept).await.unwrap().len(), 1);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}
