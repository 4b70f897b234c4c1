//! `[providers]`: where own catalogue entries are.

use std::path::PathBuf;

use super::defaults;
use super::error::ConfigError;
use super::print::Printer;
use super::section::Section;

/// Where own catalogue entries are.
#[derive(Debug, Clone)]
pub struct Providers {
    /// A folder of catalogue entries, one TOML file each; it need not exist. `None`: only the built-in ones.
    pub dir: Option<PathBuf>,
}

impl Providers {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let dir = match section.text("dir")? {
            Some((_, dir)) => Some(dir).filter(|dir| !dir.is_empty()),
            None => Some(defaults::PROVIDERS_DIR.to_owned()),
        };
        section.finish()?;
        Ok(Self {
            dir: dir.map(PathBuf::from),
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self { dir } = self;
        out.section("[providers]");
        match dir {
            Some(dir) => out.text("dir", dir.display()),
            None => out.text("dir", ""),
        }
    }
}
