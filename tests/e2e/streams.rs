//! The event stream misses nothing, whatever becomes of replicas, of the database and of readers.

mod history;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{
    CredentialState, EventType, ListCredentialsRequest, WatchRequest, WatchResponse,
};
use tonic::{Code, Status};

use self::history::{Crowd, numbers_and_kinds, state_of};
use crate::harness::background::background;
use crate::harness::caller::reason;
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};
use crate::harness::table::Table;
use crate::harness::watcher::{Addresses, Watcher, everything};

// E2, E3, E4 (heartbeats come every second and must cover nothing that was not delivered), E5
#[tokio::test]
async fn watchers_miss_nothing_over_kills_and_restarts_and_resume_from_any_cursor() -> Result<()> {
    let mut scene = Scene::with_redis().await?;
    let [one, two] = scene.replicas().await?;
    let addresses = Addresses::of([&one, &two]);
    let crowd = Crowd::store(&scene, &one, 5).await?;
    let watchers: Vec<_> = (0..4)
        .map(|_| Watcher::follow(&addresses, everything()))
        .collect();
    for watcher in &watchers {
        watcher.first_snapshot().await?;
    }

    crowd.turn(&scene, &two, 3).await?;
    let gone = one.grpc();
    one.kill().await?;
    crowd.turn(&scene, &two, 3).await?;
    let one = scene.replica("replica 1, again").await?;
    addresses.replace(gone, &one);
    scene.redis().kill().await?;
    crowd.turn(&scene, &one, 3).await?;
    let gone = two.grpc();
    two.kill().await?;
    scene.postgres().restart().await?;
    eventually("the replica to serve again", SOON, async || {
        one.caller().credential("member-0").await.ok()
    })
    .await?;
    crowd.turn(&scene, &one, 3).await?;
    let two = scene.replica("replica 2, again").await?;
    addresses.replace(gone, &two);
    crowd.turn(&scene, &two, 3).await?;

    let mut table = Table::open(scene.postgres()).await?;
    let (head, written) = (table.head().await?, table.events().await?);
    ensure!(written.len() >= 60, "{} events are too few", written.len());
    let mut cursors = Vec::new();
    for watcher in &watchers {
        let seen = watcher.covered(head).await?;
        assert_eq!(numbers_and_kinds(&seen)?, written);
        ensure!(!watcher.seen().ends.is_empty(), "no stream was cut");
        let positions = seen.iter().filter(|message| !message.cursor.is_empty());
        cursors.extend(positions.map(|message| (message.covers_to, message.cursor.clone())));
    }

    let sample = cursors.len() / 20;
    for (covered, cursor) in cursors.into_iter().step_by(sample.max(1)) {
        let request = WatchRequest {
            after: cursor,
            ..everything()
        };
        let resumed = Watcher::follow(&Addresses::of([&two]), request);
        let seen = resumed.covered(head).await?;
        let missed: Vec<_> = written
            .iter()
            .filter(|(number, _)| *number > covered)
            .cloned()
            .collect();
        assert_eq!(numbers_and_kinds(&seen)?, missed);
    }
    Ok(())
}

// E5
#[tokio::test]
async fn a_cursor_past_the_retention_is_refused_with_a_reason() -> Result<()> {
    let mut scene = Scene::without_redis().await?;
    let replica = scene.replica("first").await?;
    let crowd = Crowd::store(&scene, &replica, 2).await?;
    let watcher = Watcher::start(&replica, everything()).await?;
    let cursor = watcher.cursor();
    crowd.turn(&scene, &replica, 2).await?;
    let mut table = Table::open(scene.postgres()).await?;
    let head = table.head().await?;
    watcher.covered(head).await?;
    replica.kill().await?;
    table.age_events(31).await?;

    // It prunes when it starts.
    let replica = scene.replica("second").await?;
    eventually("the events to be pruned", SOON, async || {
        table.events().await.ok()?.is_empty().then_some(())
    })
    .await?;
    let request = |after: &str| WatchRequest {
        after: after.to_owned(),
        ..everything()
    };
    let refusal = first_refusal(&replica, request(&cursor)).await?;
    assert_eq!(
        reason(&refusal),
        (Code::OutOfRange, "CURSOR_EXPIRED".to_owned())
    );
    // Nothing is missing after the newest one, however old that is.
    let newest = watcher.cursor();
    let resumed = Watcher::follow(&Addresses::of([&replica]), request(&newest));
    crowd.turn(&scene, &replica, 1).await?;
    let head = table.head().await?;
    resumed.covered(head).await?;
    Ok(())
}

#[tokio::test]
async fn a_cursor_of_another_log_is_refused_with_a_reason() -> Result<()> {
    let (one, other) = (Scene::on_sqlite().await?, Scene::on_sqlite().await?);
    let (replica, stranger) = (one.replica("one").await?, other.replica("other").await?);
    let cursor = Watcher::start(&stranger, everything()).await?.cursor();

    let request = WatchRequest {
        after: cursor,
        ..everything()
    };
    let refusal = first_refusal(&replica, request).await?;

    let (_, why) = reason(&refusal);
    assert_eq!(why, "CURSOR_EPOCH_MISMATCH", "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn a_cursor_serves_no_other_filter() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let deaths = WatchRequest {
        types: vec![EventType::CredentialInvalidated.into()],
        ..everything()
    };
    let cursor = Watcher::start(&replica, deaths).await?.cursor();

    let wider = WatchRequest {
        after: cursor,
        ..everything()
    };
    let refusal = first_refusal(&replica, wider).await?;

    let (_, why) = reason(&refusal);
    assert_eq!(why, "FILTER_CHANGED", "{refusal:?}");
    Ok(())
}

