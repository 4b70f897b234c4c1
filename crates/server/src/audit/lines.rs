//! The trail as JSON lines, one object a record: to a file, to standard output or to standard error.
//!
//! Lines follow what is in the store, from a task of their own: a disk that is slow or full holds up nobody. Up to
//! 64 batches wait for it; the lines of further ones are dropped and counted, and once lines can be written
//! again one says how many are missing (the records are in the store). A line that was cut off by a failure is written
//! again, so one number may come twice.
//!
//! Before each write the path is looked at: a file that was renamed or removed is left, and a new one is begun, which is
//! all that logrotate needs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::record::{Content, Record};

/// Batches whose lines wait, at most.
const WAITING: usize = 64;
const PAUSE: Duration = Duration::from_secs(1);
/// What the last lines get when the process ends.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The end of this file.
    File(PathBuf),
}

/// Lines cannot be written to their target.
#[derive(Debug, Error)]
#[error("{target} cannot be written: {why}")]
pub struct LinesError {
    /// The file, or the name of the stream.
    pub target: String,
    /// Why not.
    #[source]
    pub why: io::Error,
}

impl Target {
    fn error(&self, why: io::Error) -> LinesError {
        let target = match self {
            Self::Stdout => "stdout".to_owned(),
            Self::Stderr => "stderr".to_owned(),
            Self::File(path) => path.display().to_string(),
        };
        LinesError { target, why }
    }
}

/// Gives out lines.
#[derive(Debug)]
pub struct Lines {
    batches: mpsc::Sender<Vec<u8>>,
    task: TaskTracker,
    lost: u64,
}

impl Lines {
    /// Opens the target and begins.
    pub fn open(target: Target) -> Result<Self, LinesError> {
        let mut sink = Sink::new(target);
        if let Err(why) = sink.write(b"") {
            return Err(sink.target.error(why));
        }
        let (batches, taken) = mpsc::channel(WAITING);
        let task = TaskTracker::new();
        task.spawn(run(sink, taken));
        task.close();
        Ok(Self {
            batches,
            task,
            lost: 0,
        })
    }

    /// Takes records that are in the store.
    pub(super) fn take(&mut self, records: &[Record]) {
        let mut text = Vec::new();
        if self.lost > 0 {
            let lost = LostLine {
                lines_lost: self.lost,
            };
            write_line(&mut text, &lost);
        }
        for record in records {
            write_line(&mut text, &Line::of(record));
        }
        let count = records.len() as u64;
        match self.batches.try_send(text) {
            Ok(()) => self.lost = 0,
            Err(_) => {
                if self.lost == 0 {
                    error!(
                        "the lines of the audit trail are not taken; they are dropped until they are"
                    );
                }
                self.lost += count;
                metrics::counter!("evergrant_audit_lines_lost_total").increment(count);
            }
        }
    }

    /// Writes what waits, within two seconds, and ends.
    pub(super) async fn close(self) {
        drop(self.batches);
        if tokio::time::timeout(LAST_LINES, self.task.wait())
            .await
            .is_err()
        {
            error!("the last lines of the audit trail were not taken");
        }
    }
}

async fn run(mut sink: Sink, mut batches: mpsc::Receiver<Vec<u8>>) {
    while let Some(batch) = batches.recv().await {
        let mut failing = false;
        loop {
            let text = batch.clone();
            let written = tokio::task::spawn_blocking(move || {
                let result = sink.write(&text);
                (sink, result)
            });
            let Ok((same, result)) = written.await else {
                return;
            };
            sink = same;
            match result {
                Ok(()) if failing => info!("lines of the audit trail are written again"),
                Ok(()) => {}
                Err(error) => {
                    if !failing {
                        error!(%error, "lines of the audit trail cannot be written; trying again");
                    }
                    failing = true;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            break;
        }
    }
}

/// A record as a line.
#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    at: String,
    until: String,
    #[serde(flatten)]
    content: &'a Content,
    mac: String,
}

#[derive(Serialize)]
struct LostLine {
    lines_lost: u64,
}

impl<'a> Line<'a> {
    fn of(record: &'a Record) -> Self {
        let Record {
            number,
            content,
            mac,
        } = record;
        Self {
            number: *number,
            at: rfc3339(content.at),
            until: rfc3339(content.until),
            content,
            mac: mac.to_string(),
        }
    }
}

fn rfc3339(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| String::new(), |at| at.to_string())
}

fn write_line(text: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *text, line).expect("texts and numbers can be written as JSON");
    text.push(b'\n');
}

/// What lines are written to.
#[derive(Debug)]
struct Sink {
    target: Target,
    file: Option<File>,
    /// Whether the last write may have ended within a line.
    torn: bool,
}

impl Sink {
    fn new(target: Target) -> Self {
        Self {
            target,
            file: None,
            torn: false,
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let torn = std::mem::replace(&mut self.torn, true);
        let gap: &[u8] = if torn { b"\n" } else { b"" };
        match &self.target {
            Target::Stdout => write(&mut io::stdout().lock(), gap, text)?,
            Target::Stderr => write(&mut io::stderr().lock(), gap, text)?,
            Target::File(path) => {
                if !self.file.as_ref().is_some_and(|file| is_at(file, path)) {
                    self.file = Some(append_to(path)?);
                }
                let file = self.file.as_mut().expect("it was opened above");
                write(file, gap, text)?;
            }
        }
        self.torn = false;
        Ok(())
    }
}

fn write(to: &mut impl io::Write, gap: &[u8], text: &[u8]) -> io::Result<()> {
    to.write_all(gap)?;
    to.write_all(text)?;
    to.flush()
}

/// Whether the file at `path` is still the one that is open.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;
