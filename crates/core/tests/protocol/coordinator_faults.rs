//! Redis is down, slow or forgets: refreshing is slower and nothing else.

use std::time::Duration;

use evergrant_core::coordinator::{Acquired, Escrow, Locks};
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::OwnerToken;
use evergrant_core::provider::Rotation;
use evergrant_core::refresh::Outcome;
use evergrant_core::testing::provider::Reuse;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::doomed::Doomed;
use super::world::{LIMITS, World, all, death_of, due, generation_of, seconds};

// The wait takes up so much of the shortest lease that no call fits into the rest.
#[tokio::test(start_paused = true)]
async fn l1_a_doubt_that_no_escrow_lifts_is_waited_out_once_under_the_shortest_lease() {
    for background in [false, true] {
        let mut world = World::new();
        world.limits.lease = world.limits.shortest_lease();
        let lease = world.limits.lease;
        let key = world.connect("a").await;
        world.expire();
        let replica = world.replica();
        let held = world.provider.hold_next();
        let doomed = Doomed::begin(&world, &key).await;
        held.reached().await;
        doomed.crash().await;
        world.coordinator.set(|faults| faults.down = true);
        let began = Instant::now();
        if background {
            tokio::time::sleep(lease).await;
            let facts = world.grant(&key).await.facts;
            let outcome = replica.broker.renew(&due(&facts)).await;
            assert!(matches!(outcome, Outcome::Token { .. }), "{outcome:?}");
        } else {
            assert_eq!(generation_of(&replica.token(&key).await), 2);
        }
        assert!(began.elapsed() < 2 * lease, "{:?}", began.elapsed());
        assert_eq!(world.calls(), 2);
        replica.idle().await;
        world.check(&key).await;
    }
}

