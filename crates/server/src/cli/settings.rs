//! `evergrant config`, and the argument that names the configuration file.

use std::path::{Path, PathBuf};

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

    /// The same with arguments over it.
    pub fn load_with(&self, overrides: Vec<Override>) -> Result<Config, Failure> {
        Ok(Config::load(self.file(), environment(), overrides)?)
    }

    /// The same for who only looks at it: no command is run for a secret.
    pub fn look_at(&self) -> Result<Config, Failure> {
        let config = Config::load_without_commands(self.file(), environment(), Vec::new());
        Ok(config?)
    }

    fn file(&self) -> Option<&Path> {
        let file = self.config.as_deref();
        file.filter(|path| !path.as_os_str().is_empty())
    }
}

/// Variables that are not UTF-8 are not ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
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
        /// Also run the commands that print secrets, and check what they print
        #[arg(long)]
        run_commands: bool,
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
            Verb::Check {
                run_commands,
                config,
            } => {
                let config = match run_commands {
                    true => config.load(),
                    false => config.look_at(),
                };
                let config = config?;
                config.catalogue()?;
                config.check_store()?;
                config.check_audit_lines()?;
                writeln!(out, "ok")?;
            }
            Verb::Print { config } => write!(out, "{}", config.look_at()?.to_toml())?,
        }
        Ok(())
    }
}
