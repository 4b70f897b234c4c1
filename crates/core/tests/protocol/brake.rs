//! A provider refuses many grants of one client at once: its refusals are held, not believed (R5, R6).

use std::time::Duration;

use evergrant_core::brake::{PROBE_EVERY, SPREAD, Verdict};
use evergrant_core::broker::TokenError;
use evergrant_core::clock::Clock;
use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{Delivery, Verdict as Answer};
use evergrant_core::schedule::{Pace, Scheduler};
use evergrant_core::store::Directory;
use evergrant_core::testing::provider::{failure, refused as refusal};
use evergrant_core::testing::store::Op;

use super::world::{
    Answered, Replica, World, all, client, death_of, failure_of, generation_of, reason_of, refused,
    seconds,
};

mod unbraked;

/// At most so many grants die before the brake engages.
const BELIEVED: usize = 9;

/// A world with so many credentials, whose tokens have expired.
async fn world_of(count: usize) -> (World, Vec<CredentialKey>) {
    let world = World::new();
    let mut keys = Vec::new();
    for name in 0..count {
        keys.push(world.connect(&format!("c{name}")).await);
    }
    world.expire();
    (world, keys)
}

fn refuse_all(world: &World) {
    let dead = refusal(InvalidationReason::GrantRevoked);
    world.provider.fail_all(Some(dead));
}

/// Each credential is asked for once, on one replica after the other.
async fn ask_all(replicas: &[Replica], keys: &[CredentialKey]) -> Vec<Answered> {
    let replicas = replicas.iter().cycle();
    let asking = keys.iter().zip(replicas);
    all(asking.map(|(key, replica)| replica.begin(key)).collect()).await
}

async fn dead(world: &World, keys: &[CredentialKey]) -> usize {
    let mut dead = 0;
    for key in keys {
        dead += usize::from(!world.is_active(key).await);
    }
    dead
}

async fn held(world: &World) -> usize {
    world
        .store
        .held(&client(), None, 9_999)
        .await
        .unwrap()
        .len()
}

async fn count(world: &World, kind: EventKind) -> usize {
    let kinds = world.kinds().await;
    kinds.into_iter().filter(|other| *other == kind).count()
}

async fn release(replica: &Replica, verdict: Verdict) -> Option<u64> {
    let client = client();
    let released = replica.broker.release_brake(&client, verdict);
    released.await.unwrap()
}

/// Lets a replica renew what is due.
fn renewing(world: &World) -> Replica {
    let replica = world.replica();
    let pace = Pace {
        interval: Duration::from_secs(1),
        concurrency: 100,
        per_client: 100,
    };
    let scheduler = Scheduler::new(
        replica.broker.clone(),
        world.store.clone(),
        world.clock.clone(),
        pace,
        replica.tracker.clone(),
    );
    replica.tracker.spawn(scheduler.run(replica.stop.clone()));
    replica
}

async fn stop(replica: &Replica) {
    replica.stop.cancel();
    replica.idle().await;
}

