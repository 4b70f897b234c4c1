//! Errors that the database and the keys bring about.

use anyhow::Result;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::requests::refusal;
use crate::harness::caller::Caller;
use crate::harness::eventually::eventually;
use crate::harness::ports::free_port;
use crate::harness::replica::{Replica, channel_to};
use crate::harness::scene::{SOON, Scene};
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

pub async fn starting() -> Result<Status> {
    let mut scene = Scene::without_redis().await?;
    let port = free_port()?;
    let listen = format!("127.0.0.1:{port}");
    let config = scene.config().set("server.listen", listen);
    scene.postgres().freeze()?;
    let told = async {
        let caller = Caller::new(channel_to(([127, 0, 0, 1], port).into()));
        let told = eventually("an answer with a reason", SOON, async || {
            let status = caller.token("c").await.err()?;
            status.get_details_error_info().map(|_| status)
        });
        let told = told.await?;
        scene.postgres().thaw()?;
        Ok(told)
    };
    let (_replica, told) = tokio::try_join!(Replica::start(&config), told)?;
    Ok(told)
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
