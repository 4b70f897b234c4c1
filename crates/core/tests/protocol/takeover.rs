//! A leader crashes: who comes after it, when, and with how many calls (R3, R4, L1).

use std::time::Duration;

use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::{Rotation, Verdict};
use evergrant_core::testing::provider::{Reuse, failure};
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::doomed::Doomed;
use super::world::{LIMITS, World, all, death_of, generation_of, reason_of, seconds};

/// A crashed leader holds others up for no longer than this.
fn l1() -> Duration {
    LIMITS.lease + LIMITS.attempt_timeout
}

#[tokio::test(start_paused = true)]
async fn l1_a_leader_that_crashes_with_the_lock_alone_holds_others_up_for_its_time_to_live() {
    let (world, replica, key) = World::with_expired().await;
    let claim = world.store.faults().hold_next(Op::Claim);
    let doomed = Doomed::begin(&world, &key).await;
    claim.reached().await;
    doomed.crash().await;
    let began = Instant::now();
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert!(began.elapsed() <= l1(), "{:?}", began.elapsed());
    assert_eq!(world.calls(), 1);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_leader_that_crashes_before_its_call_costs_no_call() {
    let (world, replica, key) = World::with_expired().await;
    // Lock, lease, and then it hangs on its way to the escrow.
    let slow = seconds(1);
    world.coordinator.set(|faults| faults.delay = slow);
    let doomed = Doomed::begin(&world, &key).await;
    tokio::time::sleep(slow * 3 / 2).await;
    assert!(world.grant(&key).await.facts.lease.is_some());
    doomed.crash().await;
    world
        .coordinator
        .set(|faults| faults.delay = Duration::ZERO);
    let began = Instant::now();
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert!(began.elapsed() <= l1(), "{:?}", began.elapsed());
    assert_eq!(world.calls(), 1);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_request_that_never_arrived_is_made_up_for_by_one_recovery_call() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let doomed = Doomed::begin(&world, &key).await;
    held.reached().await;
    doomed.crash().await;
    let callers = (0..50).map(|_| replica.begin(&key)).collect();
    let began = Instant::now();
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert!(began.elapsed() <= l1(), "{:?}", began.elapsed());
    assert_eq!(world.calls(), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r3_nobody_calls_while_the_lease_of_a_crashed_leader_runs() {
    let (world, _, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let doomed = Doomed::begin(&world, &key).await;
    held.reached().await;
    doomed.crash().await;
    // The lock is gone with the service that kept it; the lease is not.
    world.coordinator.flush();
    let replicas = world.replicas(4);
    let callers: Vec<_> = replicas.iter().map(|replica| replica.begin(&key)).collect();
    tokio::time::sleep(LIMITS.lease - seconds(1)).await;
    assert_eq!(world.calls(), 1);
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.calls(), 2);
    for replica in &replicas {
        replica.idle().await;
    }
    world.check(&key).await;
}

// The leader is held up between lease and call, longer than the lease runs, and then goes on.
#[tokio::test(start_paused = true)]
async fn r3_a_leader_whose_lease_is_too_short_for_a_call_does_not_call() {
    let (world, one, key) = World::with_expired().await;
    let claim = world.store.faults().hold_next(Op::Claim);
    let first = one.begin(&key);
    claim.reached().await;
    let pause = LIMITS.lease + seconds(5);
    world.coordinator.set(|faults| faults.delay = pause);
    claim.release();
    tokio::time::sleep(seconds(1)).await;
    world
        .coordinator
        .set(|faults| faults.delay = Duration::ZERO);
    tokio::time::sleep(LIMITS.lease).await;
    let held = world.provider.hold_next();
    let other = world.replica();
    let second = other.begin(&key);
    held.reached().await;
    tokio::time::sleep(seconds(10)).await;
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
async fn an_answer_lost_in_a_crash_ends_a_strict_grant_once_and_by_its_right_name() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let doomed = Doomed::begin(&world, &key).await;
    held.reached().await;
    doomed.crash().await;
    let callers = (0..20).map(|_| replica.begin(&key)).collect();
    for answer in all(callers).await {
        assert_eq!(death_of(&answer), InvalidationReason::RotationLost);
    }
    assert_eq!(world.calls(), 2, "R4");
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_in_a_crash_is_had_again_from_a_provider_with_grace() {
    let (world, replica, key) = World::with_expired().await;
    let grace = Rotation::Grace(seconds(600));
    world.provider.set_reuse(Reuse::SameSuccessor, grace);
    let held = world.provider.hold_next_answer();
    let doomed = Doomed::begin(&world, &key).await;
    held.reached().await;
    doomed.crash().await;
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r4_three_crashes_cost_three_calls_more() {
    let (world, replica, key) = World::with_expired().await;
    for _ in 0..3 {
        let held = world.provider.hold_next();
        let doomed = Doomed::begin(&world, &key).await;
        held.reached().await;
        doomed.crash().await;
        tokio::time::sleep(LIMITS.lease).await;
    }
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert_eq!(world.calls(), 4);
    world.check(&key).await;
}

// The doubt lasts until a token set is stored: an attempt in between that failed does not lift it.
#[tokio::test(start_paused = true)]
async fn a_doubt_about_the_refresh_token_outlives_a_failed_attempt() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let doomed = Doomed::begin(&world, &key).await;
    held.reached().await;
    doomed.crash().await;
    world
        .provider
        .answer_next(Err(failure(Verdict::RateLimit, "slow_down")));
    let limited = replica.token(&key).await;
    assert_eq!(reason_of(&limited), FailureReason::ProviderRateLimited);
    world.clock.shift(seconds(600));
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::RotationLost);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_doubt_is_not_called_a_lost_rotation_after_an_earlier_crash() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let doomed = Doomed::begin(&world, &key).await;
    held.reached().await;
    doomed.crash().await;
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.expire();
    world.provider.revoke("a");
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    world.check(&key).await;
}
