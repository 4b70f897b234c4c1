//! Prometheus' own tool, which evaluates rules.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where `scripts/test` puts it, or one that is installed.
pub fn path() -> Result<PathBuf> {
    let brought = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("e2e-python/bin/promtool");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&paths).map(|folder| folder.join("promtool"));
    let mut all = std::iter::once(brought).chain(installed);
    all.find(|path| path.is_file())
        .context("there is no promtool; scripts/test --prepare brings it")
}
