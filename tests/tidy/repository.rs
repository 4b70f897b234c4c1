//! The files of this repository.

use std::path::{Path, PathBuf};

/// A text file: its path from the top, with slashes, and what it says.
pub struct TextFile {
    pub path: String,
    pub text: String,
}

/// All files that end in one of `extensions`, outside of what is built or installed, in the order of their paths.
pub fn files(extensions: &[&str]) -> Vec<TextFile> {
    let mut found = Vec::new();
    collect(&top(), extensions, &mut found);
    assert!(!found.is_empty(), "there is no file with {extensions:?}");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// What the file at `path` says, if it is there.
pub fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(top().join(path)).ok()
}

/// The top of the repository.
pub fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Fails with the list of breaches, if there are any.
#[track_caller]
pub fn assert_tidy(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<TextFile>) {
    const SKIPPED: [&str; 3] = ["target", "node_modules", "__pycache__"];
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != ".git" && !SKIPPED.contains(&&*name) {
                collect(&path, extensions, found);
            }
        } else if extensions.iter().any(|extension| name.ends_with(extension)) {
            let text = std::fs::read_to_string(&path).expect("text files are UTF-8");
            let path = path.strip_prefix(top()).expect("it is below the top");
            let path = path.to_string_lossy().replace('\\', "/");
            found.push(TextFile { path, text });
        }
    }
}
