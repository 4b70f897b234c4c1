//! The user connects again: what comes back to life and what does not.

use std::time::Duration;

use anyhow::Result;
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{IntegrationStatus, UpdateIntegrationRequest};
use evergrant_providers::sandbox::RotationMode;
use prost_types::FieldMask;
use tonic::Code;

use crate::harness::caller::{credential, fresh, reason};
use crate::harness::eventually::eventually;
use crate::harness::scene::{SOON, Scene};
use crate::harness::watcher::{Watcher, everything};

#[tokio::test]
async fn a_reconnect_restores_what_failed_and_leaves_what_was_paused() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let [one, two] = scene.replicas().await?;
    let caller = one.caller();
    let grant = scene.fresh_credential(&one, "c").await?;
    scene.fresh_credential(&one, "other").await?;
    caller.integrate("mail", &["c"]).await?;
    caller.integrate("calendar", &["c", "other"]).await?;
    caller.integrate("paused", &["c"]).await?;
    let mut integrations = one.integrations();
    let mut paused = caller.integration("paused").await?;
    paused.paused = true;
    integrations
        .update_integration(UpdateIntegrationRequest {
            integration: Some(paused),
            update_mask: Some(FieldMask {
                paths: vec!["paused".to_owned()],
            }),
        })
        .await?;
    let watcher = Watcher::start(&two, everything()).await?;

    scene.sandbox.control().revoke_grant(&grant.family)?;
    assert!(caller.refused("c", 1).await.is_err());
    for (id, status) in [
        ("mail", IntegrationStatus::Error),
        ("calendar", IntegrationStatus::Error),
        ("paused", IntegrationStatus::Disabled),
    ] {
        let told = two.caller().integration(id).await?;
        assert_eq!(told.status(), status, "{id}");
    }

    let renewed = scene.sandbox.grant(RotationMode::Strict)?;
    let answer = two.caller().reconnect("c", fresh(&renewed), false).await?;
    let healed: Vec<_> = answer
        .integrations
        .iter()
        .filter(|integration| integration.status() == IntegrationStatus::Enabled)
        .map(|integration| integration.integration_id.as_str())
        .collect();
    assert_eq!(healed, ["calendar", "mail"]);
    let restored = watcher.wait_for(
        "the recovery",
        SOON,
        |event| matches!(event, Event::CredentialRestored(told) if told.credential_id == "c"),
    );
    restored.await?;
    for id in ["mail", "calendar"] {
        watcher
            .wait_for("an integration to be enabled", SOON, |event| {
                matches!(event, Event::IntegrationStatusChanged(told)
                    if told.integration_id == id && told.to() == IntegrationStatus::Enabled)
            })
            .await?;
    }
    let outlived = two.caller().integration("paused").await?;
    assert_eq!(outlived.status(), IntegrationStatus::Disabled);
    assert_eq!(
        eventually("the new token", SOON, async || caller.token("c").await.ok())
            .await?
            .access_token,
        renewed.access_token.expose()
    );

    let again = scene.sandbox.grant(RotationMode::Strict)?;
    two.caller().reconnect("c", fresh(&again), true).await?;
    let resumed = two.caller().integration("paused").await?;
    assert_eq!(resumed.status(), IntegrationStatus::Enabled);
    assert!(!resumed.paused);
    Ok(())
}

#[tokio::test]
async fn a_reported_invalidation_stands_until_the_reconnect() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let [one, two] = scene.replicas().await?;
    let grant = scene.fresh_credential(&one, "c").await?;
    let watcher = Watcher::start(&two, everything()).await?;

    one.caller().invalidate("c").await?;
    watcher
        .wait_for("the event", Duration::from_secs(1), |event| {
            matches!(event, Event::CredentialInvalidated(told) if told.credential_id == "c")
        })
        .await?;
    for replica in [&one, &two] {
        let refusal = eventually("the refusal", SOON, async || {
            replica.caller().token("c").await.err()
        })
        .await?;
        assert_eq!(
            reason(&refusal),
            (
                Code::FailedPrecondition,
                "CREDENTIAL_INVALIDATED".to_owned()
            )
        );
    }
    assert_eq!(scene.sandbox.calls_for(&grant), 0);

    let renewed = scene.sandbox.grant(RotationMode::Strict)?;
    one.caller().reconnect("c", fresh(&renewed), false).await?;
    eventually("the other replica to serve again", SOON, async || {
        two.caller().token("c").await.ok()
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_credential_is_stored_once() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.fresh_credential(&replica, "c").await?;

    let twice = replica.caller().store(credential("c"), fresh(&grant)).await;

    assert_eq!(
        reason(&twice.expect_err("it is there")),
        (Code::AlreadyExists, "CREDENTIAL_EXISTS".to_owned())
    );
    Ok(())
}
