//! The audit trail: what is disclosed, changed and refused is on record once, and no record can be altered unseen.

mod altered;
mod unwritten;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::BatchGetTokensRequest;
use evergrant_proto::v1::token_service_client::TokenServiceClient;
use evergrant_providers::sandbox::RotationMode;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::time::Instant;
use tonic::{Code, Request};

use crate::harness::caller::{credential, expired, fresh, reason, request};
use crate::harness::cli::evergrant;
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::replica::config::ReplicaConfig;
use crate::harness::scene::{SOON, Scene};
use crate::harness::watcher::everything;

/// Bearer tokens and their SHA-256.
const BILLING: (&str, &str) = (
    "billing-token",
    "a351b85dde0cfbe62345dd4f3e362b0e61535e7df62a2f0e1f1615240b0b54fd",
);
const READER: (&str, &str) = (
    "reader-token",
    "ba5005a40cf5212e4ac0190104cc127edab013294bb71279a975b27a80982d45",
);
const AUDITOR: (&str, &str) = (
    "auditor-token",
    "ba1315421b7c58d465abec0bd552af5ff314ed8f9c5c0a7b7a6a6ecbac9bcbe5",
);

fn rule(name: &str, (_, sha256): (&str, &str), tenant: &str, allow: &[&str]) -> toml::Value {
    let allow: Vec<_> = allow.iter().map(|one| toml::Value::from(*one)).collect();
    let rule = [
        ("name", toml::Value::from(name)),
        ("token_sha256", sha256.into()),
        ("tenants", vec![toml::Value::from(tenant)].into()),
        ("allow", allow.into()),
    ];
    let pairs = rule.map(|(key, value)| (key.to_owned(), value));
    toml::Value::Table(pairs.into_iter().collect())
}

fn with_callers(config: ReplicaConfig) -> ReplicaConfig {
    let write = ["token.get", "credential.write", "event.watch"];
    let rules = vec![
        rule("billing", BILLING, "default", &write),
        rule("reader", READER, "default", &["credential.read"]),
        rule("auditor", AUDITOR, "*", &["audit.read"]),
    ];
    config.set("callers", rules)
}

/// The trail as its auditor reads it, oldest first.
async fn records(replica: &Replica) -> Result<Vec<Value>> {
    let config = ReplicaConfig::new("sqlite://unused.db")
        .env("EVERGRANT_SERVER", format!("http://{}", replica.grpc()))
        .env("EVERGRANT_AUTH_TOKEN", AUDITOR.0);
    let words = [
        "audit",
        "list",
        "--limit",
        "1000",
        "--oldest-first",
        "-o",
        "json",
    ];
    let ended = evergrant(&config, &words).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let listed: Value = serde_json::from_str(&ended.stdout)?;
    Ok(listed["records"].as_array().context("a list")?.clone())
}

/// `caller action credential generation outcome count`, with `-` for what does not apply.
fn told(record: &Value) -> String {
    let text = |name: &str| match &record[name] {
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let names = [
        "caller",
        "action",
        "credential_id",
        "generation",
        "outcome",
        "count",
    ];
    names.map(text).join(" ")
}

#[tokio::test]
async fn whatever_is_disclosed_changed_or_refused_is_on_record_once() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let folder = tempfile::tempdir()?;
    let lines = folder.path().join("audit.jsonl");
    // Nothing is written before the replica ends: SIGTERM must lose none.
    let config = with_callers(scene.config())
        .set("audit.flush", "1m")
        .set("audit.lines", lines.display().to_string());
    let mut replica = Replica::start(&config).await?;
    let billing = replica.caller().with_token(BILLING.0);
    let reader = replica.caller().with_token(READER.0);
    let unknown = replica.caller().with_token("nobody's");

    let kept = scene.sandbox.grant(RotationMode::Strict)?;
    billing.store(credential("kept"), fresh(&kept)).await?;
    let renewed = scene.sandbox.grant(RotationMode::Strict)?;
    billing
        .store(credential("renewed"), expired(&renewed))
        .await?;
    for _ in 0..3 {
        billing.token("kept").await?;
    }
    billing.token("renewed").await?;
    ensure!(billing.token("none").await.is_err());
    ensure!(reader.token("kept").await.is_err());
    for _ in 0..2 {
        ensure!(unknown.token("kept").await.is_err());
    }
    reader.credential("kept").await?;
    let batch = BatchGetTokensRequest {
        requests: vec![request("kept"), request("none")],
        ..BatchGetTokensRequest::default()
    };
    let mut tokens = TokenServiceClient::new(replica.channel());
    tokens.batch_get_tokens(authorized(batch)).await?;
    let stream = replica.events().watch(authorized(everything())).await?;
    drop(stream);
    billing.invalidate("kept").await?;
    ensure!(billing.token("kept").await.is_err());
    replica.terminate()?;
    ensure!(replica.end().await?.success());

    let replica = Replica::start(&config.set("audit.flush", "50ms")).await?;
    let trail = records(&replica).await?;
    let numbers = trail.iter().map(|record| record["number"].as_u64());
    ensure!(numbers.eq((1..=trail.len() as u64).map(Some)), "{trail:?}");
    let mut found: Vec<_> = trail.iter().map(told).collect();
    found.sort();
    let mut expected = [
        "billing CreateCredential kept 0 OK 1",
        "evergrant CredentialCreated kept 1 OK 1",
        "billing CreateCredential renewed 0 OK 1",
        "evergrant CredentialCreated renewed 1 OK 1",
        "evergrant TokensRefreshed renewed 2 OK 1",
        "billing GetToken kept 1 OK 3",
        "billing GetToken renewed 2 OK 1",
        "billing GetToken none 0 CREDENTIAL_NOT_FOUND 1",
        "reader GetToken kept 0 PERMISSION_DENIED 1",
        "unknown GetToken - 0 UNAUTHENTICATED 2",
        "billing BatchGetTokens kept 1 OK 1",
        "billing BatchGetTokens none 0 CREDENTIAL_NOT_FOUND 1",
        "billing Watch - 0 OK 1",
        "billing WatchEnded - 0 OK 1",
        "billing InvalidateCredential kept 0 OK 1",
        "evergrant CredentialInvalidated kept 1 OK 1",
        "billing GetToken kept 0 CREDENTIAL_INVALIDATED 1",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
    for record in &trail {
        let is_own = record["caller"] == "evergrant";
        let peer = if is_own { "" } else { "127.0.0.1" };
        ensure!(record["peer"] == peer, "{record}");
    }
    assert_eq!(numbers_in(&lines)?, (1..=17).collect::<Vec<_>>());
    Ok(())
}

fn authorized<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", BILLING.0).parse();
    let bearer = bearer.expect("tokens of the tests are plain");
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn numbers_in(lines: &Path) -> Result<Vec<u64>> {
    let text = std::fs::read_to_string(lines)?;
    let numbers = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line)?;
        line["number"].as_u64().context("a number")
    });
    numbers.collect()
}

