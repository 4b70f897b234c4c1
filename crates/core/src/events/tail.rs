//! The tail of the event log: one reader per replica that feeds all streams.
//!
//! It reads what is new when a notice comes and at every poll, checks that nothing is missing, and keeps the newest
//! events in a ring that all streams share. A stream that falls behind the ring reads from the store by itself
//! ([`super::reader`]), so a slow reader loses nothing and holds nobody up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::{Event, LogEpoch};
use crate::coordinator::Notice;
use crate::store::{Store, StoreError};

const PAGE: u32 = 500;
/// Streams that may read the store at a time, so that a crowd that fell behind does not starve refreshes.
const CATCH_UPS: usize = 8;

/// How the tail reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailOptions {
    /// How often to look without a notice. It bounds how late an event can be.
    pub poll: Duration,
    /// Events kept in memory.
    pub ring: usize,
}

impl Default for TailOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(250),
            ring: 16_384,
        }
    }
}

/// What all streams of this replica share.
pub struct Tail {
    pub(super) store: Arc<dyn Store>,
    pub(super) catch_ups: Semaphore,
    options: TailOptions,
    ring: Mutex<VecDeque<Arc<Event>>>,
    head: watch::Sender<Head>,
}

/// How far the tail has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The life of the log.
    pub epoch: LogEpoch,
    /// The last event that was read.
    pub seq: u64,
    /// When the log was last read with success.
    pub read_at: Instant,
    /// The tail met a hole or a changed epoch and reads no more.
    pub broken: bool,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail")
            .field("head", &*self.head.borrow())
            .finish_non_exhaustive()
    }
}

impl Tail {
    /// A tail that begins at the head of the log.
    pub async fn open(
        store: Arc<dyn Store>,
        options: TailOptions,
    ) -> Result<Arc<Self>, StoreError> {
        let position = store.position().await?;
        let head = Head {
            epoch: position.epoch,
            seq: position.head,
            read_at: Instant::now(),
            broken: false,
        };
        Ok(Arc::new(Self {
            store,
            catch_ups: Semaphore::new(CATCH_UPS),
            options,
            ring: Mutex::default(),
            head: watch::Sender::new(head),
        }))
    }

    /// How far the tail has read, and every later change of it.
    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Events of the ring numbered above `after`, at most `limit`. `None` if the ring does not reach back so
    /// far.
    pub fn recent(&self, after: u64, limit: usize) -> Option<Vec<Arc<Event>>> {
        let head = self.head.borrow().seq;
        if after >= head {
            return Some(Vec::new());
        }
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ring.front()?.seq;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        Some(ring.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Follows the log until `stop` is cancelled. `observe` sees every event once, in order.
    pub async fn run(
        &self,
        mut notices: broadcast::Receiver<Notice>,
        observe: impl Fn(&Event) + Send,
        stop: CancellationToken,
    ) {
        loop {
            self.advance(&observe).await;
            let news = async {
                loop {
                    match notices.recv().await {
                        Ok(Notice::EventsAppended { head }) if head > self.head.borrow().seq => {
                            return;
                        }
                        Ok(_) => {}
                        Err(broadcast::error::RecvError::Lagged(_)) => return,
                        Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                    }
                }
            };
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(self.options.poll) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads all that is new.
    async fn advance(&self, observe: &(impl Fn(&Event) + Send)) {
        loop {
            let (after, epoch, broken) = {
                let head = self.head.borrow();
                (head.seq, head.epoch.clone(), head.broken)
            };
            if broken {
                return;
            }
            let (events, position) = match self.store.events_after(after, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    debug!(%error, "the event log cannot be read");
                    return;
                }
            };
            let is_dense = (after + 1..)
                .zip(&events)
                .all(|(seq, event)| event.seq == seq);
            if !is_dense || position.epoch != epoch || position.head < after {
                error!(
                    after,
                    ?position,
                    "the event log is not what it was; streams must begin anew"
                );
                self.head.send_modify(|head| head.broken = true);
                return;
            }
            let full_page = events.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
            let last = events.last().map_or(after, |event| event.seq);
            if last < position.head && !full_page {
                warn!(
                    last,
                    head = position.head,
                    "the event log has a hole at its end"
                );
            }
            for event in &events {
                observe(event);
            }
            self.push(events);
            self.head.send_if_modified(|head| {
                head.read_at = Instant::now();
                // Thousands of streams wait here: they are woken for events, not for each look.
                std::mem::replace(&mut head.seq, last) != last
            });
            if !full_page {
                return;
            }
        }
    }

    fn push(&self, events: Vec<Event>) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.extend(events.into_iter().map(Arc::new));
        let excess = ring.len().saturating_sub(self.options.ring);
        ring.drain(..excess);
    }
}
