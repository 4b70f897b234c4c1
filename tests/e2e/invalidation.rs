//! A grant dies at the provider: who is told, what is remembered, and what is no sign of death.

use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{Credential, CredentialState, InvalidationReason};
use evergrant_providers::sandbox::{
    DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Fault, GrantSpec, RotationMode,
};
use futures_util::future::join_all;
use tonic::Code;

use crate::harness::caller::{credential, expired, fresh, reason};
use crate::harness::oidc::{OidcOptions, OidcProvider};
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};
use crate::harness::watcher::{Watcher, everything};

/// How long after a refusal everybody knows of it, as the README promises.
const A_SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_revocation_reaches_every_stream_once_a_credential_and_is_remembered() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let replicas: [_; 3] = scene.replicas().await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    for id in ["sales", "support"] {
        let shared = Credential {
            provider_account: "team-1".to_owned(),
            ..credential(id)
        };
        replicas[0].caller().store(shared, fresh(&grant)).await?;
    }
    let mut watchers = Vec::new();
    for replica in &replicas {
        watchers.push(Watcher::start(replica, everything()).await?);
    }

    scene.sandbox.control().revoke_grant(&grant.family)?;
    let generation = replicas[1].caller().token("sales").await?.generation;
    let refusal = replicas[0].caller().refused("sales", generation).await;
    for watcher in &watchers {
        for id in ["sales", "support"] {
            let told = watcher.wait_for("the event", A_SECOND, |event| is_death_of(event, id));
            let Event::CredentialInvalidated(told) = told.await? else {
                unreachable!("that is what was asked for");
            };
            assert_eq!(told.reason(), InvalidationReason::GrantRevoked);
            assert_eq!(told.provider_error, "invalid_grant");
        }
    }

    let dead = (
        Code::FailedPrecondition,
        "CREDENTIAL_INVALIDATED".to_owned(),
    );
    assert_eq!(reason(&refusal.expect_err("it is revoked")), dead);
    let calls = scene.sandbox.calls();
    let newcomer = scene.replica("started later").await?;
    let asking = replicas.iter().chain([&newcomer]).flat_map(|replica| {
        ["sales", "support"].map(|id| {
            let caller = replica.caller();
            async move {
                for _ in 0..25 {
                    let refusal = caller.token(id).await.expect_err("it is dead");
                    assert_eq!(reason(&refusal).1, "CREDENTIAL_INVALIDATED");
                    let refusal = caller.refused(id, generation).await;
                    assert!(refusal.is_err());
                }
            }
        })
    });
    join_all(asking).await;
    assert_eq!(
        scene.sandbox.calls(),
        calls,
        "nobody calls for a dead grant"
    );
    for watcher in &watchers {
        assert_eq!(watcher.count(is_death), 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_revocation_at_a_certified_server_is_noticed_and_nothing_else_dies() -> Result<()> {
    let oidc = OidcProvider::start(OidcOptions::default()).await?;
    let scene = Scene::on_sqlite()
        .await?
        .provider(PROVIDER, oidc.catalogue_entry(PROVIDER));
    let config = scene
        .config()
        .client(CLIENT, PROVIDER, oidc.client_id(), oidc.client_secret());
    let replica = Replica::start(&config).await?;
    let watcher = Watcher::start(&replica, everything()).await?;
    let caller = replica.caller();
    for id in ["gone", "kept"] {
        let grant = oidc.issue_grant().await?;
        let material = evergrant_proto::v1::TokenMaterial {
            access_token: grant.access_token,
            refresh_token: grant.refresh_token,
            ..Default::default()
        };
        caller.store(credential(id), material).await?;
        if id == "gone" {
            oidc.revoke_grant(&grant.grant_id).await?;
        }
    }

    let refusal = caller.refused("gone", 1).await.expect_err("it is revoked");
    assert_eq!(reason(&refusal).1, "CREDENTIAL_INVALIDATED");
    assert_eq!(caller.refused("kept", 1).await?.generation, 2);
    watcher
        .wait_for("the event", A_SECOND, |event| is_death_of(event, "gone"))
        .await?;
    assert_eq!(watcher.count(is_death), 1);
    Ok(())
}

#[tokio::test]
async fn an_error_page_that_speaks_of_invalid_grant_kills_nothing() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    scene.sandbox.fail_always(
        &grant,
        Fault::Status {
            status: 503,
            body: "<html><body>{\"error\": \"invalid_grant\"}</body></html>".to_owned(),
            content_type: "text/html".to_owned(),
            at: evergrant_providers::sandbox::Point::BeforeProcessing,
        },
    )?;
    let caller = replica.caller();
    caller.store(credential("c"), expired(&grant)).await?;

    let refusal = caller.token("c").await.expect_err("the provider is down");
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    let told = caller.credential("c").await?;
    assert_eq!(told.state(), CredentialState::Active);
    assert!(told.failed_attempts > 0);

    scene.sandbox.control().clear_faults();
    let answer = crate::harness::eventually::eventually("the next attempt", SOON, async || {
        caller.token("c").await.ok()
    })
    .await?;
    assert_eq!(answer.generation, 2);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_refuses_with_status_200_is_understood() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let config = scene
        .config()
        .provider("slackish", scene.sandbox.slack_entry("slackish"))
        .client(
            "slackish-main",
            "slackish",
            DEFAULT_CLIENT_ID,
            DEFAULT_CLIENT_SECRET,
        );
    let replica = Replica::start(&config).await?;
    let grant = scene.sandbox.control().create_grant(GrantSpec::default())?;
    let watcher = Watcher::start(&replica, everything()).await?;
    let caller = replica.caller();
    let slackish = Credential {
        provider: "slackish".to_owned(),
        client: "slackish-main".to_owned(),
        ..credential("c")
    };
    caller.store(slackish, expired(&grant)).await?;
    assert_eq!(caller.token("c").await?.generation, 2);

    scene.sandbox.control().revoke_grant(&grant.family)?;
    let refusal = caller.refused("c", 2).await.expect_err("it is revoked");
    assert_eq!(reason(&refusal).1, "CREDENTIAL_INVALIDATED", "{refusal:?}");
    let answers = scene.sandbox.control().ledger();
    let last = answers.token_requests().last().context("it was called")?;
    assert_eq!(last.status, Some(200));
    watcher
        .wait_for("the event", A_SECOND, |event| is_death_of(event, "c"))
        .await?;
    Ok(())
}

fn is_death(event: &Event) -> bool {
    matches!(event, Event::CredentialInvalidated(_))
}

fn is_death_of(event: &Event, id: &str) -> bool {
    matches!(event, Event::CredentialInvalidated(told) if told.credential_id == id)
}
