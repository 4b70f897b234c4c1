//! `evergrant config`, and the argument that names the configuration file.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::exit::Failure;
use super::output::Out;
use crate::config::{Config, Override};

/// Which configuration file.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Configuration file; without one, defaults and EVERGRANT__SECTION__KEY variables hold
    #[arg(long, env = "EVERGRANT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// The configuration of this file and the process's environment.
    pub fn load(&self) -> Result<Config, Failure> {
        self.load_with(Vec::new())
    }

    /// The same with arguments over it. Variables that are not UTF-8 are not ours.
    pub fn load_with(&self, overrides: Vec<Override>) -> Result<Config, Failure> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let file = self
            .config
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty());
        Ok(Config::load(file, environment, overrides)?)
    }
}

/// Arguments of `evergrant config`.
#[derive(Debug, Args)]
pub struct Settings {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say ok, or which key is wrong and why
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Show every setting that is in force, without secrets
    Print {
        #[command(flatten)]
        config: ConfigFile,
    },
}

impl Settings {
    /// Does what was asked.
    pub fn run(self, out: Out<'_>) -> Result<(), Failure> {
        match self.verb {
            Verb::Check { config } => {
                config.load()?.catalogue()?;
                writeln!(out, "ok")?;
            }
            Verb::Print { config } => write!(out, "{}", config.load()?.to_toml())?,
        }
        Ok(())
    }
}
