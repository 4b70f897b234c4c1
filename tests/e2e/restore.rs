//! A backup comes back: what was spent since is told as lost, what was not goes on, and what was kept elsewhere is found.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{Credential, InvalidationReason, WatchRequest};
use evergrant_providers::sandbox::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Point, RotationMode};
use tonic::{Code, Status};

use crate::failover::database::SqliteLock;
use crate::harness::background::background;
use crate::harness::caller::{credential, fresh, reason};
use crate::harness::cli;
use crate::harness::eventually::eventually;
use crate::harness::proxy::{Direction, Proxy};
use crate::harness::replica::Replica;
use crate::harness::replica::config::ReplicaConfig;
use crate::harness::scene::{SOON, Scene};
use crate::harness::table::Table;
use crate::harness::watcher::{Watcher, everything};

/// `evergrant restored`, and how many grants it put in doubt.
async fn tell_restored(config: &ReplicaConfig) -> Result<u64> {
    let told = cli::evergrant(config, &["restored"]).await?;
    ensure!(told.code == Some(0), "{}", told.stderr);
    let words = told.stdout.strip_prefix("grants in doubt: ");
    let count = words.and_then(|rest| rest.split(';').next());
    Ok(count.context("it says how many")?.parse()?)
}

async fn stop(mut replica: Replica) -> Result<()> {
    replica.terminate()?;
    ensure!(replica.end().await?.code() == Some(0), "{}", replica.log());
    Ok(())
}

/// How a stream that begins after `cursor` ends.
async fn refusal(replica: &Replica, cursor: &str) -> Result<Status> {
    let request = WatchRequest {
        after: cursor.to_owned(),
        ..everything()
    };
    let mut stream = match replica.events().watch(request).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => return Ok(status),
    };
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => anyhow::bail!("a stream never ends well"),
            Err(status) => return Ok(status),
        }
    }
}

#[tokio::test]
async fn what_was_spent_since_the_backup_is_told_as_lost_and_all_else_goes_on() -> Result<()> {
    let mut scene = Scene::with_redis().await?.impatient();
    let steady = scene.sandbox.entry("steady", RotationMode::None);
    let config = scene.config().provider("steady", steady).client(
        "steady-main",
        "steady",
        DEFAULT_CLIENT_ID,
        DEFAULT_CLIENT_SECRET,
    );
    let replica = Replica::start(&config).await?;
    let caller = replica.caller();
    let spent = scene.fresh_credential(&replica, "spent").await?;
    let unused = scene.fresh_credential(&replica, "unused").await?;
    scene.fresh_credential(&replica, "turned").await?;
    let kept = scene.sandbox.grant(RotationMode::None)?;
    let of_steady = Credential {
        provider: "steady".to_owned(),
        client: "steady-main".to_owned(),
        ..credential("kept")
    };
    caller.store(of_steady, fresh(&kept)).await?;
    let watcher = Watcher::start(&replica, everything()).await?;
    let dump = scene.postgres().dump().await?;

    assert_eq!(caller.refused("spent", 1).await?.generation, 2);
    assert_eq!(caller.refused("kept", 1).await?.generation, 2);
    caller.invalidate("turned").await?;
    let head = Table::open(scene.postgres()).await?.head().await?;
    watcher.covered(head).await?;
    let cursor = watcher.cursor();
    stop(replica).await?;
    scene.postgres().restore(&dump).await?;
    assert_eq!(tell_restored(&config).await?, 4);
    assert_eq!(tell_restored(&config).await?, 0, "said again");

    let replica = Replica::start(&config).await?;
    let caller = replica.caller();
    assert_eq!(
        reason(&refusal(&replica, &cursor).await?),
        (Code::FailedPrecondition, "CURSOR_EPOCH_MISMATCH".to_owned())
    );
    let watcher = Watcher::start(&replica, everything()).await?;
    for id in ["unused", "kept"] {
        assert_eq!(caller.token(id).await?.generation, 1);
        assert_eq!(caller.refused(id, 1).await?.generation, 2, "{id}");
    }
    let refused = caller.refused("spent", 1).await;
    let refused = refused.expect_err("its provider revoked it");
    assert_eq!(
        reason(&refused),
        (
            Code::FailedPrecondition,
            "CREDENTIAL_INVALIDATED".to_owned()
        )
    );
    let told = |event: &Event| match event {
        Event::CredentialInvalidated(told) => {
            told.credential_id == "spent" && told.reason() == InvalidationReason::RotationLost
        }
        _ => false,
    };
    watcher.wait_for("the loss to be told", SOON, told).await?;
    assert!(!scene.sandbox.is_alive(&spent)?);
    assert!(scene.sandbox.is_alive(&unused)? && scene.sandbox.is_alive(&kept)?);
    Ok(())
}

