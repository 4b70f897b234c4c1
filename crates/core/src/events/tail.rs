//! The tail of the event log: one reader per replica that feeds all streams.
//!
//! It reads what is new when a notice comes and at every poll, checks that nothing is missing, and keeps the newest
//! events in a ring that all streams share. Where something is missing it reads no further until the log has a new
//! epoch, with which it begins anew. A stream that falls behind the ring reads from the store by itself
//! ([`super::reader`]), so a slow reader loses nothing and holds nobody up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::page::Page;
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
    ring: Mutex<Ring>,
    head: watch::Sender<Head>,
    /// Wakes who waits for the head to change, first come, first served: streams that came over one connection are
    /// woken one after the other, and their messages leave together.
    pub(super) news: Notify,
}

/// The newest events of one life of the log, without a gap.
struct Ring {
    epoch: LogEpoch,
    events: VecDeque<Arc<Event>>,
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
    /// The tail met a hole, and reads no more of this life of the log.
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
            ring: Mutex::new(Ring {
                epoch: head.epoch.clone(),
                events: VecDeque::new(),
            }),
            head: watch::Sender::new(head),
            news: Notify::new(),
        }))
    }

    /// How far the tail has read, and every later change of it.
    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Events of the ring numbered above `after`, at most `limit`. `None` if the ring does not reach back so
    /// far, or is of another epoch.
    pub fn recent(&self, epoch: &LogEpoch, after: u64, limit: usize) -> Option<Vec<Arc<Event>>> {
        let head = self.head.borrow().seq;
        if after >= head {
            return Some(Vec::new());
        }
        let ring = self.ring();
        let events = (ring.epoch == *epoch).then_some(&ring.events)?;
        let first = events.front()?.seq;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        Some(events.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Wakes every reader that waits, so that each looks whether something else than the log concerns it
    /// ([`Reader::changed`](super::reader::Reader::changed)).
    pub fn wake_readers(&self) {
        self.news.notify_waiters();
    }

    /// Follows the log until `stop` is cancelled. `observe` sees every event once, in order.
    pub async fn run(
        &self,
        mut notices: broadcast::Receiver<Notice>,
        observe: impl Fn(&Event) + Send,
        stop: CancellationToken,
    ) {
        let mut reached = self.head.borrow().seq;
        loop {
            self.advance(&mut reached, &observe).await;
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
                () = stop.cancelled() => {
                    // Who waits for the log also wants to know.
                    self.tell(|_| true);
                    return;
                }
            }
        }
    }

    /// Reads all that is new. `reached`: how far the log is known to reach.
    async fn advance(&self, reached: &mut u64, observe: &(impl Fn(&Event) + Send)) {
        loop {
            let Head {
                epoch,
                seq: after,
                broken,
                ..
            } = self.head.borrow().clone();
            if broken && !self.is_replaced(&epoch).await {
                return;
            }
            let (events, position) = match self.store.events_after(after, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    debug!(%error, "the event log cannot be read");
                    return;
                }
            };
            let full = events.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
            match Page::judge(&events, full, &position, &epoch, after, *reached) {
                Page::Replaced => {
                    info!(
                        epoch = %position.epoch.0,
                        head = position.head,
                        floor = position.floor,
                        "the event log has a new epoch; streams begin anew"
                    );
                    *reached = position.head;
                    self.begin_anew(position.epoch, position.head);
                    continue;
                }
                Page::Next => {}
                Page::Pruned => {
                    warn!(
                        after,
                        epoch = %position.epoch.0,
                        head = position.head,
                        floor = position.floor,
                        "events were pruned before they were read here"
                    );
                    self.begin_anew(position.epoch, position.floor);
                    continue;
                }
                Page::Broken => {
                    error!(
                        after,
                        epoch = %position.epoch.0,
                        head = position.head,
                        floor = position.floor,
                        "the event log is not what it was; streams must begin anew"
                    );
                    self.tell(|head| !std::mem::replace(&mut head.broken, true));
                    return;
                }
            }
            *reached = position.head;
            let last = events.last().map_or(after, |event| event.seq);
            for event in &events {
                observe(event);
            }
            self.push(events);
            self.tell(|head| {
                head.read_at = Instant::now();
                // Thousands of streams wait here: they are woken for events, not for each look.
                std::mem::replace(&mut head.seq, last) != last
            });
            if !full {
                return;
            }
        }
    }

    /// Whether the log is no longer that of `epoch`, as far as can be told.
    async fn is_replaced(&self, epoch: &LogEpoch) -> bool {
        let position = self.store.position().await;
        position.is_ok_and(|position| position.epoch != *epoch)
    }

    /// Goes on after `seq` in the log of `epoch`, and forgets what was before.
    fn begin_anew(&self, epoch: LogEpoch, seq: u64) {
        {
            let mut ring = self.ring();
            ring.epoch = epoch.clone();
            ring.events.clear();
        }
        self.tell(|head| {
            *head = Head {
                epoch,
                seq,
                read_at: Instant::now(),
                broken: false,
            };
            true
        });
    }

    /// Changes the head, and wakes who waits for that if `change` says so.
    fn tell(&self, change: impl FnOnce(&mut Head) -> bool) {
        if self.head.send_if_modified(change) {
            self.news.notify_waiters();
        }
    }

    fn push(&self, events: Vec<Event>) {
        let mut ring = self.ring();
        ring.events.extend(events.into_iter().map(Arc::new));
        let excess = ring.events.len().saturating_sub(self.options.ring);
        ring.events.drain(..excess);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
