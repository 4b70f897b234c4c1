//! A provider refuses the OAuth client for what one grant brings: other grants of the client go on.

use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::provider::{CallError, Verdict};
use evergrant_core::testing::provider::failure;

use super::world::{World, client, failure_of, generation_of, seconds};

/// A directory, an instance or an enterprise that does not know the client.
fn not_here() -> CallError {
    CallError {
        message: "application not found in the directory fabrikam".into(),
        grant_specific: true,
        ..failure(Verdict::Client, "unauthorized_client")
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_refused_for_what_it_brings_waits_alone() {
    let (world, replica, bad) = World::with_expired().await;
    let good = world.connect("good").await;
    world.expire();
    for _ in 0..5 {
        world.provider.answer_next(Err(not_here()));
        let refused = replica.token(&bad).await;
        let refused = failure_of(&refused);
        assert_eq!(refused.reason, FailureReason::ClientRejected);
        assert!(refused.message.contains("fabrikam"));
        tokio::time::sleep(seconds(301)).await;
    }
    assert_eq!(generation_of(&replica.token(&good).await), 2);
    replica.idle().await;
    assert_eq!(world.kinds().await, [], "an operator is not called");
    assert_eq!(
        generation_of(&replica.token(&bad).await),
        2,
        "it works as soon as it may"
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_begins_does_not_count_those_that_were_refused_before() {
    let world = World::new();
    let mut bad = Vec::new();
    for name in ["a", "b", "c", "d"] {
        bad.push(world.connect(name).await);
    }
    let good = world.connect("good").await;
    world.expire();
    let old = world.replica();
    for key in &bad {
        world.provider.answer_next(Err(not_here()));
        assert!(old.token(key).await.is_err());
        assert!(old.token(&good).await.is_ok());
        world.expire();
    }
    tokio::time::sleep(seconds(301)).await;
    let new = world.replica();
    for key in &bad {
        world.provider.answer_next(Err(not_here()));
        assert!(new.token(key).await.is_err());
    }
    assert!(!new.broker.client_is_rejected(&client()));
    new.idle().await;
    assert_eq!(world.kinds().await, []);
}

#[tokio::test(start_paused = true)]
async fn several_grants_in_a_row_are_a_rejected_client_and_nobody_reads_the_words_of_another() {
    let world = World::new();
    let replica = world.replica();
    let mut keys = Vec::new();
    for name in ["a", "b", "c", "d"] {
        keys.push(world.connect(name).await);
    }
    world.expire();
    world.provider.fail_all(Some(not_here()));
    for key in &keys[..3] {
        let refused = replica.token(key).await;
        assert!(failure_of(&refused).message.contains("fabrikam"));
    }
    let calls = world.calls();
    let refused = replica.token(&keys[3]).await;
    let refused = failure_of(&refused);
    assert_eq!(refused.reason, FailureReason::ClientRejected);
    assert_eq!(
        refused.message,
        "several grants of the client were refused in a row with unauthorized_client"
    );
    assert_eq!(world.calls(), calls, "it is spared the call");
    replica.idle().await;
    assert_eq!(world.kinds().await, [EventKind::ClientRejected]);
    assert!(replica.broker.client_is_rejected(&client()));
}

#[tokio::test(start_paused = true)]
async fn a_client_of_few_grants_is_rejected_once_none_of_them_was_accepted_for_an_hour() {
    let world = World::new();
    let replica = world.replica();
    let mut keys = Vec::new();
    for name in ["a", "b", "c"] {
        keys.push(world.connect(name).await);
    }
    world.expire();
    assert!(replica.token(&keys[0]).await.is_ok());
    world.expire();
    world.provider.fail_all(Some(not_here()));
    for key in &keys {
        assert!(replica.token(key).await.is_err());
    }
    assert!(!replica.broker.client_is_rejected(&client()), "it works");
    tokio::time::sleep(seconds(3_601)).await;
    assert!(replica.token(&keys[0]).await.is_err());
    assert!(replica.broker.client_is_rejected(&client()));
    replica.idle().await;
    assert_eq!(world.kinds().await, [EventKind::ClientRejected]);
}
