//! Mistakes in catalogue entries, told so that they can be found.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// A mistake in the text of a catalogue entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line of the mistake; the first is 1.
    pub line: usize,
    /// Column in characters; the first is 1.
    pub column: usize,
    /// The key with the tables it is in, e.g. `request.client_auth`; empty where the text is no TOML.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Why entries could not be added to a catalogue.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An entry has mistakes.
    #[error("{origin} is no sound catalogue entry: {}", list(problems))]
    Unsound {
        /// Where the text came from, e.g. a path.
        origin: String,
        /// Every mistake found, by place.
        problems: Vec<Problem>,
    },
    /// Two files of one folder describe the same provider.
    #[error("{} and {} both describe provider {name}", first.display(), second.display())]
    Twice {
        /// The provider.
        name: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("; ")
}
