//! What a configuration was read from, so that it can be read again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::document::{self, Table};
use super::error::Origin;
use super::overlay::{self, Override};
use super::section::{Commands, Environment, Section};
use super::{Config, ConfigError};

/// What a configuration was read from: a file, the environment of then, the command line. `Debug` shows the file alone.
#[derive(Clone)]
pub struct Sources(Arc<Parts>);

struct Parts {
    file: Option<PathBuf>,
    environment: Environment,
    overrides: Vec<Override>,
}

impl Sources {
    pub(super) fn new(
        file: Option<&Path>,
        environment: Environment,
        overrides: Vec<Override>,
    ) -> Self {
        Self(Arc::new(Parts {
            file: file.map(Path::to_owned),
            environment,
            overrides,
        }))
    }

    /// Reads the configuration again: the file, and the files that it names, as they are now. No command is run, so that
    /// secrets which a command prints are not there. Blocks for as long as the files take to be read.
    pub fn read_again(&self) -> Result<Config, ConfigError> {
        self.read(Commands::Skip)
    }

    pub(super) fn read(&self, commands: Commands) -> Result<Config, ConfigError> {
        let Parts {
            file,
            environment,
            overrides,
        } = &*self.0;
        let mut root = match file {
            Some(path) => document::parse(path, &read(path)?)?,
            None => Table::new(),
        };
        overlay::lay_environment(&mut root, environment.iter())?;
        overlay::lay_arguments(&mut root, overrides.clone())?;
        Config::understand(Section::root(root, environment, commands), self.clone())
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.0.file)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|error| {
        let why = format!("{} cannot be read: {error}", path.display());
        ConfigError::new("", why, Origin::Default)
    })
}
