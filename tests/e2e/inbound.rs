//! A provider reports by itself that a grant died.

mod issuer;

use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{Credential, InvalidationReason};
use evergrant_providers::sandbox::{Point, RotationMode};
use futures_util::future::join_all;
use serde_json::{Value, json};

use self::issuer::Issuer;
use crate::harness::caller::{credential, expired, fresh, in_seconds, reason};
use crate::harness::eventually::eventually;
use crate::harness::http;
use crate::harness::metrics::Metrics;
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};
use crate::harness::watcher::{Watcher, everything};
use crate::harness::webhook::{github, tag};

/// How long after a report everybody knows of it, as docs/inbound.md promises.
const A_SECOND: Duration = Duration::from_secs(1);
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const REVOKED: &str = "https://schemas.openid.net/secevent/oauth/event-type/token-revoked";

fn with_slack(scene: Scene) -> Scene {
    scene
        .set("inbound.listen", "127.0.0.1:0")
        .set("inbound.receivers.slack.kind", "slack")
        .set("inbound.receivers.slack.provider", PROVIDER)
        .set("inbound.receivers.slack.client", CLIENT)
        .set("inbound.receivers.slack.signing_secret", SECRET)
}

fn of(tenant: &str, account: &str) -> Credential {
    Credential {
        tenant_id: tenant.to_owned(),
        provider_account: account.to_owned(),
        ..credential("c")
    }
}

fn uninstalled(id: &str, team: &str) -> Value {
    json!({
        "type": "event_callback", "team_id": team, "api_app_id": "A1",
        "event": { "type": "app_uninstalled" },
        "event_id": id, "event_time": in_seconds(0).seconds,
    })
}

/// Sends `body` as Slack does, and gives the status of the answer.
async fn slack(replica: &Replica, body: &Value) -> Result<u16> {
    let (at, body) = (in_seconds(0).seconds, body.to_string());
    let signature = format!("v0={}", tag(SECRET, &format!("v0:{at}:{body}")));
    let answer = http::client()
        .post(replica.inbound_url("/slack"))
        .header("content-type", "application/json")
        .header("x-slack-request-timestamp", at)
        .header("x-slack-signature", signature)
        .body(body)
        .send();
    Ok(answer.await?.status().as_u16())
}

