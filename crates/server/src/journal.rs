//! The local escrow: an append-only file on this replica's own disk.
//!
//! A token set that the provider issued is on disk, sealed, before [`Escrow::put`] returns, so it outlives this
//! process even when neither Redis nor the database can be reached. One thread writes; whatever waits for it
//! together shares one `fsync`. What is live is kept in memory, still sealed, and read from there.
//!
//! The file is `header ‖ record*`; `record` describes a record. `<path>.lock` is held for as long as the journal
//! is open, and `<path>.new` exists only while the file is rewritten without its dead records.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use evergrant_core::coordinator::{Escrow, EscrowEntry, Unreachable};
use evergrant_core::ids::{Generation, GrantId};
use tokio::sync::oneshot;

use crate::escrow::sealed;
use crate::seal::Sealer;

use self::file::JournalFile;
use self::index::Index;
use self::record::Record;
use self::writer::Write;

mod file;
mod index;
mod record;
mod writer;

const SERVICE: &str = "journal";
const COLUMN: &str = "journal";

/// An open journal. Dropping it finishes the writes that wait, which blocks for as long as the disk takes, and
/// lets go of the file.
pub struct Journal {
    sealer: Sealer,
    index: Arc<Mutex<Index>>,
    writes: Option<Sender<Write>>,
    writer: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the journal at `path`, or makes an empty one that only this user can read. Blocks on the disk.
    ///
    /// What a crash tore off at the end is cut away with a warning. Damaged records in the middle are skipped
    /// with an error in the log, and so are, without being dropped, entries whose sealing key is missing.
    ///
    /// Fails, naming the path, if another process has the journal open ([`io::ErrorKind::ResourceBusy`]), if the
    /// file is something else ([`io::ErrorKind::InvalidData`]), or if the disk fails.
    pub fn open(path: impl AsRef<Path>, sealer: Sealer) -> io::Result<Self> {
        let (file, index) = JournalFile::open(path.as_ref())?;
        let index = Arc::new(Mutex::new(index));
        let (writes, queue) = channel();
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn({
                let index = index.clone();
                move || writer::run(file, &index, &queue)
            })?;
        Ok(Self {
            sealer,
            index,
            writes: Some(writes),
            writer: Some(writer),
        })
    }

    /// Whether a process has the journal at `path` open.
    pub fn is_open(path: impl AsRef<Path>) -> bool {
        file::is_open(path.as_ref())
    }

    /// How many entries each sealing key sealed, by its id.
    pub fn key_use(&self) -> BTreeMap<String, u64> {
        key_use(&locked(&self.index))
    }

    /// The same of the journal at `path` without opening it: another process may have it open. Empty if there is no
    /// file. Blocks on the disk.
    pub fn key_use_of(path: impl AsRef<Path>) -> io::Result<BTreeMap<String, u64>> {
        Ok(key_use(&file::look_into(path.as_ref())?))
    }

    /// Writes `record` and waits for it. Once it is queued it is written even if nobody waits any more.
    async fn write(&self, record: Record) -> Result<(), Unreachable> {
        let (done, answer) = oneshot::channel();
        let write = Write { record, done };
        let queued = self
            .writes
            .as_ref()
            .is_some_and(|writes| writes.send(write).is_ok());
        match (queued, answer.await) {
            (true, Ok(Ok(()))) => Ok(()),
            (true, Ok(Err(message))) => Err(unreachable(message)),
            _ => Err(unreachable("its writer has ended".to_owned())),
        }
    }

    /// Opens a sealed entry; one that does not open is an error in the log and stays where it is.
    fn unseal(&self, grant: &GrantId, base: Generation, sealed: &[u8]) -> Option<EscrowEntry> {
        sealed::open(&self.sealer, COLUMN, grant, base, sealed)
            .inspect_err(|error| {
                tracing::error!(%grant, base = base.0, %error, "an entry of the journal cannot be read, and is kept");
            })
            .ok()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.writes = None;
        if self
            .writer
            .take()
            .is_some_and(|writer| writer.join().is_err())
        {
            tracing::error!("the journal's writer panicked");
        }
    }
}

#[async_trait]
impl Escrow for Journal {
    async fn put(&self, entry: &EscrowEntry) -> Result<(), Unreachable> {
        self.write(Record::Kept {
            grant: entry.grant.clone(),
            base: entry.base,
            sealed: sealed::seal(&self.sealer, COLUMN, entry).into(),
        })
        .await
    }

    async fn find(
        &self,
        grant: &GrantId,
        base: Generation,
    ) -> Result<Option<EscrowEntry>, Unreachable> {
        let sealed = locked(&self.index).sealed(grant, base);
        Ok(sealed.and_then(|(base, sealed)| self.unseal(grant, base, &sealed)))
    }

    async fn remove(&self, grant: &GrantId, base: Generation) -> Result<(), Unreachable> {
        self.write(Record::Removed {
            grant: grant.clone(),
            base,
        })
        .await
    }

    async fn left_behind(&self) -> Result<Vec<EscrowEntry>, Unreachable> {
        let inherited = locked(&self.index).inherited();
        Ok(inherited
            .into_iter()
            .filter_map(|(grant, base, sealed)| self.unseal(&grant, base, &sealed))
            .collect())
    }
}

fn key_use(index: &Index) -> BTreeMap<String, u64> {
    let mut keys = BTreeMap::new();
    for id in index.all_sealed().filter_map(Sealer::key_of) {
        *keys.entry(id.to_owned()).or_default() += 1;
    }
    keys
}

fn locked(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unreachable(message: String) -> Unreachable {
    Unreachable {
        service: SERVICE,
        message,
    }
}

#[cfg(test)]
mod tests;
