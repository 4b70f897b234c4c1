//! The trail cannot be written though the database answers: who is refused, who is told, and what a shutdown says.

use anyhow::{Result, ensure};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::execute;
use crate::harness::cli::evergrant;
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};

async fn waiting(replica: &Replica) -> Option<f64> {
    let metrics = replica.metrics().await.ok()?;
    Some(metrics.sum("evergrant_audit_waiting", &[]))
}

async fn readiness_becomes(replica: &Replica, status: u16) -> Result<()> {
    eventually("readiness", SOON, async || {
        (replica.admin_status("/readyz").await.ok()? == status).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_strict_replica_is_not_ready_and_the_other_one_ends_with_an_error() -> Result<()> {
    let mut scene = Scene::without_redis().await?.set("audit.flush", "10ms");
    let mut available = scene.replica("available").await?;
    let strict = scene.config().named("strict").set("audit.mode", "strict");
    let strict = Replica::start(&strict).await?;
    scene.fresh_credential(&available, "a").await?;
    strict.caller().token("a").await?;

    let options: PgConnectOptions = scene.postgres().url().parse()?;
    let mut database = options.connect().await?;
    execute(
        &mut database,
        "ALTER TABLE audit_records RENAME TO elsewhere",
    )
    .await?;
    for replica in [&available, &strict] {
        let asked = replica.caller().token("a").await;
        ensure!(asked.is_ok() != std::ptr::eq(replica, &strict), "{asked:?}");
        eventually("the gauge to rise", SOON, async || {
            (waiting(replica).await? > 0.0).then_some(())
        })
        .await?;
    }
    readiness_becomes(&strict, 503).await?;
    ensure!(available.admin_status("/readyz").await? == 200);

    available.terminate()?;
    ensure!(available.end().await?.code() == Some(1));
    let log = available.log();
    ensure!(
        log.contains("records of the audit trail were lost"),
        "{log}"
    );
    ensure!(!log.contains("everything ended in good order"), "{log}");

    execute(
        &mut database,
        "ALTER TABLE elsewhere RENAME TO audit_records",
    )
    .await?;
    readiness_becomes(&strict, 200).await?;
    strict.caller().token("a").await?;
    ensure!(waiting(&strict).await == Some(0.0));
    database.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_file_for_lines_that_cannot_be_opened_is_named_by_the_check_and_by_the_start()
-> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let config = scene.config().set("audit.lines", "/nowhere/audit.jsonl");
    for (words, code) in [(&["config", "check"][..], 64), (&["serve"][..], 1)] {
        let ended = evergrant(&config, words).await?;
        ensure!(ended.code == Some(code), "{ended:?}");
        ensure!(ended.stderr.contains("audit.lines: /nowhere"), "{ended:?}");
    }
    Ok(())
}