// E6
#[tokio::test]
async fn snapshots_that_race_with_writes_end_in_what_is_stored() -> Result<()> {
    let scene = Scene::without_redis().await?;
    let [one, two] = scene.replicas().await?;
    // More than one page of the snapshot.
    let crowd = Crowd::store(&scene, &one, 600).await?;
    crowd.invalidate(&one).await?;
    let writer = background({
        let (lone, turns) = (Crowd::store_apart(&scene, &one, 40).await?, 4);
        let caller = one.caller();
        let sandbox = scene.sandbox.control();
        async move {
            for _ in 0..turns {
                lone.turn_each(&sandbox, &caller).await?;
            }
            anyhow::Ok(())
        }
    });

    let watchers: Vec<_> = (0..8)
        .map(|number| {
            let replica = if number % 2 == 0 { &one } else { &two };
            Watcher::follow(&Addresses::of([replica]), everything())
        })
        .collect();
    writer.await??;
    let mut scene = scene;
    let head = Table::open(scene.postgres()).await?.head().await?;
    let stored = invalidated(&one).await?;
    ensure!(stored.len() >= 600, "{} are dead", stored.len());
    for watcher in &watchers {
        watcher.first_snapshot().await?;
        let seen = watcher.covered(head).await?;
        assert_eq!(state_of(&seen), stored);
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_that_falls_behind_the_memory_of_a_replica_still_gets_everything() -> Result<()> {
    let mut scene = Scene::without_redis().await?;
    let replica = scene.replica("replica").await?;
    // One death and one recovery of a grant that a thousand credentials share make two thousand events; the ring
    // holds some sixteen thousand.
    let crowd = Crowd::store(&scene, &replica, 1_000).await?;
    let mut events = replica.events();
    let mut slow = events.watch(everything()).await?.into_inner();
    let first = slow.message().await?.context("the stream begins")?;
    for _ in 0..9 {
        crowd.turn(&scene, &replica, 1).await?;
    }

    let mut table = Table::open(scene.postgres()).await?;
    let (head, written) = (table.head().await?, table.events().await?);
    ensure!(
        written.len() > 17_000,
        "{} events are too few",
        written.len()
    );
    let mut seen = vec![first];
    let reading = async {
        while seen.last().is_none_or(|message| message.covers_to < head) {
            seen.push(slow.message().await?.context("the stream goes on")?);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(60), reading).await??;
    assert_eq!(numbers_and_kinds(&seen)?, written);
    Ok(())
}

#[tokio::test]
async fn a_replica_that_cannot_read_the_log_ends_its_streams_and_says_why() -> Result<()> {
    let mut scene = Scene::without_redis().await?;
    let replica = scene.replica("replica").await?;
    let mut events = replica.events();
    let mut stream = events.watch(everything()).await?.into_inner();
    while !matches!(
        stream.message().await?.and_then(|message| message.event),
        Some(Event::SnapshotEnd(_))
    ) {}
    scene.postgres().freeze()?;

    let mut last: Option<WatchResponse> = None;
    let end = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            match stream.message().await {
                Ok(Some(message)) => last = Some(message),
                Ok(None) => break Status::ok("a stream never ends well"),
                Err(status) => break status,
            }
        }
    })
    .await?;

    assert_eq!(
        reason(&end),
        (Code::Unavailable, "EVENT_LOG_UNREACHABLE".to_owned())
    );
    let closing = last.and_then(|message| message.event);
    assert!(matches!(closing, Some(Event::Closing(_))), "{closing:?}");
    scene.postgres().thaw()?;
    Ok(())
}

/// The status with which a stream of this request ends at once.
async fn first_refusal(replica: &Replica, request: WatchRequest) -> Result<Status> {
    let mut events = replica.events();
    let answer = async {
        let mut stream = match events.watch(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Ok(status),
        };
        loop {
            match stream.message().await {
                Ok(Some(message)) if message.covers_to > message.covers_after => {
                    anyhow::bail!("the stream goes on with {message:?}")
                }
                Ok(_) => {}
                Err(status) => return Ok(status),
            }
        }
    };
    let refusal = tokio::time::timeout(SOON, answer).await;
    refusal.context("the stream goes on")?
}

/// The ids of all credentials that are stored as dead.
async fn invalidated(replica: &Replica) -> Result<BTreeSet<String>> {
    let mut client = replica.credentials();
    let mut ids = BTreeSet::new();
    let mut page_token = String::new();
    loop {
        let page = client
            .list_credentials(ListCredentialsRequest {
                state: CredentialState::Invalidated.into(),
                page_size: 100,
                page_token,
                ..ListCredentialsRequest::default()
            })
            .await?
            .into_inner();
        ids.extend(
            page.credentials
                .into_iter()
                .map(|found| found.credential_id),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(ids);
        }
    }
}
