//! `evergrant keys rotate`: everything sealed anew with the active key, while replicas serve.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ring, store_failure, values};
use crate::cli::connection::parse_duration;
use crate::cli::exit::Failure;
use crate::cli::output::{Out, Output, Printable, Table};
use crate::cli::settings::ConfigFile;
use crate::lifecycle::Lifecycle;
use crate::rotation::{Pace, Progress, Rotated, rotate};
use crate::seal::Sealer;
use crate::store::SealedStore;

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// Arguments of `evergrant keys rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
It works on the store itself, beside replicas that serve, and may be stopped and run again at any time. Every
replica must know the active key before, or it cannot read what is sealed anew.

Example:
  evergrant keys rotate --config /etc/evergrant.toml && evergrant keys verify --config /etc/evergrant.toml")]
pub struct Rotate {
    /// How many values one statement seals anew
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5_000))]
    batch: u32,
    /// How long to leave the store alone after each batch
    #[arg(long, default_value = "50ms", value_parser = parse_duration, value_name = "DURATION")]
    pause: Duration,
    /// Write nothing: count, and find out whether everything opens
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    config: ConfigFile,
}

impl Rotate {
    pub(super) async fn run(self, out: Out<'_>, notes: Out<'_>) -> Result<(), Failure> {
        let config = self.config.load()?;
        let sealer = ring(&config).await?.map_err(|path| {
            let path = path.display();
            Failure::Other(format!(
                "there is no key file {path} yet, and nothing to seal anew"
            ))
        })?;
        let store = SealedStore::open(&config.store.url).await;
        let rotated = match store.map_err(store_failure)? {
            None => Rotated::default(),
            Some(store) => {
                let rotated = match refuse_wrong(&store, &sealer).await {
                    Ok(()) => self.rotate(&store, &sealer, notes).await,
                    Err(wrong) => Err(wrong),
                };
                store.close().await;
                rotated?
            }
        };
        let summary = Summary::new(&sealer, self.dry_run, rotated, config.keys.lost());
        self.output.print(out, &summary)?;
        summary.judge()
    }

    async fn rotate(
        &self,
        store: &SealedStore,
        sealer: &Sealer,
        notes: Out<'_>,
    ) -> Result<Rotated, Failure> {
        let pace = Pace {
            batch: self.batch,
            pause: self.pause,
            dry_run: self.dry_run,
        };
        let life = Lifecycle::new();
        let stop = life.stop();
        let mut teller = Teller::new(notes);
        let rotation = rotate(store, sealer, &pace, &stop, |progress| {
            teller.tell(progress)
        });
        rotate_until_signalled(rotation, &life, &stop)
            .await
            .map_err(store_failure)
    }
}

/// Nothing is sealed with a key that has other bytes than the replicas': they would open it no more.
async fn refuse_wrong(store: &SealedStore, sealer: &Sealer) -> Result<(), Failure> {
    let trial = store.try_key(sealer, sealer.active_key()).await;
    match trial.map_err(store_failure)?.wrong() {
        None => Ok(()),
        Some(wrong) => Err(Failure::Other(format!("nothing was changed: {wrong}"))),
    }
}

/// A signal ends the rotation after the batch that runs.
async fn rotate_until_signalled<T>(
    rotation: impl Future<Output = T>,
    life: &Lifecycle,
    stop: &CancellationToken,
) -> T {
    tokio::pin!(rotation);
    tokio::select! {
        rotated = &mut rotation => return rotated,
        signalled = life.until_signalled() => {
            if signalled.is_err() {
                // Signals cannot be had, so they end the process as they do by default, which harms nothing.
                return rotation.await;
            }
        }
    }
    stop.cancel();
    rotation.await
}

/// Tells how far it is, now and then.
struct Teller<'a> {
    notes: Out<'a>,
    last: Option<Instant>,
}

impl<'a> Teller<'a> {
    fn new(notes: Out<'a>) -> Self {
        Self { notes, last: None }
    }

    fn tell(&mut self, progress: &Progress) {
        let whole = progress.done >= progress.of;
        // Replicas that refresh at the same time seal some of the values, so the whole may never be counted here.
        let due = self.last.is_none_or(|last| last.elapsed() >= TOLD_EVERY);
        if whole || due {
            self.last = Some(Instant::now());
            // Whoever does not want to know does not stop the rotation.
            let _untold = self.write(progress);
        }
    }

    fn write(&mut self, progress: &Progress) -> io::Result<()> {
        let Progress {
            column,
            key,
            done,
            of,
        } = progress;
        writeln!(self.notes, "{column}: {done} of {of} values of {key}")
    }
}

#[derive(Debug, Serialize)]
struct Summary {
    active: String,
    dry_run: bool,
    resealed: u64,
    /// Values by the id of a key that is not configured, and not lost.
    unknown: BTreeMap<String, u64>,
    lost: BTreeMap<String, u64>,
    broken: BTreeMap<String, u64>,
    left: BTreeMap<String, u64>,
    stopped: bool,
}

impl Summary {
    fn new(sealer: &Sealer, dry_run: bool, rotated: Rotated, lost: &[String]) -> Self {
        let Rotated {
            resealed,
            unknown,
            broken,
            left,
            stopped,
        } = rotated;
        let (lost, unknown) = unknown.into_iter().partition(|(id, _)| lost.contains(id));
        Self {
            active: sealer.active_key().to_owned(),
            dry_run,
            resealed,
            unknown,
            lost,
            broken,
            left,
            stopped,
        }
    }

    /// The first thing that an operator must know, as the one line of a failure.
    fn judge(&self) -> Result<(), Failure> {
        let told = |why: String| Err(Failure::Other(why));
        if !self.unknown.is_empty() {
            let which = each(&self.unknown);
            return told(format!("these keys are not configured: {which}"));
        }
        if !self.broken.is_empty() {
            let which = each(&self.broken);
            return told(format!(
                "these keys do not open all that was sealed under their names, \
                 since they have other bytes or values are damaged: {which}"
            ));
        }
        if self.stopped {
            return told("stopped; run it again to go on".to_owned());
        }
        if !self.left.is_empty() {
            let which = each(&self.left);
            return told(format!(
                "some values were busy, or a replica still seals with another key; run it again: {which}"
            ));
        }
        Ok(())
    }
}

/// `k1 (3 values), k2 (1 value)`
fn each(keys: &BTreeMap<String, u64>) -> String {
    let each = keys.iter();
    let each = each.map(|(id, count)| format!("{id} ({})", values(*count)));
    each.collect::<Vec<_>>().join(", ")
}

impl Printable for Summary {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.field("active key", &self.active);
        let done = if self.dry_run {
            "to be sealed anew"
        } else {
            "sealed anew"
        };
        table.field(done, values(self.resealed));
        table.field("key not configured", each(&self.unknown));
        table.field("key lost", each(&self.lost));
        table.field("not opened", each(&self.broken));
        table.field("left", each(&self.left));
        table
    }
}
