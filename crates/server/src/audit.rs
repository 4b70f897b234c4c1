//! The audit trail: every disclosure of a token, every change and every refusal.
//!
//! What happened is noted in memory ([`queue`]) and written in batches by one task a replica ([`writer`]), so a request
//! pays for a look into a table and no more. The store numbers the records and chains them ([`chain`]): whoever can
//! write the database and has no sealing key can neither alter a record nor remove one without breaking the chain
//! ([`verify`] finds it). What is written is also given out as JSON lines ([`lines`]).
//!
//! A record says who, what, when, from where and which generation. It never holds a token, nor anything that a token
//! could be guessed from.

pub mod action;
pub mod chain;
mod effect;
pub mod lines;
pub mod queue;
pub mod record;
pub mod verify;
pub mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::change::ChangeSet;
use evergrant_core::clock::Clock;
use evergrant_core::ids::{Generation, GrantId};
use thiserror::Error;
use tokio::sync::watch;

use self::queue::{Full, Queue};
use self::record::{Act, Entry, OK};

/// How long a request waits for its record in strict mode.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is noted goes here; cheap to clone. Without a trail, nothing is.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Trail>>);

struct Trail {
    queue: Arc<Queue>,
    /// The last batch that is in the store.
    stored: watch::Receiver<u64>,
    is_strict: bool,
    clock: Arc<dyn Clock>,
}

/// In strict mode: what was done is not on record, so its answer is not given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the audit trail cannot be written, and nothing is answered without a record")]
pub struct Unrecorded;

/// A promise that what was noted comes into the store.
#[derive(Debug, Clone, Copy)]
#[must_use = "in strict mode nothing is answered before its record is in the store"]
pub struct Ticket(Result<u64, Full>);

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

impl Audit {
    /// A trail that is written by whoever empties `queue` and tells of it in `stored`.
    pub fn new(
        queue: Arc<Queue>,
        stored: watch::Receiver<u64>,
        is_strict: bool,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Some(Arc::new(Trail {
            queue,
            stored,
            is_strict,
            clock,
        })))
    }

    /// Notes what a caller did or was refused, `times` times by now.
    pub fn note(&self, act: Act) -> Ticket {
        let Some(trail) = &self.0 else {
            return Ticket(Ok(0));
        };
        Ticket(trail.queue.push(Entry::new(act, trail.clock.now())))
    }

    /// In strict mode, refuses where what is about to be done could not go on record: the last batch could not be
    /// written, or there is no room.
    pub fn ready(&self) -> Result<(), Unrecorded> {
        match self.0.as_ref().filter(|trail| trail.is_strict) {
            Some(trail) if !trail.queue.is_ready() => Err(Unrecorded),
            _ => Ok(()),
        }
    }

    /// In strict mode, waits until what was noted is in the store. Cancelled, it is written all the same.
    pub async fn on_record(&self, ticket: Ticket) -> Result<(), Unrecorded> {
        let Some(trail) = self.0.as_ref().filter(|trail| trail.is_strict) else {
            return Ok(());
        };
        trail.wait(ticket.0.map_err(|Full| Unrecorded)?).await
    }

    /// Waits until all that was noted before is in the store, whatever the mode.
    pub async fn flushed(&self) -> Result<(), Unrecorded> {
        match &self.0 {
            None => Ok(()),
            Some(trail) => trail.wait(trail.queue.batch()).await,
        }
    }

    /// Notes what a change of the store did, whoever asked for it.
    pub(crate) fn changed(&self, change: &ChangeSet) {
        if self.0.is_some() {
            for act in effect::of_change(change) {
                self.effect(act);
            }
        }
    }

    /// Notes that a grant was refreshed and has this generation now.
    pub(crate) fn refreshed(&self, grant: &GrantId, generation: Generation) {
        self.effect(effect::of_grant(
            "TokensRefreshed",
            grant,
            Some(generation),
            OK,
        ));
    }

    /// Notes that a refresh of a grant failed, and will be tried again.
    pub(crate) fn refresh_failed(&self, grant: &GrantId, reason: &'static str) {
        self.effect(effect::of_grant("RefreshFailed", grant, None, reason));
    }

    /// Notes that tokens of a grant came too late, and were put aside.
    pub(crate) fn kept_aside(&self, grant: &GrantId, base: Generation) {
        self.effect(effect::of_grant("TokensKeptAside", grant, Some(base), OK));
    }

    /// Nobody waits for the record of what has happened already; one that finds no room is counted.
    fn effect(&self, act: Act) {
        let Ticket(Ok(_) | Err(Full)) = self.note(act);
    }
}

impl Trail {
    async fn wait(&self, batch: u64) -> Result<(), Unrecorded> {
        self.queue.hurry();
        let mut stored = self.stored.clone();
        let stored = stored.wait_for(|stored| *stored >= batch);
        match tokio::time::timeout(PATIENCE, stored).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Unrecorded),
        }
    }
}

#[cfg(test)]
mod tests;
