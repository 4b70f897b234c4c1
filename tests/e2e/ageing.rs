//! What ends by itself is renewed in time, or told in time and forecast.

use std::time::Duration;

use anyhow::Result;
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{
    CredentialEndKind, EventType, ForecastCredentialsRequest, TokenMaterial, WatchRequest,
};
use evergrant_providers::sandbox::{GrantSpec, RotationMode};
use prost_types::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::harness::caller::{Caller, credential, fresh, in_seconds};
use crate::harness::eventually::eventually;
use crate::harness::replica::verb;
use crate::harness::scene::{PROVIDER, Scene};
use crate::harness::watcher::{Watcher, everything};

const DAY: i64 = 86_400;
/// How long it takes until every replica has looked for what is to be told.
const ROUND: Duration = Duration::from_secs(40);

/// A provider whose access tokens never expire and whose refresh tokens say when they do.
fn endless(scene: &Scene) -> String {
    let entry = scene.sandbox.entry(PROVIDER, RotationMode::Strict);
    entry
        .replace(
            "expires_in = [\"/expires_in\"]",
            "expires_in = []\nrefresh_expires_in = [\"/refresh_token_expires_in\"]",
        )
        .replace("access_token = \"1h\"", "")
}

#[tokio::test]
async fn a_grant_that_nobody_asks_for_outlives_its_refresh_token() -> Result<()> {
    let scene = Scene::without_redis().await?;
    let entry = endless(&scene);
    let scene = scene.provider(PROVIDER, entry);
    let replicas: [_; 2] = scene.replicas().await?;
    let grant = scene.sandbox.control().create_grant(GrantSpec {
        refresh_token_ttl_seconds: Some(30),
        ..GrantSpec::with_mode(RotationMode::Strict)
    })?;
    let caller = replicas[0].caller();
    let material = TokenMaterial {
        expires_at: None,
        refresh_expires_at: Some(in_seconds(30)),
        ..fresh(&grant)
    };
    caller.store(credential("idle"), material).await?;
    let first_end = Instant::now() + Duration::from_secs(30);
    eventually("the renewal", Duration::from_secs(40), async || {
        (scene.sandbox.calls_for(&grant) >= 1).then_some(())
    })
    .await?;
    tokio::time::sleep_until(first_end).await;
    assert!(scene.sandbox.is_alive(&grant)?);
    let answer = caller.refused("idle", 2).await?;
    assert!(answer.generation >= 3, "what was renewed can be renewed");
    scene.sandbox.assert_one_call_a_token()?;
    Ok(())
}

/// Stores a credential whose refresh token ends at a time that no refresh moves.
async fn ending(scene: &Scene, caller: &Caller, id: &str, at: Timestamp) -> Result<()> {
    let grant = scene.sandbox.grant(RotationMode::None)?;
    let material = TokenMaterial {
        refresh_expires_at: Some(at),
        ..fresh(&grant)
    };
    caller.store(credential(id), material).await?;
    Ok(())
}

#[tokio::test]
async fn an_end_that_no_refresh_moves_is_told_once_and_forecast() -> Result<()> {
    let scene = Scene::without_redis().await?;
    let entry = scene.sandbox.entry(PROVIDER, RotationMode::None);
    let scene = scene.provider(PROVIDER, entry);
    let mut replicas: [_; 2] = scene.replicas().await?;
    let due_only = WatchRequest {
        types: vec![EventType::ReauthorizationDue.into()],
        ..everything()
    };
    let watcher = Watcher::start(&replicas[1], due_only).await?;
    let caller = replicas[0].caller();
    let ends_at = in_seconds(5 * DAY);
    ending(&scene, &caller, "soon", ends_at).await?;
    ending(&scene, &caller, "late", in_seconds(80 * DAY)).await?;

    let told = watcher.wait_for("the announcement", ROUND, |event| {
        matches!(event, Event::ReauthorizationDue(_))
    });
    let Event::ReauthorizationDue(told) = told.await? else {
        anyhow::bail!("another event passed the filter");
    };
    assert_eq!((told.credential_id.as_str(), told.generation), ("soon", 1));
    assert_eq!(told.due_at.map(|at| at.seconds), Some(ends_at.seconds));

    let asked = ForecastCredentialsRequest {
        page_size: 1,
        ..ForecastCredentialsRequest::default()
    };
    let mut client = replicas[0].credentials();
    let page = client.forecast_credentials(asked).await?.into_inner();
    assert_eq!(page.ends[0].credential_id, "soon");
    assert_eq!(page.ends[0].kind(), CredentialEndKind::RefreshToken);
    assert!(!page.next_page_token.is_empty());

    let server = format!("http://{}", replicas[0].grpc());
    let forecast = ["forecast", "-o", "json", "--server", &server];
    let printed: Value = serde_json::from_str(&verb(&forecast).await?)?;
    let names: Vec<_> = printed["ends"].as_array().into_iter().flatten().collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0]["credential_id"], "soon");
    assert_eq!(names[1]["credential_id"], "late");
    assert_eq!(names[1]["renews_at"], Value::Null);
    let table = verb(&["forecast", "--within", "30d", "--server", &server]).await?;
    assert!(table.contains("soon") && !table.contains("late"), "{table}");

    // A round that tells of another grant would say this again too.
    replicas[0].terminate()?;
    assert_eq!(replicas[0].end().await?.code(), Some(0));
    let restarted = scene.replica("restarted").await?;
    ending(&scene, &restarted.caller(), "next", ends_at).await?;
    let told_of = |event: &Event, name: &str| matches!(event, Event::ReauthorizationDue(told) if told.credential_id == name);
    watcher
        .wait_for("the next announcement", ROUND, |event| {
            told_of(event, "next")
        })
        .await?;
    assert_eq!(watcher.count(|event| told_of(event, "soon")), 1);
    Ok(())
}
