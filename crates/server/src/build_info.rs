//! What the binary was built from.

use std::fmt;

/// What the binary was built from: for `--version`, the first log line and the build metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// The package's version.
    pub version: &'static str,
    /// The git revision, or `unknown`.
    pub revision: &'static str,
    /// The cargo profile, e.g. `release`.
    pub profile: &'static str,
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            revision,
            profile,
        } = self;
        write!(f, "{version} ({revision}, {profile})")
    }
}
