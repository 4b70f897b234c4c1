//! Two versions on one database: what callers and watchers notice while replicas are replaced, and what becomes of a
//! step back.

mod previous;

use anyhow::{Result, ensure};

use crate::harness::cli;
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;
use crate::harness::stage::Stage;
use crate::harness::table::Table;

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
