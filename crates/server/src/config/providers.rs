//! `[providers]`: where own catalogue entries are.

use std::path::PathBuf;

use evergrant_providers::Catalogue;

use super::defaults;
use super::error::ConfigError;
use super::print::Printer;
use super::section::{Key, Section};

/// Where own catalogue entries are.
#[derive(Debug, Clone)]
pub struct Providers {
    /// A folder of catalogue entries, one TOML file each; it need not exist. `None`: only the built-in ones.
    pub dir: Option<PathBuf>,
    dir_key: Key,
}

impl Providers {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let dir_key = section.key_of("dir");
        let dir = match section.text("dir")? {
            Some((_, dir)) => Some(dir).filter(|dir| !dir.is_empty()),
            None => Some(defaults::PROVIDERS_DIR.to_owned()),
        };
        section.finish()?;
        Ok(Self {
            dir: dir.map(PathBuf::from),
            dir_key,
        })
    }

    /// The built-in entries, and those of the folder over them.
    pub(super) fn catalogue(&self) -> Result<Catalogue, ConfigError> {
        let mut catalogue = Catalogue::builtin();
        if let Some(dir) = self.dir.as_deref().filter(|dir| dir.exists()) {
            catalogue
                .add_dir(dir)
                .map_err(|error| self.dir_key.refuse(error.to_string()))?;
        }
        Ok(catalogue)
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self { dir, dir_key: _ } = self;
        out.section("[providers]");
        match dir {
            Some(dir) => out.text("dir", dir.display()),
            None => out.text("dir", ""),
        }
    }
}
