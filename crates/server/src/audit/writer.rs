//! The one task of a replica that writes its part of the trail.
//!
//! A batch is written when its time has come, when the queue is half full, or when somebody waits for it. While one is
//! written the next is filled. A batch that cannot be written is tried again until it is, so that none is skipped; what
//! finds no room in the queue meanwhile is counted, and told in the batch after.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::store::StoreError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::lines::Lines;
use super::queue::Queue;
use super::record::{Entry, RECORDS_LOST, Record};
use crate::store::{AuditBatch, AuditLog};

/// Records of one transaction at most.
const AT_ONCE: usize = 2_000;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often the head of the trail is told in the log, for whoever compares.
const HEAD_TOLD_EVERY: Duration = Duration::from_hours(1);
/// What the last batch gets when the process ends.
const LAST_BATCH: Duration = Duration::from_secs(5);

/// Writes what comes into `queue`.
#[derive(Debug)]
pub struct Writer {
    /// Where entries come from.
    pub queue: Arc<Queue>,
    /// Where records go.
    pub log: AuditLog,
    /// Where they go too.
    pub lines: Option<Lines>,
    /// How long an entry waits for others, at most.
    pub flush: Duration,
}

/// A writer that runs.
#[derive(Debug)]
pub struct Running {
    queue: Arc<Queue>,
    task: JoinHandle<u64>,
    stop: CancellationToken,
}

impl Writer {
    /// Begins to write. `stored` learns the number of each batch that is in the store.
    pub fn start(self, stored: watch::Sender<u64>) -> Running {
        let stop = CancellationToken::new();
        let queue = self.queue.clone();
        let task = TaskTracker::new().spawn(self.run(stored, stop.clone()));
        Running { queue, task, stop }
    }

    /// Answers how many records were lost at the end.
    async fn run(mut self, stored: watch::Sender<u64>, stop: CancellationToken) -> u64 {
        let mut told = None;
        let lost = loop {
            tokio::select! {
                () = tokio::time::sleep(self.flush) => {}
                () = self.queue.hurried() => {}
                () = stop.cancelled() => {}
            }
            let is_last = stop.is_cancelled();
            match self.write_all(&stored, &stop).await {
                Ok(last) => told = tell_head(last.as_ref(), told, is_last),
                Err(Lost(records)) => break records,
            }
            if is_last {
                break 0;
            }
        };
        if let Some(lines) = self.lines.take() {
            lines.close().await;
        }
        lost
    }

    /// Writes the batch that waits. Answers its last record.
    async fn write_all(
        &mut self,
        stored: &watch::Sender<u64>,
        stop: &CancellationToken,
    ) -> Result<Option<Record>, Lost> {
        let (number, entries) = self.queue.take();
        let mut last = None;
        let mut entries = entries.into_iter();
        while !entries.as_slice().is_empty() {
            let part = entries.by_ref().take(AT_ONCE).collect();
            let mut batch = AuditBatch::new(part);
            let Some(records) = self.write(&mut batch, entries.len(), stop).await else {
                let (_, behind) = self.queue.take();
                return Err(lose(
                    batch
                        .entries()
                        .iter()
                        .chain(entries.as_slice())
                        .chain(&behind),
                ));
            };
            if let Some(lines) = &mut self.lines {
                lines.take(&records);
            }
            last = records.into_iter().next_back();
        }
        stored.send_replace(number);
        Ok(last)
    }

    /// Writes a batch, however often that must be tried, while `behind` entries wait behind it and before those of the
    /// queue. `None` if the process must end before.
    async fn write(
        &self,
        batch: &mut AuditBatch,
        behind: usize,
        stop: &CancellationToken,
    ) -> Option<Vec<Record>> {
        let mut pause = FIRST_PAUSE;
        let mut deadline = None;
        let mut told = false;
        loop {
            let began = Instant::now();
            let failed = match self.log.append(batch).await {
                Ok(records) => {
                    self.queue.set_failing(false);
                    metrics::gauge!("evergrant_audit_waiting").set(0.0);
                    count(&records, began);
                    return Some(records);
                }
                Err(failed) => failed,
            };
            self.queue.set_failing(true);
            metrics::counter!("evergrant_audit_write_failures_total").increment(1);
            let waiting = batch.len() + behind + self.queue.len();
            metrics::gauge!("evergrant_audit_waiting").set(size(waiting));
            tell_failure(&failed, waiting, &mut told);
            if stop.is_cancelled() {
                let deadline = *deadline.get_or_insert_with(|| began + LAST_BATCH);
                if Instant::now() + pause >= deadline {
                    return None;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = LONGEST_PAUSE.min(pause * 2),
                () = stop.cancelled(), if deadline.is_none() && !stop.is_cancelled() => {}
            }
        }
    }
}

impl Running {
    /// Writes what waits, and ends. Answers how many records could not be written. Whatever is noted afterwards is lost.
    pub async fn close(self) -> u64 {
        self.stop.cancel();
        self.task.await.unwrap_or_else(|error| {
            error!(%error, "the writer of the audit trail failed");
            self.queue.len() as u64
        })
    }
}

/// So many records are lost, since the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lost(u64);

/// Counts what will not be written. What had found no room before was counted then, and the record that was to tell of it
/// is lost with the others.
fn lose<'a>(entries: impl Iterator<Item = &'a Entry>) -> Lost {
    let (mut now, mut before) = (0, 0);
    for entry in entries {
        match entry.act.action {
            RECORDS_LOST => before += entry.count,
            _ => now += 1,
        }
    }
    metrics::counter!("evergrant_audit_records_lost_total").increment(now);
    error!(
        records = now + before,
        "the process ends, and records of the audit trail are lost"
    );
    Lost(now + before)
}

/// An outage is told at each try. What an outage is not is told once, as what an operator must look at.
fn tell_failure(failed: &StoreError, records: usize, told: &mut bool) {
    match failed {
        StoreError::Corrupt(_) if !*told => {
            error!(
                error = %failed,
                records,
                "the audit trail cannot be written, and not for an outage: something in the database was altered"
            );
            *told = true;
        }
        failed => {
            warn!(error = %failed, records, "the audit trail cannot be written; trying again");
        }
    }
}

fn count(records: &[Record], began: Instant) {
    metrics::counter!("evergrant_audit_records_total").increment(records.len() as u64);
    metrics::histogram!("evergrant_audit_write_seconds").record(began.elapsed().as_secs_f64());
}

/// Tells the head now and then: where logs are kept apart from the database, this is what shows that the trail's end was
/// cut off (`evergrant audit verify --expect-head`).
fn tell_head(last: Option<&Record>, told: Option<Instant>, is_last: bool) -> Option<Instant> {
    let Some(last) = last else { return told };
    let is_due = told.is_none_or(|told| told.elapsed() >= HEAD_TOLD_EVERY);
    if !is_due && !is_last {
        return told;
    }
    let (number, mac) = (last.number, last.mac);
    info!(head = %format!("{number}:{mac}"), "the audit trail stands here");
    Some(Instant::now())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge of more than 2^53 things is not exact"
)]
fn size(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