#[tokio::test]
async fn an_altered_removed_or_cut_off_trail_is_found() -> Result<()> {
    let mut scene = Scene::without_redis().await?.set("audit.flush", "10ms");
    let replica = scene.replica("evergrant").await?;
    for id in ["a", "b", "c"] {
        scene.fresh_credential(&replica, id).await?;
    }
    let config = scene.config();
    let verify = async |more: &[&str]| {
        let words = [&["audit", "verify", "-o", "json"], more].concat();
        evergrant(&config, &words).await
    };
    let head = eventually("six records", SOON, async || {
        let ended = verify(&[]).await.ok()?;
        let report: Value = serde_json::from_str(&ended.stdout).ok()?;
        let is_whole = ended.code == Some(0) && report["records"].as_u64()? == 6;
        is_whole.then(|| report["head"].as_str().map(str::to_owned))?
    });
    let head = head.await?;
    ensure!(verify(&["--expect-head", &head]).await?.code == Some(0));

    let options: PgConnectOptions = scene.postgres().url().parse()?;
    let mut database = options.connect().await?;
    let altered = "UPDATE audit_records SET caller = 'somebody' WHERE number = 2";
    execute(&mut database, altered).await?;
    let ended = verify(&[]).await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(ended.stderr.contains("record 2 was altered"), "{ended:?}");
    execute(&mut database, "DELETE FROM audit_records WHERE number > 3").await?;
    let ended = verify(&["--expect-head", &head]).await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(
        ended.stdout.contains("records 4 to 6 are missing"),
        "{ended:?}"
    );
    database.close().await?;
    Ok(())
}

async fn execute(database: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(database)
        .await?;
    Ok(())
}

#[tokio::test]
async fn while_the_trail_cannot_be_written_a_strict_replica_discloses_nothing() -> Result<()> {
    let mut scene = Scene::without_redis().await?.set("audit.flush", "10ms");
    let available = scene.replica("available").await?;
    let strict = scene.config().named("strict").set("audit.mode", "strict");
    let strict = Replica::start(&strict).await?;
    scene.fresh_credential(&available, "a").await?;
    available.caller().token("a").await?;
    let begun = Instant::now();
    strict.caller().token("a").await?;
    ensure!(begun.elapsed() < SOON, "it waits for its record alone");

    scene.postgres().stop().await?;
    available.caller().token("a").await?;
    let refused = strict.caller().token("a").await.unwrap_err();
    let expected = (Code::Unavailable, "STORE_UNAVAILABLE".to_owned());
    assert_eq!(reason(&refused), expected);
    // From then on at once: it is known that nothing can be written.
    let begun = Instant::now();
    assert_eq!(
        reason(&strict.caller().token("a").await.unwrap_err()),
        expected
    );
    ensure!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());

    scene.postgres().start_again().await?;
    eventually("a token of the strict replica", SOON, async || {
        strict.caller().token("a").await.ok()
    })
    .await?;
    let config = scene.config();
    let disclosed = eventually("all records", SOON, async || {
        let ended = evergrant(&config, &["audit", "verify"]).await.ok()?;
        (ended.code == Some(0)).then_some(())?;
        let trail = records(&available).await.ok()?;
        let disclosed = trail
            .iter()
            .filter(|record| record["action"] == "GetToken" && record["outcome"] == "OK");
        let count: u64 = disclosed
            .filter_map(|record| record["count"].as_u64())
            .sum();
        // Two of the available one, two of the strict one, and that which got no record in time.
        (count >= 5).then_some(trail)
    });
    let trail = disclosed.await?;
    let numbers: BTreeSet<_> = trail
        .iter()
        .filter_map(|record| record["number"].as_u64())
        .collect();
    ensure!(numbers.len() == trail.len());
    Ok(())
}
