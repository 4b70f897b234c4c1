//! What waits to be written: bounded, and equal acts of one batch are counted instead of repeated.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::mem;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::{Act, Entry, RECORDS_LOST, Subject};

/// Different refusals of one caller and address in a batch that are records of their own. Further ones are counted
/// together, without what was asked for, so that who tries names in a flood does not fill the trail.
const REFUSALS_APART: u32 = 100;

/// There is no room for another record in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Entries for the next batch. Batches are numbered from 1.
#[derive(Debug)]
pub struct Queue {
    filling: Mutex<Filling>,
    capacity: usize,
    hasher: RandomState,
    hurry: Notify,
    failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Filling {
    batch: u64,
    entries: Vec<Entry>,
    /// Where an entry that is counted is, by its fingerprint.
    counted: HashMap<u64, usize>,
    refusals: HashMap<(Arc<str>, Option<IpAddr>), u32>,
    lost: Option<Entry>,
}

impl Queue {
    /// A queue of at most `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self {
            filling: Mutex::new(Filling {
                batch: 1,
                ..Filling::default()
            }),
            capacity,
            hasher: RandomState::new(),
            hurry: Notify::new(),
            failing: AtomicBool::new(false),
        }
    }

    /// Adds an entry, or counts it with one like it. Answers the batch that it is in. If there is no room, it is
    /// counted as lost, which is a record too.
    pub fn push(&self, mut entry: Entry) -> Result<u64, Full> {
        let mut filling = self.lock();
        if !entry.act.is_counted() {
            return self.append(&mut filling, entry);
        }
        let mut fingerprint = entry.fingerprint(&self.hasher);
        if filling.count(fingerprint, &entry) {
            return Ok(filling.batch);
        }
        if entry.act.is_refusal() && filling.is_flooded_by(&entry.act) {
            entry.act.subject = Subject::default();
            entry.act.detail.clear();
            fingerprint = entry.fingerprint(&self.hasher);
            if filling.count(fingerprint, &entry) {
                return Ok(filling.batch);
            }
        }
        let place = filling.entries.len();
        let batch = self.append(&mut filling, entry)?;
        filling.counted.insert(fingerprint, place);
        Ok(batch)
    }

    fn append(&self, filling: &mut Filling, entry: Entry) -> Result<u64, Full> {
        if filling.entries.len() >= self.capacity {
            filling.lose(&entry);
            metrics::counter!("evergrant_audit_records_lost_total").increment(1);
            return Err(Full);
        }
        filling.entries.push(entry);
        if filling.entries.len() == self.capacity.div_ceil(2) {
            self.hurry();
        }
        Ok(filling.batch)
    }

    /// Tells whether batches cannot be written at the moment.
    pub fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }

    /// Whether there is room, and batches are written.
    pub fn is_ready(&self) -> bool {
        !self.failing.load(Ordering::Relaxed) && self.len() < self.capacity
    }

    /// The batch that is being filled.
    pub fn batch(&self) -> u64 {
        self.lock().batch
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the batch, in the order in which its entries came, and begins the next. Answers its number. What was lost
    /// meanwhile is its last entry.
    pub fn take(&self) -> (u64, Vec<Entry>) {
        let mut filling = self.lock();
        let next = Filling {
            batch: filling.batch + 1,
            ..Filling::default()
        };
        let Filling {
            batch,
            mut entries,
            lost,
            ..
        } = mem::replace(&mut *filling, next);
        entries.extend(lost);
        (batch, entries)
    }

    /// Asks for the batch to be written now.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Returns when somebody is in a hurry.
    pub async fn hurried(&self) {
        self.hurry.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Filling> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filling {
    /// Counts `entry` with its like, if there is one.
    fn count(&mut self, fingerprint: u64, entry: &Entry) -> bool {
        let like = self.counted.get(&fingerprint);
        let like = like.and_then(|place| self.entries.get_mut(*place));
        // Two acts may have the same fingerprint, though nobody will see it.
        let Some(like) = like.filter(|like| like.act == entry.act) else {
            return false;
        };
        like.count += entry.count;
        like.until = like.until.max(entry.until);
        true
    }

    /// Counts a new refusal of its caller, and tells whether there were too many already.
    fn is_flooded_by(&mut self, act: &Act) -> bool {
        let source = (act.caller.clone(), act.peer);
        let refusals = self.refusals.entry(source).or_default();
        *refusals += 1;
        *refusals > REFUSALS_APART
    }

    fn lose(&mut self, entry: &Entry) {
        match &mut self.lost {
            Some(lost) => {
                lost.count += entry.count;
                lost.until = lost.until.max(entry.until);
            }
            None => {
                self.lost = Some(Entry {
                    act: Act::of_evergrant(RECORDS_LOST, Subject::default()),
                    ..entry.clone()
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
