//! A provider that rejects the OAuth client: an operator's fault, which no user must pay for.

use anyhow::Result;
use evergrant_proto::v1::CredentialState;
use evergrant_proto::v1::watch_response::Event;
use evergrant_providers::sandbox::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET};
use futures_util::future::join_all;
use tonic::Code;

use crate::harness::caller::reason;
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};
use crate::harness::watcher::{Watcher, everything};

/// Waits until it is told that the client works again, for which nobody asks.
async fn recovery(watcher: &Watcher) -> Result<()> {
    let is_told =
        |event: &Event| matches!(event, Event::ClientRecovered(told) if told.client == CLIENT);
    watcher.wait_for("the recovery", SOON, is_told).await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_client_secret_harms_no_credential_and_passes_by_itself() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let control = scene.sandbox.control();
    control.set_client(DEFAULT_CLIENT_ID, &["changed at the provider".to_owned()]);
    let replicas: [_; 3] = scene.replicas().await?;
    let watcher = Watcher::start(&replicas[2], everything()).await?;
    for number in 0..10 {
        scene
            .expired_credential(&replicas[0], &format!("old-{number}"))
            .await?;
    }
    scene.fresh_credential(&replicas[0], "good").await?;

    let asking = replicas.iter().flat_map(|replica| {
        (0..10).map(|number| {
            let caller = replica.caller();
            async move { caller.token(&format!("old-{number}")).await }
        })
    });
    for answer in join_all(asking).await {
        let refusal = answer.expect_err("the client is rejected");
        assert_eq!(
            reason(&refusal),
            (Code::FailedPrecondition, "CLIENT_REJECTED".to_owned())
        );
    }
    watcher
        .wait_for(
            "the event",
            SOON,
            |event| matches!(event, Event::ClientRejected(told) if told.client == CLIENT),
        )
        .await?;
    for replica in &replicas {
        assert_eq!(replica.caller().token("good").await?.generation, 1);
    }
    for number in 0..10 {
        let told = replicas[1]
            .caller()
            .credential(&format!("old-{number}"))
            .await?;
        assert_eq!(told.state(), CredentialState::Active);
    }

    control.set_client(DEFAULT_CLIENT_ID, &[DEFAULT_CLIENT_SECRET.to_owned()]);
    recovery(&watcher).await?;
    for (number, replica) in (0..10).zip(replicas.iter().cycle()) {
        let caller = replica.caller();
        let id = format!("old-{number}");
        let answer = eventually("a token", SOON, async || caller.token(&id).await.ok()).await?;
        assert_eq!(answer.generation, 2);
    }
    let count = |wanted: fn(&Event) -> bool| watcher.count(wanted);
    assert_eq!(count(|event| matches!(event, Event::ClientRejected(_))), 1);
    assert_eq!(count(|event| matches!(event, Event::ClientRecovered(_))), 1);
    assert_eq!(
        count(|event| matches!(event, Event::CredentialInvalidated(_))),
        0
    );
    Ok(())
}

#[tokio::test]
async fn a_mended_client_recovers_although_nobody_asks_and_nothing_is_due() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let replicas: [_; 2] = scene.replicas().await?;
    let watcher = Watcher::start(&replicas[1], everything()).await?;
    scene.fresh_credential(&replicas[0], "a").await?;
    scene.fresh_credential(&replicas[0], "b").await?;
    let control = scene.sandbox.control();
    control.set_client(DEFAULT_CLIENT_ID, &["changed at the provider".to_owned()]);
    let refusal = replicas[0].caller().refused("a", 1).await;
    let refusal = refusal.expect_err("the client is rejected");
    assert_eq!(reason(&refusal).1, "CLIENT_REJECTED");
    let at_once = replicas[0].metrics().await?;
    let of_client = [("provider", PROVIDER), ("client", CLIENT)];
    assert_eq!(
        at_once.sum("evergrant_client_breaker_state", &of_client),
        2.0
    );
    assert_eq!(at_once.sum("evergrant_clients_rejected", &[]), 1.0);
    let shown = async |value: f64| {
        for replica in &replicas {
            let rejected = eventually("the gauge", SOON, async || {
                let metrics = replica.metrics().await.ok()?;
                let state = metrics.sum("evergrant_client_breaker_state", &of_client);
                let rejected = metrics.sum("evergrant_clients_rejected", &[]);
                (rejected == value && (state > 0.0) == (value > 0.0)).then_some(())
            });
            rejected.await?;
        }
        anyhow::Ok(())
    };
    shown(1.0).await?;

    let calls = || scene.sandbox.calls();
    let probed = async || (calls() > 1).then_some(());
    eventually("the first probe", SOON, probed).await?;
    control.set_client(DEFAULT_CLIENT_ID, &[DEFAULT_CLIENT_SECRET.to_owned()]);
    recovery(&watcher).await?;
    shown(0.0).await?;
    assert_eq!(calls(), 3, "one that was asked for, and two probes");
    let generations = [
        replicas[0].caller().token("a").await?.generation,
        replicas[1].caller().token("b").await?.generation,
    ];
    assert_eq!(generations.iter().sum::<u64>(), 3, "one was refreshed");
    let told = |event: &Event| matches!(event, Event::ClientRecovered(_));
    assert_eq!(watcher.count(told), 1);
    Ok(())
}

#[tokio::test]
async fn a_restart_with_the_right_secret_tells_the_recovery_of_itself() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let control = scene.sandbox.control();
    let replica = scene.replica("with the old secret").await?;
    scene.fresh_credential(&replica, "a").await?;
    control.set_client(DEFAULT_CLIENT_ID, &["the new secret".to_owned()]);
    assert!(replica.caller().refused("a", 1).await.is_err());
    replica.kill().await?;

    let config = scene.config();
    let mended = config.client(CLIENT, PROVIDER, DEFAULT_CLIENT_ID, "the new secret");
    let replica = Replica::start(&mended).await?;
    let watcher = Watcher::start(&replica, everything()).await?;
    recovery(&watcher).await
}
