//! `evergrant backup` and `restored`.

use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use super::output::Out;
use super::settings::ConfigFile;
use crate::app::{self, ServeError};
use crate::replica::StartError;
use crate::store::{OpenStoreError, SqlStore};

/// Arguments of `evergrant backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  evergrant backup --config /etc/evergrant.toml --out /backup/evergrant-7.db

It may be run beside a replica that serves. The copy opens with the sealing keys alone: keep a copy of
them, too, and in another place. A Postgres store is backed up with pg_dump.")]
pub struct Backup {
    #[command(flatten)]
    config: ConfigFile,
    /// Write the copy to this new file, which only its owner can read
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Backup {
    /// Copies the store.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        let config = self.config.load()?;
        let Some(path) = config.store.url.sqlite_path() else {
            let why = "store.url: the store is in Postgres, which pg_dump backs up";
            return Err(Failure::Usage(why.to_owned()));
        };
        SqlStore::back_up(path, &self.out)
            .await
            .map_err(|error| match error {
                error @ OpenStoreError::File { .. } => Failure::Other(error.to_string()),
                error => ServeError::from(StartError::from(error)).into(),
            })?;
        writeln!(out, "wrote {}", self.out.display())?;
        Ok(())
    }
}

/// Arguments of `evergrant restored`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, with all replicas stopped:
  pg_restore … && evergrant restored --config /etc/evergrant.toml

Refresh tokens in a backup may have been spent since. A grant whose provider refuses one is then told as
ROTATION_LOST, not as revoked by its user. Watchers get CURSOR_EPOCH_MISMATCH and take a snapshot, since
the numbers of events that they have seen may be given to others.

A replica that runs meanwhile goes on with what it remembers of the lost database. So it is refused while
somebody else uses the store: sessions of evergrant in Postgres, a process that has the SQLite file or the
journal of this configuration open. A replica that does not reach the database just now is not seen: stop it,
too.")]
pub struct Restored {
    /// Go on although somebody seems to use the store; never while a replica runs
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl Restored {
    /// Tells the store that it was restored.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        let restored = app::restored(self.config.load()?, self.force).await?;
        let (grants, epoch) = (restored.in_doubt, restored.epoch.0);
        writeln!(
            out,
            "grants in doubt: {grants}; the event log has the epoch {epoch} now"
        )?;
        Ok(())
    }
}
