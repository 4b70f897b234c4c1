//! A pooler that lends connections by transaction changes nothing for callers, whatever becomes of it.

use anyhow::{Result, ensure};

use crate::harness::cli;
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;
use crate::harness::stage::Stage;
use crate::rotation::crowd::rounds;

#[tokio::test]
async fn callers_of_three_replicas_cost_one_call_a_round() -> Result<()> {
    let scene = Scene::with_pgbouncer().await?;
    let replicas: [_; 3] = scene.replicas().await?;
    rounds(&scene, &replicas, 0..30).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_it_ends_or_what_is_behind_it_or_replicas() -> Result<()> {
    // What PgBouncer was about to answer may leave a lease behind.
    let scene = Scene::with_pgbouncer().await?.impatient();
    let config = scene.config();
    let mut stage = Stage::set(scene, &config).await?;

    for _ in 0..3 {
        stage.scene.pgbouncer().restart().await?;
        stage.load.goes_on().await?;
    }
    stage.scene.postgres().restart().await?;
    stage.load.goes_on().await?;
    // A replica that starts while PgBouncer still waits for the server ends at once.
    stage.all_ready().await?;
    stage.replace_all(&config).await?;
    stage.nobody_noticed().await
}

#[tokio::test]
async fn verbs_take_the_same_way_and_replicas_that_start_together_migrate_once() -> Result<()> {
    let scene = Scene::with_pgbouncer().await?;
    let [one, _two, _three] = scene.replicas().await?;
    scene.fresh_credential(&one, "c").await?;
    for words in [
        &["migrate"][..],
        &["keys", "rotate"],
        &["keys", "verify"],
        &["events", "renew-epoch"],
        // The replicas run.
        &["restored", "--force"],
    ] {
        let done = cli::evergrant(&scene.config(), words).await?;
        ensure!(done.code == Some(0), "{words:?}: {}", done.stderr);
    }
    assert_eq!(one.caller().refused("c", 1).await?.generation, 2);
    Ok(())
}

#[tokio::test]
async fn a_replica_that_was_not_told_of_it_says_so_in_one_line() -> Result<()> {
    let scene = Scene::with_pgbouncer().await?;
    let (code, log) = Replica::run_to_end(&scene.config().unset("store.pooler")).await?;
    assert_eq!(code, Some(64), "{log}");
    let told = log.lines().filter(|line| line.contains("store.pooler"));
    assert_eq!(told.count(), 1, "{log}");
    Ok(())
}
