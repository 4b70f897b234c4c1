//! One stream's place in the event log.

use std::pin::pin;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::watch;

use super::tail::{Head, Tail};
use super::{Event, LogEpoch};
use crate::store::StoreError;

/// Events of one batch, so that a stream never holds more than this in memory.
const BATCH: usize = 100;

/// Reads the log from a given place on, from the tail's ring where it reaches, else from the store.
#[derive(Debug)]
pub struct Reader {
    tail: Arc<Tail>,
    head: watch::Receiver<Head>,
    epoch: LogEpoch,
    after: u64,
}

/// Why a reader cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Events after its place are no longer kept.
    #[error("events after {after} are no longer kept, the log begins after {floor}")]
    Expired {
        /// Where the reader stood.
        after: u64,
        /// Events up to this are gone.
        floor: u64,
    },
    /// The log is another one, or was restored from a backup.
    #[error("the event log was replaced")]
    EpochChanged,
    /// The log cannot be read now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reader {
    /// A reader that begins right after `after` in the log of `epoch`.
    pub fn new(tail: Arc<Tail>, epoch: LogEpoch, after: u64) -> Self {
        let head = tail.head();
        Self {
            tail,
            head,
            epoch,
            after,
        }
    }

    /// A reader that begins with what the tail reads from now on.
    pub fn at_head(tail: Arc<Tail>) -> Self {
        let Head { epoch, seq, .. } = tail.head().borrow().clone();
        Self::new(tail, epoch, seq)
    }

    /// The number up to which everything was read.
    pub fn position(&self) -> u64 {
        self.after
    }

    /// The life of the log that is read.
    pub fn epoch(&self) -> &LogEpoch {
        &self.epoch
    }

    /// How far the tail is known to have read.
    pub fn head(&self) -> Head {
        self.head.borrow().clone()
    }

    /// The next events in order, without waiting: at most a hundred, none when the reader has caught up.
    ///
    /// When this is cancelled nothing is lost: the reader stands where it stood.
    pub async fn next_batch(&mut self) -> Result<Vec<Arc<Event>>, ReadError> {
        let head = self.head.borrow_and_update().clone();
        if head.broken || head.epoch != self.epoch {
            return Err(ReadError::EpochChanged);
        }
        let events = match self.tail.recent(&self.epoch, self.after, BATCH) {
            Some(events) => events,
            // Boxed: most streams never need it, and would keep room for it.
            None => Box::pin(self.catch_up(head.seq)).await?,
        };
        if let Some(last) = events.last() {
            self.after = last.seq;
        }
        Ok(events)
    }

    /// Waits until the tail has read further, or wakes its readers ([`Tail::wake_readers`]). It does not wait if `is_due`,
    /// which is asked when no waking can be missed any more. Cancelling it changes nothing.
    pub async fn changed(&mut self, is_due: impl FnOnce() -> bool) {
        let mut news = pin!(self.tail.news.notified());
        // Before the look, so that nothing slips in between.
        news.as_mut().enable();
        if !is_due() && !self.head.has_changed().unwrap_or(true) {
            news.await;
        }
    }

    async fn catch_up(&self, head: u64) -> Result<Vec<Arc<Event>>, ReadError> {
        metrics::counter!("evergrant_stream_catch_ups_total").increment(1);
        let _place = self.tail.catch_ups.acquire().await;
        let limit = u32::try_from(BATCH).unwrap_or(u32::MAX);
        let (mut events, position) = self.tail.store.events_after(self.after, limit).await?;
        if position.epoch != self.epoch {
            return Err(ReadError::EpochChanged);
        }
        // The floor was read after the page, so a page that was pruned under the read is noticed.
        if position.floor > self.after {
            return Err(ReadError::Expired {
                after: self.after,
                floor: position.floor,
            });
        }
        // No further than the tail, whose order and density were checked.
        events.retain(|event| event.seq <= head);
        let is_dense = (self.after + 1..)
            .zip(&events)
            .all(|(seq, event)| event.seq == seq);
        if !is_dense {
            return Err(ReadError::EpochChanged);
        }
        Ok(events.into_iter().map(Arc::new).collect())
    }
}
