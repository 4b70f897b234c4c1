//! Two versions on one database: what callers and watchers notice while replicas are replaced, and what becomes of a
//! step back.

mod previous;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::harness::cli;
use crate::harness::load::Load;
use crate::harness::replica::Replica;
use crate::harness::replica::config::ReplicaConfig;
use crate::harness::scene::Scene;
use crate::harness::table::Table;
use crate::harness::watcher::{Addresses, Watcher, everything};

/// Replicas of one version, callers who never stop, and watchers who follow all that happens.
struct Stage {
    scene: Scene,
    replicas: Vec<Replica>,
    addresses: Addresses,
    load: Load,
    watchers: Vec<Watcher>,
}

impl Stage {
    async fn set(scene: Scene, config: &ReplicaConfig) -> Result<Self> {
        let mut replicas = Vec::new();
        for number in 1..=3 {
            let config = config.clone().named(format!("replica {number}"));
            replicas.push(Replica::start(&config).await?);
        }
        let addresses = Addresses::of(&replicas);
        let mut watchers = Vec::new();
        for _ in 0..3 {
            let watcher = Watcher::follow(&addresses, everything());
            watcher.first_snapshot().await?;
            watchers.push(watcher);
        }
        let load = Load::start(&scene, &addresses).await?;
        Ok(Self {
            scene,
            replicas,
            addresses,
            load,
            watchers,
        })
    }

    /// One replica after the other ends and is replaced.
    async fn replace_all(&mut self, config: &ReplicaConfig) -> Result<()> {
        for number in 1..=self.replicas.len() {
            let mut old = self.replicas.remove(0);
            old.terminate()?;
            ensure!(old.end().await?.code() == Some(0), "{}", old.log());
            let config = config.clone().named(format!("replica {number}, replaced"));
            let new = Replica::start(&config).await?;
            self.addresses.replace(old.grpc(), &new);
            self.replicas.push(new);
            self.load.goes_on().await?;
        }
        Ok(())
    }

    /// Ends the load, and fails if anybody noticed anything.
    async fn nobody_noticed(self) -> Result<()> {
        let Self {
            mut scene,
            load,
            watchers,
            replicas,
            ..
        } = self;
        load.end().await?;
        let mut table = Table::open(scene.postgres()).await?;
        let head = table.head().await?;
        let written: Vec<u64> = table.events().await?.into_iter().map(|row| row.0).collect();
        ensure!(written.len() >= 20, "{} events are too few", written.len());
        for watcher in &watchers {
            let seen = watcher.covered(head).await?;
            let told: Vec<u64> = seen
                .iter()
                .filter_map(|message| message.event_id.rsplit_once('-')?.1.parse().ok())
                .collect();
            let once: BTreeSet<_> = told.iter().copied().collect();
            ensure!(once.len() == told.len(), "an event came twice");
            let since = told.first().copied().unwrap_or_default();
            let expected = written.iter().copied().filter(|number| *number >= since);
            ensure!(told.iter().copied().eq(expected), "an event is missing");
        }
        drop(replicas);
        scene.sandbox.assert_one_call_a_token()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_of_the_version_before_are_replaced_under_load_and_nobody_notices() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let new = scene.config();
    let old = new.clone().program(previous::program()?);
    let mut stage = Stage::set(scene, &old).await?;

    let migrated = cli::evergrant(&new, &["migrate"]).await?;
    ensure!(migrated.code == Some(0), "{}", migrated.stderr);
    stage.load.goes_on().await?;

    // That version knows no schema but its own. Those that run go on.
    let (code, log) = Replica::run_to_end(&old).await?;
    assert_eq!(code, Some(1), "{log}");
    ensure!(log.contains("was written by a newer version"), "{log}");
    stage.load.goes_on().await?;

    stage.replace_all(&new).await?;
    stage.nobody_noticed().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_back_is_possible_for_as_long_as_newer_schemas_only_add() -> Result<()> {
    let mut scene = Scene::with_redis().await?;
    let config = scene.config();
    let mut table = {
        cli::evergrant(&config, &["migrate"]).await?;
        Table::open(scene.postgres()).await?
    };
    let mut stage = Stage::set(scene, &config).await?;

    // What `evergrant migrate` of the version after this one might do.
    for change in [
        "ALTER TABLE grants ADD COLUMN later BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE event_log ADD COLUMN later TEXT",
        "CREATE TABLE later (id BIGINT NOT NULL PRIMARY KEY)",
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9998_later', 0)",
    ] {
        table.change(change).await?;
    }
    stage.load.goes_on().await?;
    stage.replace_all(&config).await?;

    table
        .change("UPDATE schema_requirement SET migration = 'm9998_later'")
        .await?;
    let (code, log) = Replica::run_to_end(&config).await?;
    assert_eq!(code, Some(1), "{log}");
    let told = log.lines().filter(|line| line.contains("m9998_later"));
    assert_eq!(told.count(), 1, "{log}");
    ensure!(log.contains("too old"), "{log}");
    stage.nobody_noticed().await
}
