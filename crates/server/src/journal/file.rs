//! The journal's file on disk: opened under a lock, appended to, and rewritten.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::index::Index;
use super::record::{Scan, scan};

const HEADER: &[u8] = b"evergrant journal 1\n";

/// Only its owner may read a journal, sealed as it is.
const MODE: u32 = 0o600;

/// The open file. Its lock ends with it.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    file: File,
    len: u64,
    _lock: File,
}

impl JournalFile {
    /// Opens or makes the journal at `path` and reads what is live in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Index)> {
        let lock = lock(path).map_err(|error| named(path, error))?;
        Self::open_locked(path, lock).map_err(|error| named(path, error))
    }

    fn open_locked(path: &Path, lock: File) -> io::Result<(Self, Index)> {
        let bytes = read_all(path)?;
        if bytes.is_empty() {
            let (file, len) = write_anew(path, &[])?;
            return Ok((Self::new(path, file, len, lock), Index::default()));
        }
        let records = records_of(&bytes)?;
        let found = scan(records);
        let len = (HEADER.len() + found.end) as u64;
        report(path, &found, records.len() - found.end);

        let file = OpenOptions::new().append(true).open(path)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        if found.end < records.len() {
            file.set_len(len)?;
            file.sync_all()?;
        }
        let index = Index::inherit(found.records);
        Ok((Self::new(path, file, len, lock), index))
    }

    fn new(path: &Path, file: File, len: u64, lock: File) -> Self {
        Self {
            path: path.to_owned(),
            file,
            len,
            _lock: lock,
        }
    }

    /// Writes `bytes` at the end, and has them on disk before it returns if `sync`.
    pub(super) fn append(&mut self, bytes: &[u8], sync: bool) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        if sync {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Replaces the file by one that holds `records` and nothing else, durably and in one step.
    pub(super) fn rewrite(&mut self, records: &[u8]) -> io::Result<()> {
        (self.file, self.len) = write_anew(&self.path, records)?;
        Ok(())
    }

    /// The file's length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a process has the journal at `path` open.
pub(super) fn is_open(path: &Path) -> bool {
    let lock = OpenOptions::new().write(true).open(beside(path, ".lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// What is live in the journal at `path`, which another process may have open. Nothing if there is no file.
pub(super) fn look_into(path: &Path) -> io::Result<Index> {
    let look = || {
        let bytes = read_all(path)?;
        if bytes.is_empty() {
            return Ok(Index::default());
        }
        Ok(Index::inherit(scan(records_of(&bytes)?).records))
    };
    look().map_err(|error| named(path, error))
}

fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn records_of(bytes: &[u8]) -> io::Result<&[u8]> {
    bytes
        .strip_prefix(HEADER)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no journal"))
}

#[cfg(test)]
impl JournalFile {
    /// Makes appending fail until the file is rewritten.
    pub(super) fn refuse_appends(&mut self) {
        self.file = File::open(&self.path).expect("the journal is there");
    }
}

/// The lock has a file of its own, since rewriting replaces the journal's.
fn lock(path: &Path) -> io::Result<File> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(beside(path, ".lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another process has it open",
        )),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn write_anew(path: &Path, records: &[u8]) -> io::Result<(File, u64)> {
    let new = beside(path, ".new");
    remove_if_there(&new)?;
    let mut file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(MODE)
        .open(&new)?;
    file.write_all(HEADER)?;
    file.write_all(records)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(folder_of(path))?.sync_all()?;
    Ok((file, (HEADER.len() + records.len()) as u64))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn report(path: &Path, found: &Scan, torn: usize) {
    let path = path.display();
    for (at, bytes) in &found.damaged {
        let at = HEADER.len() + at;
        tracing::error!(%path, offset = at, bytes, "the journal is damaged; what was recorded there is lost");
    }
    if torn > 0 {
        tracing::warn!(%path, bytes = torn, "an unfinished write is cut off the journal's end");
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("journal {}: {error}", path.display()))
}
