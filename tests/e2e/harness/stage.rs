//! Replicas under load, with everything that must not show.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::eventually::eventually;
use super::load::Load;
use super::replica::Replica;
use super::replica::config::ReplicaConfig;
use super::scene::{SOON, Scene};
use super::table::Table;
use super::watcher::{Addresses, Watcher, everything};

/// Replicas, callers who never stop, and watchers who follow all that happens.
pub struct Stage {
    pub scene: Scene,
    pub replicas: Vec<Replica>,
    addresses: Addresses,
    pub load: Load,
    watchers: Vec<Watcher>,
}

impl Stage {
    /// Three replicas with `config`.
    pub async fn set(scene: Scene, config: &ReplicaConfig) -> Result<Self> {
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

    /// Waits until every replica can use its store again.
    pub async fn all_ready(&self) -> Result<()> {
        for replica in &self.replicas {
            eventually("a replica to be ready", SOON, async || {
                let status = replica.admin_status("/readyz").await.ok()?;
                (status == 200).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// One replica after the other ends and is replaced.
    pub async fn replace_all(&mut self, config: &ReplicaConfig) -> Result<()> {
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
    pub async fn nobody_noticed(self) -> Result<()> {
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
