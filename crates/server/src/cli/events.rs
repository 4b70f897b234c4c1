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
    /// Give the event log a new epoch, after a restore that may have lost events
    #[command(after_help = "\
Example, with all replicas stopped:
  pg_restore … && evergrant events renew-epoch --config /etc/evergrant.toml

Event numbers that watchers have seen may be given to other events after a restore. With a new epoch
every cursor of before is answered with CURSOR_EPOCH_MISMATCH, and watchers take a snapshot.")]
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