// A110, R2
#[tokio::test(start_paused = true)]
async fn r2_without_redis_eight_replicas_still_make_one_call() {
    let (world, _, key) = World::with_expired().await;
    world.coordinator.set(|faults| faults.down = true);
    world.provider.set_latency(seconds(2));
    let replicas = world.replicas(8);
    let callers = replicas
        .iter()
        .flat_map(|replica| (0..100).map(|_| replica.begin(&key)))
        .collect();
    let began = Instant::now();
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert!(began.elapsed() <= seconds(4), "a poll finds the result");
    assert_eq!(world.calls(), 1);
    for replica in &replicas {
        replica.idle().await;
    }
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r2_a_lock_that_is_lost_during_the_call_lets_nobody_else_call() {
    let (world, one, key) = World::with_expired().await;
    let other = world.replica();
    let held = world.provider.hold_next();
    let first = one.begin(&key);
    held.reached().await;
    world.coordinator.flush();
    let second = other.begin(&key);
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(world.calls(), 1);
    held.release();
    for answer in all(vec![first, second]).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.calls(), 1);
    one.idle().await;
    other.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_leader_does_not_release_the_lock_of_its_successor() {
    let (world, replica, key) = World::with_expired().await;
    let id = world.grant(&key).await.facts.id;
    let held = world.provider.hold_next();
    let caller = replica.begin(&key);
    held.reached().await;
    world.coordinator.expire_lock(&id);
    let successor = OwnerToken::random();
    let taken = world.coordinator.acquire(&id, &successor, LIMITS.lease);
    assert_eq!(taken.await, Ok(Acquired::Won));
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    replica.idle().await;
    assert_eq!(world.coordinator.holder(&id), Some(successor));
}

#[tokio::test(start_paused = true)]
async fn without_notices_followers_find_the_token_by_looking() {
    let (world, one, key) = World::with_expired().await;
    let other = world.replica();
    world.coordinator.set(|faults| faults.lost_notices = true);
    let held = world.provider.hold_next();
    let first = one.begin(&key);
    held.reached().await;
    let second = other.begin(&key);
    tokio::time::sleep(seconds(5)).await;
    held.release();
    first.await.unwrap().unwrap();
    let began = Instant::now();
    assert_eq!(generation_of(&second.await.unwrap()), 2);
    assert!(began.elapsed() <= seconds(1));
    assert_eq!(world.calls(), 1);
}

// W5: a follower is woken, it does not read the row over and over.
#[tokio::test(start_paused = true)]
async fn with_notices_followers_wake_at_once() {
    let (world, one, key) = World::with_expired().await;
    let other = world.replica();
    let held = world.provider.hold_next();
    let first = one.begin(&key);
    held.reached().await;
    let second = other.begin(&key);
    tokio::time::sleep(Duration::from_millis(4_950)).await;
    held.release();
    let began = Instant::now();
    for answer in all(vec![first, second]).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(began.elapsed(), seconds(0));
}

// A117
#[tokio::test(start_paused = true)]
async fn a_lock_that_was_taken_although_the_answer_was_lost_is_given_up_again() {
    let (world, replica, key) = World::with_expired().await;
    let id = world.grant(&key).await.facts.id;
    world.coordinator.set(|faults| faults.lost_answers = 1);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    replica.idle().await;
    assert_eq!(world.coordinator.holder(&id), None);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_put_in_escrow_is_stored_all_the_same() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let caller = replica.begin(&key);
    held.reached().await;
    world.coordinator.set(|faults| faults.down = true);
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    replica.idle().await;
    assert_eq!(world.generation(&key).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_redis_makes_a_refresh_slower_and_nothing_else() {
    let (world, _, key) = World::with_expired().await;
    let slow = Duration::from_millis(400);
    world.coordinator.set(|faults| faults.delay = slow);
    let replicas = world.replicas(3);
    let callers = replicas.iter().map(|replica| replica.begin(&key)).collect();
    let began = Instant::now();
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert!(began.elapsed() <= seconds(3), "{:?}", began.elapsed());
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_during_the_call_loses_nothing() {
    let (world, replica, key) = World::with_expired().await;
    let commit = world.store.faults().hold_next(Op::Commit);
    let caller = replica.begin(&key);
    commit.reached().await;
    world.coordinator.flush();
    commit.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    replica.idle().await;
    world.check(&key).await;
}

// R5: while the escrow is out of reach nobody knows whether it holds the successor of a refused token.
#[tokio::test(start_paused = true)]
async fn r5_a_refusal_in_doubt_is_not_final_while_the_escrow_is_out_of_reach() {
    let (world, replica, key) = World::with_expired().await;
    world
        .provider
        .set_reuse(Reuse::Refused, Rotation::SingleUse);
    let commit = world.store.faults().hold_next(Op::Commit);
    let doomed = Doomed::begin(&world, &key).await;
    commit.reached().await;
    doomed.crash().await;
    world.coordinator.set(|faults| faults.down = true);
    assert!(replica.token(&key).await.is_err());
    assert!(world.is_active(&key).await, "its successor is in escrow");
    world.coordinator.set(|faults| faults.down = false);
    world.clock.shift(seconds(600));
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    replica.idle().await;
    world.check(&key).await;
}

// R5: a refresh token whose successor somebody is about to store is not sent again.
#[tokio::test(start_paused = true)]
async fn r5_a_refresh_token_in_doubt_is_not_sent_while_its_successor_may_still_be_stored() {
    let (world, one, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let first = one.begin(&key);
    held.reached().await;
    world.store.faults().set_down(true);
    held.release();
    assert_eq!(generation_of(&first.await.unwrap()), 2);
    tokio::time::sleep(LIMITS.lease * 2).await;
    world.coordinator.set(|faults| faults.down = true);
    world.store.faults().set_down(false);
    let other = world.replica();
    assert_eq!(generation_of(&other.token(&key).await), 2);
    assert_eq!(world.calls(), 1);
    world.coordinator.set(|faults| faults.down = false);
    one.idle().await;
    other.idle().await;
    let grant = world.grant(&key).await;
    assert!(world.provider.accepts(&grant.tokens.refresh_token.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn without_redis_a_crash_holds_others_up_for_a_little_longer_and_no_more() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let doomed = Doomed::begin(&world, &key).await;
    held.reached().await;
    doomed.crash().await;
    world.coordinator.set(|faults| faults.down = true);
    let began = Instant::now();
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    let window = LIMITS.attempt_timeout + LIMITS.store_timeout;
    assert!(began.elapsed() <= LIMITS.lease + window + seconds(1));
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_doubt_is_final_also_while_the_escrow_is_out_of_reach() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    world.coordinator.set(|faults| faults.down = true);
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    world.coordinator.set(|faults| faults.down = false);
    let id = world.grant(&key).await.facts.id;
    let found = world
        .coordinator
        .find(&id, world.grant(&key).await.facts.generation);
    assert_eq!(found.await, Ok(None));
    world.check(&key).await;
}
