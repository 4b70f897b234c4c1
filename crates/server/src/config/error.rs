//! What is wrong with a configuration, in one line.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Why a configuration is refused: the key by its dotted path, why, and where the value came from.
///
/// Displays as one line, `refresh.lease: must be at least 37s, … (evergrant.toml:12)`, and never repeats a
/// secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    key: String,
    why: String,
    origin: Origin,
}

impl ConfigError {
    /// A complaint about `key` whose value came from `origin`.
    pub(super) fn new(key: impl Into<String>, why: impl Into<String>, origin: Origin) -> Self {
        Self {
            key: key.into(),
            why: why.into(),
            origin,
        }
    }

    /// The dotted path of the key, e.g. `store.url`; empty if the file as a whole is at fault.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        let mut words = self.why.split_whitespace();
        if let Some(first) = words.next() {
            f.write_str(first)?;
        }
        words.try_for_each(|word| write!(f, " {word}"))?;
        match &self.origin {
            Origin::Default => Ok(()),
            origin => write!(f, " ({origin})"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A line of the configuration file, counted from 1.
    File(Arc<Path>, usize),
    /// The environment variable of this name.
    Environment(Arc<str>),
    /// The command-line argument of this name.
    Argument(&'static str),
    /// Nowhere: the key is absent, or its default is at fault.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Argument(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}
