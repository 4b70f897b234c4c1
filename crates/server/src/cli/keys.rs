//! `evergrant keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::exit::Failure;
use super::output::Out;
use super::settings::ConfigFile;
use crate::config::key_file;
use crate::config::keys::{Keys as Where, encode};
use crate::seal::{Place, Sealer, SealingKey};
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
    /// Check that the configured keys are there and seal and open
    Verify {
        #[command(flatten)]
        config: ConfigFile,
    },
}

impl Keys {
    /// Does what was asked.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        match self.verb {
            Verb::Generate { out: None } => {
                writeln!(out, "{}", encode(&SealingKey::generate()).as_str())?;
            }
            Verb::Generate { out: Some(path) } => {
                let path_shown = path.display();
                match key_file::write_new(&path, &SealingKey::generate()) {
                    Ok(true) => writeln!(
                        out,
                        "wrote a sealing key to {path_shown}; keep a copy of it"
                    )?,
                    Ok(false) => {
                        return Err(Failure::Other(format!(
                            "{path_shown} exists and is left as it is"
                        )));
                    }
                    Err(error) => {
                        return Err(Failure::Other(format!(
                            "{path_shown} cannot be made: {error}"
                        )));
                    }
                }
            }
            Verb::Verify { config } => verify(&config, out).await?,
        }
        Ok(())
    }
}

async fn verify(config: &ConfigFile, out: Out<'_>) -> Result<(), Failure> {
    let config = config.load()?;
    if let Where::File(path) = &config.keys
        && key_file::read(path).map_err(Failure::Other)?.is_none()
    {
        let path = path.display();
        let sealed_by = SqlStore::sealed_by(&config.store.url).await;
        if let Some(id) = sealed_by.map_err(|error| Failure::Other(error.to_string()))? {
            return Err(Failure::Other(format!(
                "the key file {path} does not exist, and the store holds what {id} sealed"
            )));
        }
        writeln!(out, "no key file yet: the first start makes {path}")?;
        return Ok(());
    }
    let (active, keys) = config.sealing_keys()?;
    let ids: Vec<_> = keys.keys().cloned().collect();
    let sealer = Sealer::new(&active, keys).map_err(|error| Failure::Other(error.to_string()))?;
    let place = Place {
        column: "verify",
        row: "verify",
        generation: 0,
    };
    let probe = sealer.seal(place, b"probe");
    sealer
        .open(place, &probe)
        .map_err(|error| Failure::Other(error.to_string()))?;
    for id in ids {
        let role = if id == active {
            "seals and opens"
        } else {
            "opens"
        };
        writeln!(out, "{id}  {role}")?;
    }
    Ok(())
}
