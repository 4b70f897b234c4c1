//! `evergrant events`.

use clap::{Args, Subcommand};

use super::exit::Failure;
use super::output::Out;
use super::settings::ConfigFile;
use crate::app;

/// Arguments of `evergrant events`.
#[derive(Debug, Args)]
pub struct Events {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give the event log a new epoch, so that all watchers begin anew
    #[command(after_help = "\
Example:
  evergrant events renew-epoch --config /etc/evergrant.toml

Every cursor of before is answered with CURSOR_EPOCH_MISMATCH, and watchers take a snapshot. After a
restore use `evergrant restored`, which does this as well.")]
    RenewEpoch {
        #[command(flatten)]
        config: ConfigFile,
    },
}

impl Events {
    /// Does what was asked.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        match self.verb {
            Verb::RenewEpoch { config } => {
                let epoch = app::renew_epoch(config.load()?).await?;
                writeln!(out, "the event log has the epoch {epoch} now")?;
            }
        }
        Ok(())
    }
}