#[tokio::test(start_paused = true)]
async fn r5_of_a_hundred_refused_at_once_on_five_replicas_nine_die_and_the_rest_is_held() {
    let (world, keys) = world_of(100).await;
    refuse_all(&world);
    let replicas = world.replicas(5);
    for answer in ask_all(&replicas, &keys).await {
        match &answer {
            Err(TokenError::Invalidated { .. }) => {}
            answer => assert_eq!(reason_of(answer), FailureReason::ClientBraked),
        }
    }
    assert_eq!(dead(&world, &keys).await, BELIEVED);
    assert_eq!(held(&world).await, 100 - BELIEVED);
    assert_eq!(count(&world, EventKind::ClientBraked).await, 1);
    assert_eq!(
        count(&world, EventKind::CredentialInvalidated).await,
        BELIEVED
    );
    assert_eq!(world.calls(), 100);
    for key in &keys {
        world.check(key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_grant_is_not_called_for_and_says_why_on_every_replica() {
    let (world, keys) = world_of(40).await;
    refuse_all(&world);
    let replica = world.replica();
    ask_all(std::slice::from_ref(&replica), &keys).await;
    let calls = world.calls();
    let restarted = world.replica();
    for replica in [&replica, &restarted] {
        for key in &keys {
            if world.is_active(key).await {
                let answer = replica.token(key).await;
                let failure = failure_of(&answer);
                assert_eq!(failure.reason, FailureReason::ClientBraked);
                assert!(failure.cooling);
                assert!(failure.next_at.unwrap() > world.clock.now());
                assert!(replica.ask(key, refused(1)).await.is_err());
            }
        }
    }
    assert_eq!(world.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_of_a_held_grant_is_served_and_says_why_it_is_old() {
    let world = World::new();
    let mut keys = Vec::new();
    for name in 0..12 {
        keys.push(world.connect(&format!("c{name}")).await);
    }
    world.make_due();
    refuse_all(&world);
    let replica = world.replica();
    ask_all(std::slice::from_ref(&replica), &keys).await;
    let last = &keys[11];
    for replica in [&replica, &world.replica()] {
        let answer = replica.token(last).await.unwrap();
        assert_eq!(answer.live.grant.facts.generation.0, 1);
        let failure = answer.failure.unwrap();
        assert_eq!(failure.reason, FailureReason::ClientBraked);
    }
    world.expire();
    let answer = replica.token(last).await;
    assert_eq!(reason_of(&answer), FailureReason::ClientBraked, "R11");
}

#[tokio::test(start_paused = true)]
async fn fewer_than_three_in_ten_are_believed() {
    let (world, keys) = world_of(100).await;
    for key in &keys[..25] {
        world.provider.revoke(key.id.as_str());
    }
    let replicas = world.replicas(3);
    ask_all(&replicas, &keys[25..]).await;
    for answer in ask_all(&replicas, &keys[..25]).await {
        assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    }
    assert_eq!(dead(&world, &keys).await, 25);
    assert_eq!(count(&world, EventKind::ClientBraked).await, 0);
}

#[tokio::test(start_paused = true)]
async fn refusals_that_come_slowly_are_believed() {
    let (world, keys) = world_of(40).await;
    refuse_all(&world);
    let replica = world.replica();
    for key in &keys {
        assert!(replica.token(key).await.is_err());
        tokio::time::sleep(seconds(7)).await;
    }
    assert_eq!(dead(&world, &keys).await, 40);
}

#[tokio::test(start_paused = true)]
async fn what_no_provider_said_is_never_held() {
    let (world, keys) = world_of(30).await;
    let mut unasked = failure(Answer::Grant(InvalidationReason::NotRefreshable), "");
    unasked.delivery = Delivery::NotSent;
    world.provider.fail_all(Some(unasked));
    ask_all(&world.replicas(2), &keys).await;
    assert_eq!(dead(&world, &keys).await, 30);
    assert_eq!(count(&world, EventKind::ClientBraked).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_callers_word_is_not_braked() {
    let (world, keys) = world_of(30).await;
    refuse_all(&world);
    let replica = world.replica();
    ask_all(std::slice::from_ref(&replica), &keys).await;
    for key in &keys {
        let registry = replica.broker.registry();
        registry.invalidate(key, None, "uninstalled").await.unwrap();
    }
    assert_eq!(dead(&world, &keys).await, 30);
    assert_eq!(held(&world).await, 0);
    world.check_log().await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_believes_the_provider_ends_what_is_held_and_that_is_told() {
    let (world, keys) = world_of(60).await;
    refuse_all(&world);
    let replicas = world.replicas(2);
    ask_all(&replicas, &keys).await;
    assert_eq!(
        release(&replicas[0], Verdict::Invalidate).await,
        Some(60 - BELIEVED as u64)
    );
    assert_eq!(dead(&world, &keys).await, 60);
    assert_eq!(count(&world, EventKind::CredentialInvalidated).await, 60);
    assert_eq!(count(&world, EventKind::ClientReleased).await, 1);
    assert_eq!(release(&replicas[1], Verdict::Retry).await, None);
    let calls = world.calls();
    for answer in ask_all(&replicas, &keys).await {
        assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    }
    assert_eq!(world.calls(), calls);
    world.check_log().await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_does_not_has_all_that_is_held_tried_again() {
    let (world, keys) = world_of(60).await;
    refuse_all(&world);
    let replicas = world.replicas(2);
    ask_all(&replicas, &keys).await;
    world.provider.fail_all(None);
    assert_eq!(
        release(&replicas[0], Verdict::Retry).await,
        Some(60 - BELIEVED as u64)
    );
    replicas[1]
        .broker
        .observe(&world.events().await.pop().unwrap());
    tokio::time::sleep(SPREAD).await;
    let answers = ask_all(&replicas, &keys).await;
    let fresh = answers.iter().filter(|answer| answer.is_ok());
    assert_eq!(fresh.count(), 60 - BELIEVED);
    assert_eq!(dead(&world, &keys).await, BELIEVED);
    assert_eq!((held(&world).await, world.calls()), (0, 60 + 60 - BELIEVED));
    for key in &keys {
        world.check(key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn turns_are_half_a_minute_apart_for_all_replicas_together() {
    let (world, keys) = world_of(50).await;
    refuse_all(&world);
    let replicas = [renewing(&world), renewing(&world), renewing(&world)];
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(dead(&world, &keys).await, BELIEVED);
    let calls = world.calls();
    assert_eq!(calls, 50);
    tokio::time::sleep(PROBE_EVERY * 60).await;
    let turns = world.calls() - calls;
    assert!((55..=60).contains(&turns), "{turns} turns in half an hour");
    assert_eq!(dead(&world, &keys).await, BELIEVED);
    for replica in &replicas {
        stop(replica).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_suspect_that_is_accepted_releases_all_the_others() {
    let (world, keys) = world_of(50).await;
    refuse_all(&world);
    let replicas = [renewing(&world), renewing(&world)];
    tokio::time::sleep(PROBE_EVERY * 3).await;
    assert_eq!(held(&world).await, 50 - BELIEVED);
    world.provider.fail_all(None);
    tokio::time::sleep(PROBE_EVERY + SPREAD + seconds(5)).await;
    assert_eq!(held(&world).await, 0);
    assert_eq!(count(&world, EventKind::ClientReleased).await, 1);
    assert_eq!(dead(&world, &keys).await, BELIEVED);
    for key in &keys {
        let expected = if world.is_active(key).await { 2 } else { 1 };
        assert_eq!(world.generation(key).await, expected);
    }
    for replica in &replicas {
        stop(replica).await;
    }
}

// Half of the grants are truly revoked: that the other half is refreshed says nothing of the revoked.
#[tokio::test(start_paused = true)]
async fn the_success_of_a_grant_that_was_never_refused_releases_nothing() {
    let (world, keys) = world_of(60).await;
    let (revoked, good) = keys.split_at(30);
    for key in revoked {
        world.provider.revoke(key.id.as_str());
    }
    let replicas = world.replicas(2);
    ask_all(&replicas, revoked).await;
    for answer in ask_all(&replicas, good).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(held(&world).await, 30 - BELIEVED);
    assert_eq!(count(&world, EventKind::ClientReleased).await, 0);
    assert_eq!(
        release(&replicas[0], Verdict::Invalidate).await,
        Some(30 - BELIEVED as u64)
    );
    assert_eq!(dead(&world, &keys).await, 30);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_refused_again_after_a_release_are_judged_as_usual() {
    let (world, keys) = world_of(15).await;
    for key in &keys {
        world.provider.revoke(key.id.as_str());
    }
    let replica = world.replica();
    ask_all(std::slice::from_ref(&replica), &keys).await;
    assert_eq!(held(&world).await, 15 - BELIEVED);
    assert_eq!(
        release(&replica, Verdict::Retry).await,
        Some(15 - BELIEVED as u64)
    );
    tokio::time::sleep(SPREAD).await;
    ask_all(std::slice::from_ref(&replica), &keys).await;
    assert_eq!(dead(&world, &keys).await, 15, "six are no mass");
    assert_eq!(count(&world, EventKind::ClientBraked).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reconnected_grant_is_held_no_more() {
    let (world, keys) = world_of(12).await;
    refuse_all(&world);
    let replica = world.replica();
    ask_all(std::slice::from_ref(&replica), &keys).await;
    let key = &keys[11];
    let again = evergrant_core::change::plan::Reconnect {
        key: key.clone(),
        account: None,
        allow_account_change: false,
        resume_paused: false,
        tokens: world.provider.consent("again"),
        issued_at: world.clock.now(),
        renewal: world.renewal(),
    };
    let registry = replica.broker.registry();
    registry.reconnect(&again, &client()).await.unwrap();
    assert_eq!(generation_of(&replica.token(key).await), 2);
    assert_eq!(held(&world).await, 12 - BELIEVED - 1);
}

#[tokio::test(start_paused = true)]
async fn r6_a_refusal_that_cannot_be_stored_neither_kills_nor_holds() {
    let (world, keys) = world_of(1).await;
    refuse_all(&world);
    world.store.faults().fail_next(Op::Apply, 1);
    let replica = world.replica();
    let answer = replica.token(&keys[0]).await;
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
    assert_eq!((dead(&world, &keys).await, held(&world).await), (0, 0));
}
