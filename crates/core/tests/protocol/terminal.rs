//! A grant that only its user can mend: found dead once, told once, remembered, and never by mistake.

use evergrant_core::change::plan::Reconnect;
use evergrant_core::events::{EventBody, EventKind};
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{CallError, Delivery, Rotation, Verdict};
use evergrant_core::testing::provider::{Reuse, failure, refused};
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::rotation::again;
use super::world::{LIMITS, World, all, client, death_of, generation_of, seconds};

async fn reconnect(world: &World, key: &CredentialKey) {
    let ask: Reconnect = again(key, world.provider.consent("a"), world);
    let registry = world.replica().broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn e1_a_revoked_grant_is_told_once_however_many_ask() {
    let (world, _, key) = World::with_expired().await;
    world.provider.revoke("a");
    let replicas = world.replicas(4);
    let callers = replicas
        .iter()
        .flat_map(|replica| (0..25).map(|_| replica.begin(&key)))
        .collect();
    for answer in all(callers).await {
        assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    }
    assert_eq!(world.calls(), 1);
    let events = world.events().await;
    assert_eq!(events.len(), 1);
    let EventBody::CredentialInvalidated(told) = &events[0].body else {
        panic!("{events:?}");
    };
    assert_eq!(told.credential, key);
    assert_eq!(told.generation.0, 1);
    assert_eq!(told.provider_error, "invalid_grant");
    for replica in &replicas {
        replica.idle().await;
    }
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_grant_costs_neither_a_call_nor_a_read() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    assert!(replica.token(&key).await.is_err());
    // Its binding is of before the death, so it is looked up once more.
    assert!(replica.token(&key).await.is_err());
    let reads = |op| world.store.faults().calls(op);
    let before = (reads(Op::Grant), reads(Op::GrantOf));
    let callers = (0..500).map(|_| replica.begin(&key)).collect();
    for answer in all(callers).await {
        assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    }
    assert_eq!(world.calls(), 1);
    assert_eq!((reads(Op::Grant), reads(Op::GrantOf)), before);
}

// R32, W11
#[tokio::test(start_paused = true)]
async fn a_dead_grant_is_still_dead_after_a_restart_and_after_a_month() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    assert!(replica.token(&key).await.is_err());
    world.clock.shift(seconds(30 * 86_400));
    let restarted = world.replica();
    let answer = restarted.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    assert_eq!(world.calls(), 1);
    assert_eq!(world.kinds().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_ends_it_at_once() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    assert!(replica.token(&key).await.is_err());
    let ask = again(&key, world.provider.consent("a"), &world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    let answer = replica.token(&key).await;
    assert_eq!(generation_of(&answer), 2);
    assert_eq!(world.calls(), 1);
    let told = [
        EventKind::CredentialInvalidated,
        EventKind::CredentialRestored,
    ];
    assert_eq!(world.kinds().await, told);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_the_provider_is_the_reason_that_is_told() {
    let (world, replica, key) = World::with_expired().await;
    world
        .provider
        .answer_next(Err(refused(InvalidationReason::AccessDenied)));
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::AccessDenied);
}

// R5, C18-C20: a pause let somebody else rotate.
#[tokio::test(start_paused = true)]
async fn r5_a_refusal_that_lost_a_race_serves_the_newer_token_and_invalidates_nothing() {
    let (world, one, key) = World::with_expired().await;
    world
        .provider
        .set_reuse(Reuse::Refused, Rotation::SingleUse);
    let paused = world.provider.hold_next();
    let first = one.begin(&key);
    paused.reached().await;
    tokio::time::sleep(LIMITS.lease).await;
    let other = world.replica();
    assert_eq!(generation_of(&other.token(&key).await), 2);
    paused.release();
    assert_eq!(generation_of(&first.await.unwrap()), 2);
    assert_eq!(world.kinds().await, []);
    one.idle().await;
    world.check_after_pause(&key).await;
}

// A96, A107: refused a moment after somebody had reconnected.
#[tokio::test(start_paused = true)]
async fn r6_a_refusal_of_an_older_generation_invalidates_nothing() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    reconnect(&world, &key).await;
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    assert!(world.is_active(&key).await);
    assert_eq!(world.kinds().await, []);
    replica.idle().await;
    world.check(&key).await;
}

// R5: the answer to the first of two calls is still on its way when the second is refused.
#[tokio::test(start_paused = true)]
async fn r5_a_refusal_after_a_takeover_waits_for_what_the_first_call_may_still_bring() {
    let (world, one, key) = World::with_expired().await;
    world
        .provider
        .set_reuse(Reuse::Refused, Rotation::SingleUse);
    let paused = world.provider.hold_next_answer();
    let first = one.begin(&key);
    paused.reached().await;
    tokio::time::sleep(LIMITS.lease).await;
    let other = world.replica();
    let second = other.begin(&key);
    tokio::time::sleep(LIMITS.attempt_timeout).await;
    assert_eq!(world.calls(), 2);
    assert!(!second.is_finished(), "it is to be confirmed");
    paused.release();
    for answer in all(vec![first, second]).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.kinds().await, []);
    one.idle().await;
    other.idle().await;
    world.check_after_pause(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_takeover_need_not_wait_for_what_is_stored_already() {
    let (world, one, key) = World::with_expired().await;
    world
        .provider
        .set_reuse(Reuse::Refused, Rotation::SingleUse);
    let paused = world.provider.hold_next_answer();
    let first = one.begin(&key);
    paused.reached().await;
    tokio::time::sleep(LIMITS.lease).await;
    let other = world.replica();
    let held = world.provider.hold_next_answer();
    let second = other.begin(&key);
    held.reached().await;
    paused.release();
    assert_eq!(generation_of(&first.await.unwrap()), 2);
    held.release();
    let began = Instant::now();
    assert_eq!(generation_of(&second.await.unwrap()), 2);
    assert_eq!(began.elapsed(), seconds(0));
    assert_eq!(world.kinds().await, []);
}

#[tokio::test(start_paused = true)]
async fn r5_without_doubt_a_refusal_needs_no_waiting() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    let began = Instant::now();
    assert!(replica.token(&key).await.is_err());
    assert_eq!(began.elapsed(), seconds(0));
}

#[tokio::test(start_paused = true)]
async fn r6_a_refusal_under_a_lease_that_was_taken_over_invalidates_nothing() {
    let (world, one, key) = World::with_expired().await;
    world
        .provider
        .answer_next(Err(refused(InvalidationReason::GrantRevoked)));
    // The first leader pauses with the refusal in its hands, on its way to write it.
    let paused = world.store.faults().hold_next(Op::Apply);
    let first = one.begin(&key);
    paused.reached().await;
    tokio::time::sleep(LIMITS.lease).await;
    let held = world.provider.hold_next();
    let other = world.replica();
    let second = other.begin(&key);
    held.reached().await;
    paused.release();
    tokio::time::sleep(seconds(5)).await;
    assert!(world.is_active(&key).await);
    held.release();
    assert_eq!(generation_of(&second.await.unwrap()), 2);
    assert_eq!(generation_of(&first.await.unwrap()), 2);
    assert_eq!(world.kinds().await, []);
    assert_eq!(world.calls(), 2);
    one.idle().await;
    other.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_known_for_false_refusals_is_asked_twice() {
    let (world, replica, key) = World::with_expired().await;
    world
        .provider
        .set_profile(|profile| profile.flaky_refusals = true);
    world
        .provider
        .answer_next(Err(refused(InvalidationReason::GrantRevoked)));
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert_eq!(world.calls(), 2);
    world.expire();
    world.provider.revoke("a");
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    assert_eq!(world.calls(), 4);
    world.check(&key).await;
}

// R10: whatever the fault is, it is not the grant's.
#[tokio::test(start_paused = true)]
async fn r10_no_other_answer_and_no_silence_changes_the_state() {
    let unanswered = |delivery| CallError {
        delivery,
        ..failure(Verdict::Transient, "")
    };
    let faults = [
        failure(Verdict::Client, "invalid_client"),
        failure(Verdict::Request, "invalid_request"),
        failure(Verdict::Transient, "server_error"),
        failure(Verdict::RateLimit, "slow_down"),
        failure(Verdict::Protocol, ""),
        unanswered(Delivery::NotSent),
        unanswered(Delivery::Unknown),
    ];
    for fault in faults {
        let (world, replica, key) = World::with_expired().await;
        world.provider.fail_all(Some(fault.clone()));
        for _ in 0..5 {
            assert!(replica.token(&key).await.is_err());
            world.clock.shift(seconds(600));
            tokio::time::advance(seconds(120)).await;
        }
        assert!(world.is_active(&key).await, "{fault:?}");
        world.provider.fail_all(None);
        assert_eq!(generation_of(&replica.token(&key).await), 2);
        replica.idle().await;
        world.check(&key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_reported_is_not_undone_by_a_call_that_began_before_it() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    let registry = replica.broker.registry();
    registry.invalidate(&key, None, "stolen").await.unwrap();
    held.release();
    let answer = caller.await.unwrap();
    assert_eq!(death_of(&answer), InvalidationReason::Reported);
    replica.idle().await;
    assert_eq!(world.store.orphans().len(), 1, "R8");
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
    world.check(&key).await;
}