#[tokio::test]
async fn tokens_in_redis_that_are_newer_than_the_backup_are_stored_again() -> Result<()> {
    let mut scene = Scene::with_redis().await?;
    let network = Proxy::start(scene.postgres().address())?;
    let store = scene.postgres().url_at(network.address());
    let leader = Replica::start(&scene.config().named("leader").set("store.url", store)).await?;
    let (grant, first) = scene
        .held_credential(&leader, "c", RotationMode::Strict, Point::BeforeProcessing)
        .await?;
    first.arrival().await?;
    let dump = scene.postgres().dump().await?;
    first.open();
    let caller = leader.caller();
    assert_eq!(caller.token("c").await?.generation, 2);

    let gate = scene.sandbox.hold(&grant, Point::AfterProcessing);
    let asked = background(async move { caller.refused("c", 2).await });
    gate.arrival().await?;
    network.hold(Direction::ToServer);
    gate.open();
    eventually("the escrow to be written", SOON, async || {
        let metrics = leader.metrics().await.ok()?;
        (metrics.sum("evergrant_escrow_written_total", &[]) > 1.0).then_some(())
    })
    .await?;
    leader.kill().await?;
    drop(network);
    asked.abort();
    scene.postgres().restore(&dump).await?;
    assert_eq!(tell_restored(&scene.config()).await?, 1);

    let replica = scene.replica("after the restore").await?;
    let caller = replica.caller();
    assert_eq!(caller.token("c").await?.generation, 2);
    scene.sandbox.assert_one_call_a_token()?;
    assert_eq!(scene.sandbox.calls_for(&grant), 2, "no call was needed");
    assert_eq!(caller.refused("c", 2).await?.generation, 3);
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn an_sqlite_file_is_copied_while_it_is_used_and_its_journal_outlives_it() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let file = scene.sqlite_file().context("this scene has a file")?;
    let copy = file.with_file_name("it's a copy.db");
    let out = copy.to_str().context("a path of text")?;
    let replica = scene.replica("before").await?;
    let (grant, first) = scene
        .held_credential(&replica, "c", RotationMode::Strict, Point::BeforeProcessing)
        .await?;
    first.arrival().await?;
    let done = cli::evergrant(&scene.config(), &["backup", "--out", out]).await?;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let mode = std::fs::metadata(&copy)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = cli::evergrant(&scene.config(), &["backup", "--out", out]).await?;
    assert_eq!(again.code, Some(1), "it is not overwritten");

    first.open();
    let caller = replica.caller();
    assert_eq!(caller.token("c").await?.generation, 2);
    let gate = scene.sandbox.hold(&grant, Point::AfterProcessing);
    let asked = background(async move { caller.refused("c", 2).await });
    gate.arrival().await?;
    let lock = SqliteLock::take(&scene).await?;
    gate.open();
    eventually("the journal to be written", SOON, async || {
        let metrics = replica.metrics().await.ok()?;
        (metrics.sum("evergrant_escrow_written_total", &[]) > 1.0).then_some(())
    })
    .await?;
    replica.kill().await?;
    lock.release().await?;
    asked.abort();

    // As `docs/backup.md` has it.
    for ending in ["", "-wal", "-shm"] {
        let gone = std::fs::remove_file(format!("{}{ending}", file.display()));
        ensure!(gone.is_ok() || !ending.is_empty(), "the database was there");
    }
    std::fs::copy(&copy, &file)?;
    assert_eq!(tell_restored(&scene.config()).await?, 1);
    let replica = scene.replica("after").await?;
    assert_eq!(replica.caller().token("c").await?.generation, 2);
    assert_eq!(scene.sandbox.calls_for(&grant), 2, "no call was needed");
    assert_eq!(replica.caller().refused("c", 2).await?.generation, 3);
    scene.sandbox.assert_one_call_a_token()
}

/// As `docs/backup.md` has it, replicas are stopped before. One that is not is found out.
async fn a_replica_that_runs_is_found_out(scene: &Scene) -> Result<()> {
    let mut replica = scene.replica("runs").await?;
    let told = cli::evergrant(&scene.config(), &["restored"]).await?;
    assert_eq!(told.code, Some(1), "{told:?}");
    for words in ["stop all replicas first", "--force", "nothing was changed"] {
        ensure!(told.stderr.contains(words), "{told:?}");
    }
    let forced = cli::evergrant(&scene.config(), &["restored", "--force"]).await?;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    replica.terminate()?;
    replica.end().await?;
    tell_restored(&scene.config()).await?;
    Ok(())
}

#[tokio::test]
async fn a_replica_that_runs_on_sqlite_is_not_told_of_a_restore() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    a_replica_that_runs_is_found_out(&scene).await?;
    // Nor is one without a journal, whose database alone shows it.
    let scene = Scene::on_sqlite().await?.set("refresh.journal", "");
    a_replica_that_runs_is_found_out(&scene).await
}

#[tokio::test]
async fn a_replica_that_runs_on_postgres_is_not_told_of_a_restore() -> Result<()> {
    a_replica_that_runs_is_found_out(&Scene::without_redis().await?).await
}

#[tokio::test]
async fn behind_a_pooler_what_replicas_left_is_told_from_replicas_that_run() -> Result<()> {
    a_replica_that_runs_is_found_out(&Scene::with_pgbouncer().await?).await
}
