//! `evergrant keys`.

mod rotate;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use self::rotate::Rotate;
use self::verify::Verify;
use super::exit::Failure;
use super::output::Out;
use crate::app::ServeError;
use crate::config::keys::{Keys as Where, encode};
use crate::config::{Config, key_file};
use crate::replica::StartError;
use crate::seal::{Sealer, SealingKey};
use crate::store::SqlStore;

/// Arguments of `evergrant keys`.
#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a sealing key: 32 random bytes in base64
    #[command(after_help = "\
Example:
  evergrant keys generate --out /etc/evergrant/k1
and in the configuration:
  [keys]
  active = \"k1\"
  k1 = { file = \"/etc/evergrant/k1\" }")]
    Generate {
        /// Write it to a new file that only its owner can read, not to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Seal with the active key what others sealed
    Rotate(Rotate),
    /// Say which keys are needed, and whether any is missing
    Verify(Verify),
}

impl Keys {
    /// Does what was asked. Progress goes to `notes`.
    pub async fn run(self, out: Out<'_>, notes: Out<'_>) -> Result<(), Failure> {
        match self.verb {
            Verb::Generate { out: None } => {
                writeln!(out, "{}", encode(&SealingKey::generate()).as_str())?;
                Ok(())
            }
            Verb::Generate { out: Some(path) } => generate(&path, out),
            Verb::Rotate(rotate) => rotate.run(out, notes).await,
            Verb::Verify(verify) => verify.run(out).await,
        }
    }
}

fn generate(path: &Path, out: Out<'_>) -> Result<(), Failure> {
    let shown = path.display();
    match key_file::write_new(path, &SealingKey::generate()) {
        Ok(true) => Ok(writeln!(
            out,
            "wrote a sealing key to {shown}; keep a copy of it"
        )?),
        Ok(false) => Err(Failure::Other(format!(
            "{shown} exists and is left as it is"
        ))),
        Err(error) => Err(Failure::Other(format!("{shown} cannot be made: {error}"))),
    }
}

/// The configured keys. `Err` of the path if there is no key file, and none is missed.
pub(super) async fn ring(config: &Config) -> Result<Result<Sealer, PathBuf>, Failure> {
    if let Where::File { path, .. } = &config.keys
        && key_file::read(path).map_err(Failure::Other)?.is_none()
    {
        let sealed_by = SqlStore::sealed_by(&config.store.url).await;
        return match sealed_by.map_err(store_failure)? {
            Some(id) if !config.keys.lost().contains(&id) => Err(Failure::Other(format!(
                "the key file {} does not exist, and the store holds what {id} sealed",
                path.display()
            ))),
            _ => Ok(Err(path.clone())),
        };
    }
    let (active, keys) = config.sealing_keys()?;
    let sealer = Sealer::new(&active, keys).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(Ok(sealer))
}

pub(super) fn store_failure(error: impl Into<StartError>) -> Failure {
    ServeError::from(error.into()).into()
}

/// `1 value`, `2 values`.
fn values(count: u64) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} value{ending}")
}
