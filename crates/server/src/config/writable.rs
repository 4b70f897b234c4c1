//! Whether files of this machine can be written, found out without leaving anything behind.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use super::error::ConfigError;
use super::section::Key;

/// An error of `key` if there is a file at `path` that cannot be written. Answers whether there is one.
pub(super) fn check_file(key: &Key, path: &Path) -> Result<bool, ConfigError> {
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => Ok(true),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(refuse(key, path, &why)),
    }
}

/// An error of `key` if nothing can be made in the folder of `path`.
pub(super) fn check_folder(key: &Key, path: &Path) -> Result<(), ConfigError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let sample = folder.join(format!(".evergrant-check-{}", std::process::id()));
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&sample);
    made.and_then(|_| fs::remove_file(&sample))
        .map_err(|why| refuse(key, folder, &why))
}

fn refuse(key: &Key, what: &Path, why: &io::Error) -> ConfigError {
    key.refuse(format!("{} cannot be written: {why}", what.display()))
}
