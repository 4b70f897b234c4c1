//! `evergrant keys verify`: which keys are needed, by what, and whether any is missing.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::{ring, store_failure, values};
use crate::cli::exit::Failure;
use crate::cli::output::{Out, Output, Printable, Table};
use crate::cli::settings::ConfigFile;
use crate::config::Config;
use crate::journal::Journal;
use crate::redis::{SurveyError, escrow_key_use};
use crate::seal::Sealer;
use crate::store::{SealedStore, Trial};

/// Arguments of `evergrant keys verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
It counts in the store, in Redis and in the journal of this configuration; other replicas may have journals of
their own. It exits with 1 if a key that is needed is not configured, or does not open what it sealed.

Example, before a key is taken out of the configuration:
  evergrant keys verify --config /etc/evergrant.toml --key k1")]
pub struct Verify {
    /// Exit with 1 while this key is needed, with 64 if there is no such key
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    config: ConfigFile,
}

impl Verify {
    pub(super) async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        let config = self.config.load()?;
        let sealer = match ring(&config).await? {
            Ok(sealer) => sealer,
            Err(path) => {
                let path = path.display();
                if let Some(id) = &self.key {
                    let why =
                        format!("--key {id}: there is no key yet: the first start makes {path}");
                    return Err(Failure::Usage(why));
                }
                writeln!(out, "no key file yet: the first start makes {path}")?;
                return Ok(());
            }
        };
        let mut census = Census::new(&sealer, config.keys.lost());
        census.count_store(&config, &sealer).await?;
        census.count_escrow(&config).await?;
        self.output.print(out, &census.report())?;
        census.judge(self.key.as_deref())
    }
}

/// What each key sealed, and where.
#[derive(Debug, Default)]
struct Census {
    active: String,
    keys: BTreeMap<String, Found>,
}

#[derive(Debug, Default)]
struct Found {
    standing: Standing,
    places: BTreeMap<&'static str, u64>,
    /// Whether it opens what was sealed under its name; `None` if it is not there, or nothing was.
    trial: Option<Trial>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Active,
    Readable,
    Lost,
    #[default]
    Unknown,
}

impl Found {
    fn values(&self) -> u64 {
        self.places.values().sum()
    }
}

impl Census {
    fn new(sealer: &Sealer, lost: &[String]) -> Self {
        let active = sealer.active_key().to_owned();
        let lost = lost.iter().map(|id| (id.as_str(), Standing::Lost));
        let readable = sealer.key_ids().map(|id| {
            let active = id == sealer.active_key();
            let standing = if active {
                Standing::Active
            } else {
                Standing::Readable
            };
            (id, standing)
        });
        let known = lost.chain(readable).map(|(id, standing)| {
            let found = Found {
                standing,
                ..Found::default()
            };
            (id.to_owned(), found)
        });
        Self {
            active,
            keys: known.collect(),
        }
    }

    fn add(&mut self, place: &'static str, keys: impl IntoIterator<Item = (String, u64)>) {
        for (key, values) in keys {
            *self
                .keys
                .entry(key)
                .or_default()
                .places
                .entry(place)
                .or_default() += values;
        }
    }

    async fn count_store(&mut self, config: &Config, sealer: &Sealer) -> Result<(), Failure> {
        let store = SealedStore::open(&config.store.url).await;
        let Some(store) = store.map_err(store_failure)? else {
            return Ok(());
        };
        for found in store.key_use().await.map_err(store_failure)? {
            self.add(found.column, [(found.key, found.values)]);
        }
        for (key, found) in &mut self.keys {
            if sealer.opens(key) && found.values() > 0 {
                let trial = store.try_key(sealer, key).await;
                found.trial = Some(trial.map_err(store_failure)?);
            }
        }
        store.close().await;
        Ok(())
    }

    async fn count_escrow(&mut self, config: &Config) -> Result<(), Failure> {
        if let Some(url) = &config.redis.url {
            let keys = escrow_key_use(url.expose(), &config.redis.prefix).await;
            let keys = keys.map_err(|error| match error {
                SurveyError::Url(error) => Failure::Usage(format!("redis.url: {error}")),
                SurveyError::Unreachable(error) => {
                    Failure::Unreachable(format!("redis.url: {error}"))
                }
            });
            self.add("redis", keys?);
        }
        if let Some(path) = &config.refresh.journal {
            let keys = Journal::key_use_of(path);
            let keys = keys.map_err(|error| Failure::Other(format!("refresh.journal: {error}")));
            self.add("journal", keys?);
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let keys = self.keys.iter().map(|(id, found)| KeyReport {
            id: id.clone(),
            standing: found.standing,
            values: found.values(),
            places: found.places.clone(),
            opens: found.trial.as_ref().map(|trial| trial.wrong().is_none()),
        });
        Report {
            active: self.active.clone(),
            keys: keys.collect(),
        }
    }

    /// The first thing that an operator must know, as the one line of a failure.
    fn judge(&self, asked: Option<&str>) -> Result<(), Failure> {
        let told = |why: String| Err(Failure::Other(why));
        for (id, found) in &self.keys {
            let count = values(found.values());
            if found.standing == Standing::Unknown {
                return told(format!(
                    "sealing key {id} is not configured, and is needed by {count}"
                ));
            }
            let Some(trial) = &found.trial else { continue };
            if let Some(wrong) = trial.wrong() {
                return told(wrong.to_string());
            }
            if let Some(column) = trial.closed() {
                return told(format!(
                    "sealing key {id} opens what was sealed under its name, but for values of {column}, \
                     which are damaged"
                ));
            }
        }
        let Some(id) = asked else {
            return Ok(());
        };
        match self.keys.get(id) {
            None => Err(Failure::Usage(format!(
                "--key {id}: no key of that id is configured, and nothing was sealed with one"
            ))),
            Some(found) if found.standing == Standing::Active => {
                told(format!("sealing key {id} is the active one"))
            }
            Some(found) if found.values() > 0 => told(format!(
                "sealing key {id} is needed by {}",
                values(found.values())
            )),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    active: String,
    keys: Vec<KeyReport>,
}

#[derive(Debug, Serialize)]
struct KeyReport {
    id: String,
    standing: Standing,
    values: u64,
    places: BTreeMap<&'static str, u64>,
    /// Whether it opens what was sealed under its name; `None` if it was not tried.
    opens: Option<bool>,
}

impl Printable for Report {
    fn table(&self) -> Table {
        let mut table = Table::default();
        for key in &self.keys {
            let role = match key.standing {
                _ if key.opens == Some(false) => "does not open what was sealed under its name",
                Standing::Active => "seals and opens",
                Standing::Readable => "opens",
                Standing::Lost => "lost",
                Standing::Unknown => "not configured",
            };
            table.row([key.id.clone(), role.to_owned(), key.need()]);
        }
        table
    }
}

impl KeyReport {
    fn need(&self) -> String {
        if self.values == 0 {
            return match self.standing {
                Standing::Active => "needed by 0 values".to_owned(),
                _ => "not needed: may be retired".to_owned(),
            };
        }
        let places = self
            .places
            .iter()
            .map(|(place, count)| format!("{place} {count}"));
        let places = places.collect::<Vec<_>>().join(", ");
        format!("needed by {}: {places}", values(self.values))
    }
}
