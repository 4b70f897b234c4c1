//! Errors that the database and the keys bring about.

use anyhow::Result;
use tonic::Status;

use super::requests::refusal;
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;
use crate::harness::table::Table;

/// 32 bytes in base64.
const ANOTHER_KEY: &str = "YW5vdGhlci1zZWFsaW5nLWtleS1vZi0zMi1ieXRlcyE=";

pub async fn internal() -> Result<Status> {
    let mut scene = Scene::without_redis().await?;
    let [one, two] = scene.replicas().await?;
    scene.fresh_credential(&one, "c").await?;
    let mut table = Table::open(scene.postgres()).await?;
    table.spoil_grants().await?;
    refusal(two.caller().token("c").await)
}

pub async fn store_unavailable() -> Result<Status> {
    let mut scene = Scene::without_redis().await?;
    let replica = scene.replica("replica").await?;
    scene.postgres().kill().await?;
    refusal(replica.caller().token("c").await)
}

pub async fn key_unavailable() -> Result<Status> {
    let scene = Scene::without_redis().await?;
    // It starts before anything is sealed with the other key.
    let old = scene.replica("old").await?;
    let config = scene.config().named("new");
    let config = config.set("keys.k2", ANOTHER_KEY).set("keys.active", "k2");
    let new = Replica::start(&config).await?;
    scene.fresh_credential(&new, "c").await?;
    refusal(old.caller().token("c").await)
}
