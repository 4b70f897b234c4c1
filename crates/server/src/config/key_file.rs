//! The key file beside an SQLite database: made once with mode 0600, then only read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::keys::{decode, encode};
use crate::seal::SealingKey;

/// The key in `path` and its id, or `None` if there is no such file. An error says what is wrong with it.
///
/// The id is made of the key's own digest, so that a value sealed with a file that was since lost is told
/// apart from a broken one.
pub fn read(path: &Path) -> Result<Option<(String, SealingKey)>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => zeroize::Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    match decode(&text) {
        Ok(key) => Ok(Some((id_of(&key), key))),
        Err(why) => Err(format!("{} {why}", path.display())),
    }
}

/// The key in `path` and its id; a new key is written there first if there is none.
///
/// Whoever finds the file finds a whole key in it, which survives a power cut: the text is written and synced
/// under another name and then linked, so of two processes that make one at once, both use the first's.
pub fn read_or_make(path: &Path) -> Result<(String, SealingKey), String> {
    if let Some(found) = read(path)? {
        return Ok(found);
    }
    write_new(path, &SealingKey::generate())
        .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
    read(path)?.ok_or_else(|| format!("{} was removed as soon as it was made", path.display()))
}

/// Writes `key` to `path` with mode 0600, unless a file is there already: then that one stays and the answer
/// is `false`.
pub fn write_new(path: &Path, key: &SealingKey) -> io::Result<bool> {
    let draft = draft_of(path);
    let linked = write_synced(&draft, key).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        linked => linked.and(removed)?,
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(true)
}

fn write_synced(path: &Path, key: &SealingKey) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(encode(key).as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", uuid::Uuid::new_v4().simple()));
    name.into()
}

fn id_of(key: &SealingKey) -> String {
    let digest = digest(&SHA256, key.expose());
    let head = digest.as_ref().iter().take(4);
    head.fold("file-".to_owned(), |id, byte| format!("{id}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_file_is_made_once_for_its_owner_alone_and_then_reused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evergrant.db.key");
        assert!(read(&path).unwrap().is_none());
        let (id, key) = read_or_make(&path).unwrap();
        let (again, same) = read_or_make(&path).unwrap();
        assert_eq!((id, key.expose()), (again, same.expose()));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn processes_that_make_it_at_once_use_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let ids: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| read_or_make(&path).unwrap().0))
                .collect();
            makers
                .into_iter()
                .map(|maker| maker.join().unwrap())
                .collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        fs::write(&path, "AAAA\n").unwrap();
        let error = read_or_make(&path).unwrap_err();
        assert!(
            error.ends_with("k must be 32 bytes in base64, not 3"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"AAAA\n");
    }
}
