//! The program of the version before this one, which `scripts/test` builds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Names the commit, below lines that say what it is.
const REVISION: &str = include_str!("previous");

/// Where it is. An error if it was not built, or from another commit.
pub fn program() -> Result<PathBuf> {
    let revision = REVISION
        .lines()
        .find(|line| !line.starts_with('#'))
        .context("tests/e2e/upgrade/previous names a commit")?;
    // Beside `debug/evergrant`.
    let target = Path::new(env!("CARGO_BIN_EXE_evergrant"))
        .ancestors()
        .nth(2)
        .context("the program is in a folder of its profile")?;
    let program = target.join("previous").join(revision).join("evergrant");
    anyhow::ensure!(
        program.is_file(),
        "{} is missing; `scripts/test --prepare` builds it",
        program.display()
    );
    Ok(program)
}
