//! SIGTERM: nothing that runs is torn, nobody is left without a word.

use anyhow::{Result, ensure};
use evergrant_proto::v1::event_service_client::EventServiceClient;
use evergrant_proto::v1::watch_response::Event;
use evergrant_providers::sandbox::{Point, RotationMode};
use futures_util::future::{join_all, try_join_all};
use tonic::{Code, Streaming};

use crate::harness::background::background;
use crate::harness::caller::reason;
use crate::harness::scene::Scene;
use crate::harness::watcher::{Addresses, Watcher, everything};
use evergrant_proto::v1::{WatchRequest, WatchResponse};

const STREAMS: usize = 1_000;
const STREAMS_A_CONNECTION: usize = 100;

#[tokio::test]
async fn a_thousand_streams_are_told_to_go_elsewhere_and_miss_nothing() -> Result<()> {
    let scene = Scene::with_redis()
        .await?
        .set("events.max_streams_per_caller", 2 * STREAMS as i64);
    let [mut leaving, staying] = scene.replicas().await?;
    scene.fresh_credential(&leaving, "c").await?;
    let mut streams = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS / STREAMS_A_CONNECTION {
        let client = EventServiceClient::new(leaving.channel());
        let opened = (0..STREAMS_A_CONNECTION).map(|_| {
            let mut client = client.clone();
            async move { client.watch(everything()).await }
        });
        streams.extend(try_join_all(opened).await?);
    }

    leaving.terminate()?;
    let ends = streams
        .into_iter()
        .map(|stream| until_end(stream.into_inner()));
    let ends: Vec<_> = tokio::time::timeout(crate::harness::scene::SOON, join_all(ends)).await?;
    assert_eq!(leaving.end().await?.code(), Some(0));
    staying.caller().invalidate("c").await?;

    let mut pauses = Vec::with_capacity(STREAMS);
    let mut cursors = Vec::with_capacity(STREAMS);
    for (last, end) in ends {
        assert_eq!(
            reason(&end),
            (Code::Unavailable, "SHUTTING_DOWN".to_owned())
        );
        let Some(Event::Closing(closing)) = last.event else {
            panic!("the last message is {last:?}");
        };
        let pause = closing.reconnect_after.unwrap_or_default();
        pauses.push(pause.seconds * 1_000 + i64::from(pause.nanos) / 1_000_000);
        cursors.push(last.cursor);
    }
    let spread = pauses.iter().max().copied().unwrap_or(0);
    ensure!(
        (2_000..=10_000).contains(&spread),
        "they would all come back within {spread} ms"
    );
    for cursor in cursors.into_iter().step_by(100) {
        let request = WatchRequest {
            after: cursor,
            ..everything()
        };
        let resumed = Watcher::follow(&Addresses::of([&staying]), request);
        resumed
            .wait_for("the event", crate::harness::scene::SOON, |event| {
                matches!(event, Event::CredentialInvalidated(told) if told.credential_id == "c")
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_runs_is_finished_and_stored() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let mut replica = scene.replica("first").await?;
    let (grant, gate) = scene
        .held_credential(&replica, "c", RotationMode::Strict, Point::AfterProcessing)
        .await?;
    let caller = replica.caller();
    let asked = background(async move { caller.token("c").await });
    gate.arrival().await?;

    replica.terminate()?;
    // It no longer takes calls, so it has heard the signal.
    let newcomer = replica.caller();
    crate::harness::eventually::eventually(
        "the replica to drain",
        crate::harness::scene::SOON,
        async || (replica.admin_status("/readyz").await.ok()? == 503).then_some(()),
    )
    .await?;
    gate.open();
    let answer = asked.await??;
    assert_eq!(answer.generation, 2);
    assert_eq!(replica.end().await?.code(), Some(0));
    drop(newcomer);

    let again = scene.replica("second").await?;
    assert_eq!(
        again.caller().token("c").await?.access_token,
        answer.access_token
    );
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    Ok(())
}

#[tokio::test]
async fn a_second_signal_stops_at_once() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let mut replica = scene.replica("replica").await?;
    let (_grant, gate) = scene
        .held_credential(&replica, "c", RotationMode::Strict, Point::BeforeProcessing)
        .await?;
    gate.arrival().await?;

    replica.terminate()?;
    crate::harness::eventually::eventually(
        "the replica to drain",
        crate::harness::scene::SOON,
        async || (replica.admin_status("/readyz").await.ok()? == 503).then_some(()),
    )
    .await?;
    replica.terminate()?;

    let ended = replica.end().await?;
    assert_ne!(ended.code(), Some(0), "what was cut off is no success");
    Ok(())
}

/// The last message of a stream, and how it ended.
async fn until_end(mut stream: Streaming<WatchResponse>) -> (WatchResponse, tonic::Status) {
    let mut last = WatchResponse::default();
    loop {
        match stream.message().await {
            Ok(Some(message)) => last = message,
            Ok(None) => return (last, tonic::Status::ok("a stream never ends well")),
            Err(status) => return (last, status),
        }
    }
}
