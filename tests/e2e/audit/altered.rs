//! Somebody writes the tables of the trail: it is found, and stops nothing.

use anyhow::{Result, ensure};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{AUDITOR, execute};
use crate::harness::cli::{Ended, evergrant};
use crate::harness::replica::Replica;
use crate::harness::replica::config::ReplicaConfig;
use crate::harness::scene::Scene;

async fn verify(config: &ReplicaConfig, more: &[&str]) -> Result<Ended> {
    let words = [&["audit", "verify", "-o", "json"], more].concat();
    evergrant(config, &words).await
}

fn faults(ended: &Ended) -> Result<Vec<String>> {
    let report: Value = serde_json::from_str(&ended.stdout)?;
    let faults = report["faults"].as_array().cloned().unwrap_or_default();
    let faults = faults.iter().filter_map(|fault| fault["fault"].as_str());
    Ok(faults.map(str::to_owned).collect())
}

#[tokio::test]
async fn strict_replicas_serve_on_when_somebody_writes_the_tables_of_the_trail() -> Result<()> {
    let mut scene = Scene::without_redis()
        .await?
        .set("audit.flush", "10ms")
        .set("audit.mode", "strict");
    let [one, two] = scene.replicas().await?;
    scene.fresh_credential(&one, "a").await?;
    for replica in [&one, &two] {
        replica.caller().token("a").await?;
    }
    let config = scene.config();
    ensure!(verify(&config, &[]).await?.code == Some(0));
    let options: PgConnectOptions = scene.postgres().url().parse()?;
    let mut database = options.connect().await?;

    let columns = "at, until, count, caller, peer, action, tenant, credential, integration, provider, client, \
                   generation, outcome, detail, mac";
    let insert = format!(
        "INSERT INTO audit_records (number, {columns}) \
         SELECT (SELECT head + 1 FROM audit_log), {columns} FROM audit_records WHERE number = 1"
    );
    execute(&mut database, &insert).await?;
    let ended = verify(&config, &[]).await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(
        ended.stderr.contains("above the end of the trail"),
        "{ended:?}"
    );
    for replica in [&one, &two] {
        replica.caller().token("a").await?;
    }
    let told =
        |faults: &[String], what: &str| faults.iter().filter(|fault| fault.contains(what)).count();
    let found = faults(&verify(&config, &[]).await?)?;
    ensure!(told(&found, "was above the head") == 1, "{found:?}");

    execute(&mut database, "DELETE FROM audit_log").await?;
    let ended = verify(&config, &[]).await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    for replica in [&one, &two] {
        replica.caller().token("a").await?;
        ensure!(replica.admin_status("/readyz").await? == 200);
    }
    let ended = verify(&config, &[]).await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    let found = faults(&ended)?;
    ensure!(
        told(&found, "the head was altered or removed") == 1,
        "{found:?}"
    );
    let report: Value = serde_json::from_str(&ended.stdout)?;
    let head = report["head"].as_str().unwrap_or_default().to_owned();
    two.caller().token("a").await?;
    let behind = verify(&config, &["--behind", &head]).await?;
    ensure!(behind.code == Some(0), "{behind:?}");
    database.close().await?;
    Ok(())
}

#[tokio::test]
async fn nothing_to_verify_is_not_whole() -> Result<()> {
    let scene = Scene::on_sqlite().await?.set("audit.mode", "off");
    let config = scene.config();
    let replica = Replica::start(&config).await?;
    scene.fresh_credential(&replica, "a").await?;
    let ended = verify(&config, &[]).await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(ended.stderr.contains("audit.mode is \"off\""), "{ended:?}");

    let folder = tempfile::tempdir()?;
    let misspelt = folder.path().join("evergarnt.db");
    let url = format!("sqlite://{}", misspelt.display());
    let elsewhere = config.set("store.url", url);
    let out = folder.path().join("copy.db").display().to_string();
    for content in [None, Some("")] {
        if let Some(content) = content {
            std::fs::write(&misspelt, content)?;
        }
        let verified = verify(&elsewhere, &[]).await?;
        let backed_up = evergrant(&elsewhere, &["backup", "--out", &out]).await?;
        ensure!(verified.code == Some(64), "{verified:?}");
        ensure!(backed_up.code == verified.code, "{backed_up:?}");
        assert_eq!(verified.stderr, backed_up.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_no_record_has_is_refused_with_what_is_like_it() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let config = super::with_callers(scene.config());
    let replica = Replica::start(&config).await?;
    let config = ReplicaConfig::new("sqlite://unused.db")
        .env("EVERGRANT_SERVER", format!("http://{}", replica.grpc()))
        .env("EVERGRANT_AUTH_TOKEN", AUDITOR.0);
    for (option, name, like) in [
        ("--action", "gettoken", "GetToken"),
        ("--action", "Nope", "such as GetToken"),
        ("--outcome", "DENIED", "PERMISSION_DENIED"),
    ] {
        let ended = evergrant(&config, &["audit", "list", option, name]).await?;
        ensure!(ended.code == Some(1), "{ended:?}");
        ensure!(ended.stderr.contains(like), "{ended:?}");
    }
    Ok(())
}
