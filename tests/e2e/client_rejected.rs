//! A provider that rejects the OAuth client: an operator's fault, which no user must pay for.

use anyhow::Result;
use evergrant_proto::v1::CredentialState;
use evergrant_proto::v1::watch_response::Event;
use evergrant_providers::sandbox::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET};
use futures_util::future::join_all;
use tonic::Code;

use crate::harness::caller::reason;
use crate::harness::eventually::eventually;
use crate::harness::scene::{CLIENT, SOON, Scene};
use crate::harness::watcher::{Watcher, everything};

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
    watcher
        .wait_for(
            "the recovery, though nobody asks",
            SOON,
            |event| matches!(event, Event::ClientRecovered(told) if told.client == CLIENT),
        )
        .await?;
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
