//! A provider rejects the OAuth client: an operator must act, no credential is harmed (R10, R31, W12).

use evergrant_core::events::{Event, EventKind};
use evergrant_core::failure::FailureReason;
use evergrant_core::provider::Verdict;
use evergrant_core::testing::provider::failure;
use evergrant_core::testing::store::Op;

use super::world::{Replica, World, all, client, generation_of, reason_of, seconds};

fn reject(world: &World) {
    let rejection = failure(Verdict::Client, "invalid_client");
    world.provider.fail_all(Some(rejection));
}

/// Long enough for the next probe to be due.
async fn pass_probe_wait() {
    tokio::time::sleep(seconds(70)).await;
}

async fn last_event(world: &World) -> Event {
    world.events().await.pop().unwrap()
}

async fn told(world: &World, replica: &Replica) {
    replica.idle().await;
    let told = [EventKind::ClientRejected, EventKind::ClientRecovered];
    assert_eq!(world.kinds().await, told);
}

#[tokio::test(start_paused = true)]
async fn r10_a_thousand_credentials_of_a_rejected_client_are_one_event_and_none_is_harmed() {
    let world = World::new();
    let mut keys = Vec::new();
    for name in 0..1_000 {
        keys.push(world.connect(&format!("c{name}")).await);
    }
    world.expire();
    reject(&world);
    let replicas = world.replicas(2);
    let callers = keys
        .iter()
        .enumerate()
        .map(|(n, key)| replicas[n % 2].begin(key))
        .collect();
    for answer in all(callers).await {
        assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
    }
    assert_eq!(world.kinds().await, [EventKind::ClientRejected]);
    for key in &keys {
        assert!(world.is_active(key).await);
    }
    world.provider.fail_all(None);
    pass_probe_wait().await;
    for replica in &replicas {
        assert_eq!(generation_of(&replica.token(&keys[0]).await), 2);
        assert_eq!(generation_of(&replica.token(&keys[1]).await), 2);
    }
    let callers = keys
        .iter()
        .enumerate()
        .map(|(n, key)| replicas[n % 2].begin(key))
        .collect();
    for answer in all(callers).await {
        assert_eq!(
            generation_of(&answer),
            2,
            "no credential waits for a cool-down"
        );
    }
    told(&world, &replicas[0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_client_is_not_called_but_for_one_probe_at_a_time() {
    let (world, replica, key) = World::with_expired().await;
    let other_key = world.connect("b").await;
    world.expire();
    reject(&world);
    for _ in 0..20 {
        for key in [&key, &other_key] {
            let answer = replica.token(key).await;
            assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
        }
    }
    assert_eq!(world.calls(), 1);
    pass_probe_wait().await;
    for _ in 0..20 {
        assert!(replica.token(&other_key).await.is_err());
    }
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_served_while_its_client_is_rejected_and_says_so() {
    let (world, replica, key) = World::with_fresh().await;
    world.make_due();
    reject(&world);
    for _ in 0..3 {
        let answer = replica.token(&key).await.unwrap();
        assert_eq!(answer.live.grant.facts.generation.0, 1);
        let failure = answer.failure.unwrap();
        assert_eq!(failure.reason, FailureReason::ClientRejected);
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_is_told_also_by_a_process_that_never_saw_the_rejection() {
    let (world, replica, key) = World::with_expired().await;
    reject(&world);
    assert!(replica.token(&key).await.is_err());
    // The operator mends the secret in the configuration, and restarts.
    world.provider.fail_all(None);
    let restarted = world.replica();
    assert_eq!(generation_of(&restarted.token(&key).await), 2);
    told(&world, &restarted).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_never_rejected_recovers_from_nothing() {
    let (world, replica, key) = World::with_expired().await;
    for _ in 0..3 {
        world.expire();
        replica.token(&key).await.unwrap();
        replica.idle().await;
    }
    assert_eq!(world.kinds().await, []);
    assert!(
        world.store.faults().calls(Op::Snapshot) <= 2,
        "it is asked once"
    );
}

#[tokio::test(start_paused = true)]
async fn what_one_replica_saw_rejected_another_does_not_call() {
    let (world, one, key) = World::with_expired().await;
    let other = world.replica();
    reject(&world);
    assert!(one.token(&key).await.is_err());
    other.broker.observe(&last_event(&world).await);
    assert!(other.broker.client_is_rejected(&client()));
    let answer = other.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_one_replica_saw_recovered_another_calls_again_at_once() {
    let (world, one, key) = World::with_expired().await;
    let other = world.replica();
    let other_key = world.connect("b").await;
    world.expire();
    reject(&world);
    assert!(one.token(&key).await.is_err());
    let rejected = last_event(&world).await;
    pass_probe_wait().await;
    other.broker.observe(&rejected);
    world.provider.fail_all(None);
    assert_eq!(generation_of(&one.token(&key).await), 2);
    one.idle().await;
    other.broker.observe(&last_event(&world).await);
    assert!(!other.broker.client_is_rejected(&client()));
    assert_eq!(generation_of(&other.token(&other_key).await), 2);
    told(&world, &other).await;
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_could_not_be_told_is_told_by_the_next_probe() {
    let (world, replica, key) = World::with_expired().await;
    reject(&world);
    world.store.faults().fail_next(Op::Apply, 1);
    assert!(replica.token(&key).await.is_err());
    assert_eq!(world.kinds().await, []);
    pass_probe_wait().await;
    assert!(replica.token(&key).await.is_err());
    assert_eq!(world.kinds().await, [EventKind::ClientRejected]);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_could_not_be_told_is_told_by_the_next_success() {
    let (world, replica, key) = World::with_expired().await;
    let other_key = world.connect("b").await;
    world.expire();
    reject(&world);
    assert!(replica.token(&key).await.is_err());
    world.provider.fail_all(None);
    pass_probe_wait().await;
    world.store.faults().fail_next(Op::Apply, 1);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    replica.idle().await;
    assert_eq!(world.kinds().await, [EventKind::ClientRejected]);
    assert_eq!(generation_of(&replica.token(&other_key).await), 2);
    told(&world, &replica).await;
}

// R8: nothing comes before the new tokens are safe, not even the good news.
#[tokio::test(start_paused = true)]
async fn r8_the_tokens_of_the_first_success_are_safe_before_it_is_told() {
    let (world, replica, key) = World::with_expired().await;
    reject(&world);
    assert!(replica.token(&key).await.is_err());
    world.provider.fail_all(None);
    pass_probe_wait().await;
    let telling = world.store.faults().hold_next(Op::Snapshot);
    let answer = replica.token(&key).await;
    assert_eq!(generation_of(&answer), 2);
    telling.reached().await;
    assert_eq!(world.generation(&key).await, 2);
}

#[tokio::test(start_paused = true)]
async fn each_incident_is_told_once_by_however_many_replicas() {
    let world = World::new();
    let mut keys = Vec::new();
    for name in 0..64 {
        keys.push(world.connect(&format!("c{name}")).await);
    }
    let replicas = world.replicas(8);
    let ask_all = async || {
        let asking = keys.iter().zip(replicas.iter().cycle());
        all(asking.map(|(key, replica)| replica.begin(key)).collect()).await
    };
    for incident in 1..=3_usize {
        world.expire();
        reject(&world);
        ask_all().await;
        world.provider.fail_all(None);
        for _ in 0..3 {
            pass_probe_wait().await;
            ask_all().await;
        }
        for replica in &replicas {
            replica.idle().await;
        }
        let told = [EventKind::ClientRejected, EventKind::ClientRecovered].repeat(incident);
        assert_eq!(world.kinds().await, told);
    }
    for key in &keys {
        assert_eq!(world.generation(key).await, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_is_the_only_one() {
    let (world, replica, key) = World::with_expired().await;
    let other_key = world.connect("b").await;
    world.expire();
    reject(&world);
    assert!(replica.token(&key).await.is_err());
    pass_probe_wait().await;
    let held = world.provider.hold_next();
    let probe = replica.begin(&key);
    held.reached().await;
    for _ in 0..10 {
        let answer = replica.token(&other_key).await;
        assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
        tokio::time::sleep(seconds(1)).await;
    }
    assert_eq!(world.calls(), 2);
    world.provider.fail_all(None);
    held.release();
    assert_eq!(generation_of(&probe.await.unwrap()), 2);
    assert_eq!(generation_of(&replica.token(&other_key).await), 2);
}
