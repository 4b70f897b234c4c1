//! Errors that end streams, or keep them from beginning.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_proto::v1::event_service_client::EventServiceClient;
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{Credential, EventType, WatchRequest, WatchResponse};
use evergrant_providers::sandbox::RotationMode;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use super::requests::stage;
use crate::harness::caller::{credential, fresh};
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};
use crate::harness::table::Table;
use crate::harness::watcher::{Watcher, everything};

/// The server is patient for two minutes, and cuts the stream off half a minute later.
const TAKES_NOTHING: Duration = Duration::from_secs(125);
/// More than a reader gets that takes nothing: credentials, and the bytes of each one's labels.
const CREDENTIALS: usize = 40;
const LARGE: usize = 12_000;

pub async fn shutting_down() -> Result<Status> {
    let (_scene, mut replica) = stage().await?;
    let stream = watch(&replica, everything()).await?;
    replica.terminate()?;
    end(stream).await
}

pub async fn cursor_expired() -> Result<Status> {
    let mut scene = Scene::without_redis().await?;
    let replica = scene.replica("first").await?;
    scene.fresh_credential(&replica, "c").await?;
    let cursor = Watcher::start(&replica, everything()).await?.cursor();
    replica.caller().invalidate("c").await?;
    let mut table = Table::open(scene.postgres()).await?;
    replica.kill().await?;
    table.age_events(31).await?;
    // It prunes when it starts.
    let replica = scene.replica("second").await?;
    eventually("the events to be pruned", SOON, async || {
        table.events().await.ok()?.is_empty().then_some(())
    })
    .await?;
    refused(&replica, after(cursor)).await
}

pub async fn cursor_epoch_mismatch() -> Result<Status> {
    let ((_scene, replica), (_other, stranger)) = tokio::try_join!(stage(), stage())?;
    let cursor = Watcher::start(&stranger, everything()).await?.cursor();
    refused(&replica, after(cursor)).await
}

pub async fn filter_changed() -> Result<Status> {
    let (_scene, replica) = stage().await?;
    let deaths = WatchRequest {
        types: vec![EventType::CredentialInvalidated.into()],
        ..everything()
    };
    let cursor = Watcher::start(&replica, deaths).await?.cursor();
    refused(&replica, after(cursor)).await
}

pub async fn slow_consumer() -> Result<Status> {
    let (scene, replica) = stage().await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let labels = (0..LARGE / 250).map(|number| (format!("label-{number}"), "x".repeat(250)));
    let labels: HashMap<_, _> = labels.collect();
    // All are of one account, so that they die at once.
    for number in 0..CREDENTIALS {
        let one = Credential {
            provider_account: "ann".to_owned(),
            labels: labels.clone(),
            ..credential(&format!("c-{number}"))
        };
        replica.caller().store(one, fresh(&grant)).await?;
    }
    replica.caller().invalidate("c-0").await?;
    let address = format!("http://{}", replica.grpc());
    let narrow = Endpoint::from_shared(address)?.initial_stream_window_size(65_535);
    let mut events = EventServiceClient::new(narrow.connect().await?);
    let stream = events.watch(everything()).await?.into_inner();
    tokio::time::sleep(TAKES_NOTHING).await;
    end(stream).await
}

pub async fn stream_limit() -> Result<Status> {
    let scene = Scene::on_sqlite().await?.set("events.max_streams", 1);
    let replica = scene.replica("replica").await?;
    let _only = watch(&replica, everything()).await?;
    refused(&replica, everything()).await
}

pub async fn stream_rotated() -> Result<Status> {
    let scene = Scene::on_sqlite().await?;
    let scene = scene.set("events.stream_lifetime", "1m");
    let replica = scene.replica("replica").await?;
    end(watch(&replica, everything()).await?).await
}

pub async fn event_log_unreachable() -> Result<Status> {
    let mut scene = Scene::without_redis().await?;
    let replica = scene.replica("replica").await?;
    let stream = watch(&replica, everything()).await?;
    scene.postgres().freeze()?;
    let told = end(stream).await;
    scene.postgres().thaw()?;
    told
}

fn after(cursor: String) -> WatchRequest {
    WatchRequest {
        after: cursor,
        ..everything()
    }
}

/// A stream whose snapshot has ended.
async fn watch(replica: &Replica, request: WatchRequest) -> Result<Streaming<WatchResponse>> {
    let mut stream = replica.events().watch(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if matches!(message.event, Some(Event::SnapshotEnd(_))) {
            return Ok(stream);
        }
    }
    anyhow::bail!("the snapshot does not end")
}

/// How a stream of this request is refused, at once or with its first word.
async fn refused(replica: &Replica, request: WatchRequest) -> Result<Status> {
    match replica.events().watch(request).await {
        Err(status) => Ok(status),
        Ok(stream) => end(stream.into_inner()).await,
    }
}

/// How a stream ends, which says so before.
async fn end(mut stream: Streaming<WatchResponse>) -> Result<Status> {
    let mut last = None;
    let status = loop {
        match stream.message().await {
            Ok(message) => last = Some(message.context("a stream never ends well")?),
            Err(status) => break status,
        }
    };
    if let Some(Event::Closing(closing)) = last.and_then(|message| message.event) {
        use tonic_types::StatusExt as _;
        let told = status.get_details_error_info().map(|info| info.reason);
        anyhow::ensure!(Some(closing.reason) == told, "Closing says another reason");
    }
    Ok(status)
}