async fn set(replica: &Replica, token: String) -> Result<(u16, String)> {
    let answer = http::client()
        .post(replica.inbound_url("/google"))
        .header("content-type", "application/secevent+jwt")
        .body(token)
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn outcomes(metrics: &Metrics, outcome: &str) -> f64 {
    metrics.sum(
        "evergrant_inbound_total",
        &[("receiver", "slack"), ("outcome", outcome)],
    )
}

#[tokio::test]
async fn an_uninstalled_app_ends_its_grants_on_every_replica_within_a_second() -> Result<()> {
    let scene = with_slack(Scene::with_redis().await?);
    let replicas: [_; 3] = scene.replicas().await?;
    // Two tenants installed the app in one workspace; the default tenant in another one, too.
    let grants = [
        (of("", "T4711"), scene.sandbox.grant(RotationMode::Strict)?),
        (
            of("other", "T4711"),
            scene.sandbox.grant(RotationMode::Strict)?,
        ),
        (
            Credential {
                credential_id: "elsewhere".to_owned(),
                ..of("", "T2")
            },
            scene.sandbox.grant(RotationMode::Strict)?,
        ),
    ];
    for (credential, grant) in grants {
        let caller = replicas[0].caller();
        caller.store(credential, fresh(&grant)).await?;
    }
    let mut watchers = Vec::new();
    for replica in &replicas {
        assert_eq!(replica.caller().token("c").await?.generation, 1);
        watchers.push(Watcher::start(replica, everything()).await?);
    }
    let calls = scene.sandbox.calls();

    let word = uninstalled("Ev1", "T4711");
    assert_eq!(slack(&replicas[1], &word).await?, 200);
    let known = replicas
        .iter()
        .zip(&watchers)
        .map(|(replica, watcher)| async {
            let told = watcher.wait_for("the event", A_SECOND, |event| is_death_of(event, "c"));
            let Event::CredentialInvalidated(told) = told.await? else {
                unreachable!("that is what was asked for");
            };
            assert_eq!(told.reason(), InvalidationReason::GrantRevoked);
            assert_eq!(told.provider_error, "app_uninstalled");
            let caller = replica.caller();
            let refusal = eventually("the refusal", A_SECOND, async || {
                caller.token("c").await.err()
            });
            assert_eq!(reason(&refusal.await?).1, "CREDENTIAL_INVALIDATED");
            anyhow::Ok(())
        });
    for known in join_all(known).await {
        known?;
    }
    let request = evergrant_proto::v1::GetTokenRequest {
        tenant_id: "other".to_owned(),
        ..crate::harness::caller::request("c")
    };
    let refusal = replicas[2].caller().ask(request).await;
    let refusal = refusal.err().context("it is of the same workspace")?;
    assert_eq!(reason(&refusal).1, "CREDENTIAL_INVALIDATED");
    let elsewhere = replicas[2].caller().token("elsewhere").await?;
    assert_eq!(elsewhere.generation, 1);

    // The same once more, at any replica; then a report of somebody who is unknown.
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let again = replicas[0].caller();
    again.reconnect("c", fresh(&grant), false).await?;
    for replica in &replicas {
        assert_eq!(slack(replica, &word).await?, 200);
    }
    assert_eq!(slack(&replicas[0], &uninstalled("Ev2", "T9")).await?, 200);
    assert_eq!(again.token("c").await?.generation, 2);
    for watcher in &watchers {
        assert_eq!(watcher.count(|event| is_death_of(event, "c")), 1);
    }
    let mut replayed = 0.0;
    for replica in &replicas {
        replayed += outcomes(&replica.metrics().await?, "replayed");
    }
    assert_eq!(replayed, 3.0);
    assert_eq!(outcomes(&replicas[1].metrics().await?, "invalidated"), 1.0);
    assert_eq!(outcomes(&replicas[0].metrics().await?, "unknown"), 1.0);
    assert_eq!(scene.sandbox.calls(), calls, "no provider was asked");
    let log = replicas[1].log();
    assert!(log.contains("a provider reported dead grants"), "{log}");
    assert!(!log.contains("T4711") && !log.contains(SECRET), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_authorization_that_its_user_withdrew_at_github_ends_the_grant() -> Result<()> {
    let scene = Scene::on_sqlite()
        .await?
        .set("inbound.listen", "127.0.0.1:0")
        .set("inbound.receivers.github.kind", "github")
        .set("inbound.receivers.github.provider", PROVIDER)
        .set("inbound.receivers.github.secret", vec!["old", SECRET]);
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    caller.store(of("", "583231"), fresh(&grant)).await?;
    let body = json!({ "action": "revoked", "sender": { "id": 583_231, "login": "octocat" } });
    let body = body.to_string();
    let forged = github(&replica, SECRET, &body, "another body").await?;
    assert_eq!(forged, 401);
    assert_eq!(caller.token("c").await?.generation, 1);
    assert_eq!(github(&replica, SECRET, &body, &body).await?, 200);
    let dead = caller.credential("c").await?.invalidation;
    let dead = dead.context("it was revoked")?;
    assert_eq!(dead.provider_error, "github_app_authorization.revoked");
    Ok(())
}

#[tokio::test]
async fn a_refresh_in_flight_does_not_undo_a_report() -> Result<()> {
    let scene = with_slack(Scene::on_sqlite().await?);
    let replica = scene.replica("replica").await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let hold = scene.sandbox.hold(&grant, Point::AfterProcessing);
    let caller = replica.caller();
    caller.store(of("", "T4711"), expired(&grant)).await?;
    let (asking, _) = tokio::join!(caller.token("c"), async {
        hold.arrival().await?;
        assert_eq!(slack(&replica, &uninstalled("Ev1", "T4711")).await?, 200);
        hold.open();
        anyhow::Ok(())
    });
    let refusal = asking.err().context("it was uninstalled")?;
    assert_eq!(reason(&refusal).1, "CREDENTIAL_INVALIDATED");
    let later = caller.token("c").await.err().context("it stays so")?;
    assert_eq!(reason(&later).1, "CREDENTIAL_INVALIDATED");
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_away_has_the_report_delivered_again() -> Result<()> {
    let mut scene = with_slack(Scene::without_redis().await?);
    let replica = scene.replica("replica").await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let caller = replica.caller();
    caller.store(of("", "T4711"), fresh(&grant)).await?;
    let word = uninstalled("Ev1", "T4711");
    scene.postgres().stop().await?;
    assert_eq!(slack(&replica, &word).await?, 503);
    scene.postgres().start_again().await?;
    eventually("the report to be taken", SOON, async || {
        (slack(&replica, &word).await.ok()? == 200).then_some(())
    })
    .await?;
    let refusal = caller
        .token("c")
        .await
        .err()
        .context("it was uninstalled")?;
    assert_eq!(reason(&refusal).1, "CREDENTIAL_INVALIDATED");
    Ok(())
}

#[tokio::test]
async fn a_security_event_token_is_believed_if_its_issuer_signed_it() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = Scene::on_sqlite()
        .await?
        .set("inbound.listen", "127.0.0.1:0")
        .set("inbound.receivers.google.kind", "set")
        .set("inbound.receivers.google.provider", PROVIDER)
        .set("inbound.receivers.google.issuer", issuer.name())
        .set("inbound.receivers.google.audience", vec!["client-1"])
        .set("inbound.receivers.google.jwks_url", issuer.jwks_url());
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    let mut grants = Vec::new();
    for id in ["a", "b"] {
        let grant = scene.sandbox.grant(RotationMode::Strict)?;
        let named = Credential {
            provider_account: format!("sub-{id}"),
            ..credential(id)
        };
        caller.store(named, fresh(&grant)).await?;
        grants.push(grant);
    }
    let disabled = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
    let subject = json!({ "subject_type": "iss-sub", "iss": issuer.name(), "sub": "sub-a" });
    let claims = |id: &str, audience: &str, events: Value| {
        json!({ "iss": issuer.name(), "aud": audience, "iat": in_seconds(-1).seconds, "jti": id,
            "events": events })
    };
    let events = json!({ disabled: { "subject": subject, "reason": "hijacking" } });

    let forged = Issuer::start()
        .await?
        .sign(&claims("1", "client-1", events.clone()));
    let (status, body) = set(&replica, forged).await?;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("authentication_failed"), "{body}");
    let (status, body) = set(
        &replica,
        issuer.sign(&claims("1", "client-2", events.clone())),
    )
    .await?;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("invalid_audience"), "{body}");
    assert_eq!(caller.token("a").await?.generation, 1);

    let accepted = (202, String::new());
    let token = issuer.sign(&claims("1", "client-1", events));
    assert_eq!(set(&replica, token).await?, accepted);
    let dead = caller.credential("a").await?.invalidation;
    let dead = dead.context("it was disabled")?;
    assert_eq!(dead.reason(), InvalidationReason::AccessDenied);
    assert_eq!(dead.provider_error, "account-disabled");
    assert_eq!(caller.token("b").await?.generation, 1);

    // A token is named by the double hash of it, as Google does.
    let named = json!({ "subject_type": "oauth_token", "token_type": "refresh_token",
        "token_identifier_alg": "hash_base64_sha512_sha512",
        "token": issuer::sha512_twice(grants[1].refresh_token.expose()) });
    let events = json!({ REVOKED: { "subject": named } });
    let token = issuer.sign(&claims("2", "client-1", events));
    assert_eq!(set(&replica, token.clone()).await?, accepted);
    let refusal = caller.token("b").await.err().context("it was revoked")?;
    assert_eq!(reason(&refusal).1, "CREDENTIAL_INVALIDATED");

    assert_eq!(
        set(&replica, token).await?,
        accepted,
        "a replay looks the same"
    );
    let verification = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let token = issuer.sign(&claims("3", "client-1", json!({ verification: {} })));
    assert_eq!(set(&replica, token).await?, accepted);
    let heard = async || {
        replica
            .log()
            .contains("the provider is heard")
            .then_some(())
    };
    eventually("the line in the log", SOON, heard).await?;
    let log = replica.log();
    assert!(!log.contains("sub-a"), "{log}");
    Ok(())
}

#[tokio::test]
async fn half_a_configuration_ends_the_start_with_the_key_that_is_wrong() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let on = scene.config().set("inbound.listen", "127.0.0.1:0");
    let (code, told) = Replica::run_to_end(&on).await?;
    assert_eq!(code, Some(64), "{told}");
    assert!(
        told.contains("inbound.receivers: must hold a receiver"),
        "{told}"
    );
    let stranger = on
        .set("inbound.receivers.x.kind", "github")
        .set("inbound.receivers.x.provider", "nobody")
        .set("inbound.receivers.x.secret", "s");
    let (code, told) = Replica::run_to_end(&stranger).await?;
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("inbound.receivers.x.provider"), "{told}");
    Ok(())
}

fn is_death_of(event: &Event, id: &str) -> bool {
    matches!(event, Event::CredentialInvalidated(told) if told.credential_id == id)
}
