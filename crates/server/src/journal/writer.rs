//! The thread that writes the journal.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::file::JournalFile;
use super::index::Index;
use super::locked;
use super::record::{MAX_BODY_BYTES, Record};

/// A record to write, and whom to tell what came of it.
pub(super) struct Write {
    pub(super) record: Record,
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// Most writes that share one sync.
const MAX_BATCH: usize = 1024;

/// A file shorter than this is not worth rewriting.
const REWRITE_FROM_BYTES: u64 = 1 << 20;

/// Writes until nobody can send any more.
pub(super) fn run(file: JournalFile, index: &Mutex<Index>, queue: &Receiver<Write>) {
    let mut writer = Writer {
        file,
        index,
        in_doubt: false,
        rewrite_from: REWRITE_FROM_BYTES,
    };
    while let Some(batch) = next_batch(queue) {
        writer.write(batch);
        writer.drop_dead_records();
    }
}

/// Waits for a write and takes along all that wait with it.
fn next_batch(queue: &Receiver<Write>) -> Option<Vec<Write>> {
    let mut batch = vec![queue.recv().ok()?];
    batch.extend(queue.try_iter().take(MAX_BATCH - 1));
    Some(batch)
}

struct Writer<'a> {
    file: JournalFile,
    index: &'a Mutex<Index>,
    /// A write failed, so the file's end is not known to be what it should be.
    in_doubt: bool,
    rewrite_from: u64,
}

impl Writer<'_> {
    fn write(&mut self, batch: Vec<Write>) {
        let mut bytes = Vec::new();
        let mut sync = false;
        let mut told = Vec::with_capacity(batch.len());
        for Write { record, done } in batch {
            if record.body_len() > MAX_BODY_BYTES {
                // Whoever asked may have gone; then nobody needs to know.
                let _ = done.send(Err("the entry is too large".to_owned()));
                continue;
            }
            if locked(self.index).apply(&record) {
                record.encode(&mut bytes);
                sync |= matches!(record, Record::Kept { .. });
            }
            told.push(done);
        }
        let outcome = self.append(&bytes, sync).map_err(|error| error.to_string());
        for done in told {
            let _ = done.send(outcome.clone());
        }
    }

    /// After a failed write or sync the kernel may have dropped any part of it, so the whole file is written
    /// anew from memory: at once, and if that fails too, at every later write until it succeeds.
    fn append(&mut self, bytes: &[u8], sync: bool) -> io::Result<()> {
        if !self.in_doubt {
            let Err(error) = self.file.append(bytes, sync) else {
                return Ok(());
            };
            tracing::error!(path = %self.file.path().display(), %error, "writing the journal failed, writing it anew");
            self.in_doubt = true;
        }
        self.rewrite()?;
        self.in_doubt = false;
        Ok(())
    }

    fn drop_dead_records(&mut self) {
        let live = locked(self.index).encoded_len();
        let len = self.file.len();
        if len < self.rewrite_from || len < 2 * live {
            return;
        }
        if let Err(error) = self.rewrite() {
            tracing::warn!(path = %self.file.path().display(), %error, "the journal could not be shortened");
        }
        // After a failure the file must double before the next attempt.
        self.rewrite_from = REWRITE_FROM_BYTES.max(2 * self.file.len());
    }

    fn rewrite(&mut self) -> io::Result<()> {
        // The index is free while the disk works: nobody but this thread changes it.
        let live = locked(self.index).encode();
        self.file.rewrite(&live)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use evergrant_core::ids::{Generation, GrantId};

    use super::*;

    fn write(grant: &GrantId, base: u64, sealed: &[u8]) -> (Write, Told) {
        let (done, told) = oneshot::channel();
        let record = Record::Kept {
            grant: grant.clone(),
            base: Generation(base),
            sealed: sealed.into(),
        };
        (Write { record, done }, told)
    }

    type Told = oneshot::Receiver<Result<(), String>>;

    #[test]
    fn writes_that_wait_together_share_one_sync() {
        let (send, queue) = channel();
        for _ in 0..50 {
            send.send(write(&GrantId::random(), 1, b"x").0).unwrap();
        }
        assert_eq!(next_batch(&queue).unwrap().len(), 50);
        drop(send);
        assert!(next_batch(&queue).is_none());
    }

    fn writer(file: JournalFile, index: &Mutex<Index>) -> Writer<'_> {
        Writer {
            file,
            index,
            in_doubt: false,
            rewrite_from: REWRITE_FROM_BYTES,
        }
    }

    #[test]
    fn an_append_that_fails_is_mended_by_writing_the_file_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut file, index) = JournalFile::open(&path).unwrap();
        file.refuse_appends();
        let index = Mutex::new(index);
        let mut writer = writer(file, &index);
        for _ in 0..2 {
            let (write, mut told) = write(&GrantId::random(), 1, b"x");
            writer.write(vec![write]);
            assert_eq!(told.try_recv().unwrap(), Ok(()));
        }
        assert!(!writer.in_doubt);
        drop(writer);
        let (_, index) = JournalFile::open(&path).unwrap();
        assert_eq!(index.inherited().len(), 2);
    }

    #[test]
    fn what_cannot_be_written_is_told_and_the_next_write_mends_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let path = inner.join("journal");
        let (mut file, index) = JournalFile::open(&path).unwrap();
        file.refuse_appends();
        let index = Mutex::new(index);
        let mut writer = writer(file, &index);

        // Without its folder the file cannot be written anew.
        let aside = folder.path().join("aside");
        std::fs::rename(&inner, &aside).unwrap();
        let (first, mut told) = write(&GrantId::random(), 1, b"x");
        writer.write(vec![first]);
        assert!(told.try_recv().unwrap().is_err());
        assert!(writer.in_doubt);

        std::fs::rename(&aside, &inner).unwrap();
        let (second, mut told) = write(&GrantId::random(), 1, b"x");
        writer.write(vec![second]);
        assert_eq!(told.try_recv().unwrap(), Ok(()));
        drop(writer);
        let (_, index) = JournalFile::open(&path).unwrap();
        assert_eq!(index.inherited().len(), 2, "the first is on disk now, too");
    }

    #[test]
    fn a_journal_of_mostly_dead_records_is_rewritten_with_the_live_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (file, index) = JournalFile::open(&path).unwrap();
        let index = Mutex::new(index);
        let (send, queue) = channel();
        let (live, busy) = (GrantId::random(), GrantId::random());
        send.send(write(&live, 1, b"live").0).unwrap();
        for base in 0..3_000 {
            send.send(write(&busy, base, &[0; 1_000]).0).unwrap();
        }
        drop(send);
        run(file, &index, &queue);

        assert!(std::fs::metadata(&path).unwrap().len() < 2 * REWRITE_FROM_BYTES);
        let (_, index) = JournalFile::open(&path).unwrap();
        assert!(index.sealed(&live, Generation(1)).is_some());
        assert!(index.sealed(&busy, Generation(2_999)).is_some());
    }

    #[test]
    fn an_entry_that_is_too_large_is_refused_and_harms_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (file, index) = JournalFile::open(&folder.path().join("journal")).unwrap();
        let index = Mutex::new(index);
        let (send, queue) = channel();
        let (large, mut large_told) = write(&GrantId::random(), 1, &vec![0; MAX_BODY_BYTES]);
        let (small, mut small_told) = write(&GrantId::random(), 1, b"x");
        send.send(large).unwrap();
        send.send(small).unwrap();
        drop(send);
        run(file, &index, &queue);
        assert!(large_told.try_recv().unwrap().is_err());
        assert_eq!(small_told.try_recv().unwrap(), Ok(()));
    }
}
