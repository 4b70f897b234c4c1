//! The database is down, slow or loses answers: it costs time, never a grant.

use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::world::{LIMITS, World, all, death_of, generation_of, reason_of, seconds};

#[tokio::test(start_paused = true)]
async fn without_the_database_nobody_calls_the_provider() {
    let (world, replica, key) = World::with_expired().await;
    world.store.faults().set_down(true);
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
    assert_eq!(world.calls(), 0);
    world.store.faults().set_down(false);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_lease_nobody_calls_the_provider() {
    let (world, replica, key) = World::with_expired().await;
    world.store.faults().fail_next(Op::Claim, 1);
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
    assert_eq!(world.calls(), 0);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_database_a_valid_token_is_still_served_and_says_why_it_is_old() {
    let (world, replica, key) = World::with_fresh().await;
    replica.token(&key).await.unwrap();
    world.make_due();
    world.store.faults().set_down(true);
    let answer = replica.token(&key).await.unwrap();
    assert_eq!(answer.live.grant.facts.generation.0, 1);
    let failure = answer.failure.unwrap();
    assert_eq!(failure.reason, FailureReason::StoreUnavailable);
}

#[tokio::test(start_paused = true)]
async fn l4_a_lease_whose_answer_was_lost_is_given_back_and_leaves_no_doubt() {
    let (world, replica, key) = World::with_expired().await;
    world.store.faults().lose_next_answers(Op::Claim, 1);
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
    world.provider.revoke("a");
    let began = Instant::now();
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    assert_eq!(began.elapsed(), seconds(0));
    world.check(&key).await;
}

// A109
#[tokio::test(start_paused = true)]
async fn r8_a_token_that_cannot_be_stored_is_served_at_once_and_stored_later() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let callers: Vec<_> = (0..20).map(|_| replica.begin(&key)).collect();
    held.reached().await;
    world.store.faults().set_down(true);
    let began = Instant::now();
    held.release();
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(began.elapsed(), seconds(0));
    tokio::time::sleep(seconds(300)).await;
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.store.faults().set_down(false);
    // L4
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(world.generation(&key).await, 2);
    assert_eq!(world.calls(), 1);
    replica.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r2_another_replica_does_not_call_while_a_token_waits_to_be_stored() {
    let (world, one, key) = World::with_expired().await;
    let other = world.replica();
    // Everything works but the commit, for about a minute.
    world.store.faults().fail_next(Op::Commit, 100);
    assert_eq!(generation_of(&one.token(&key).await), 2);
    assert_eq!(generation_of(&other.token(&key).await), 2);
    assert_eq!(world.calls(), 1);
    one.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r1_a_commit_whose_answer_was_lost_counts_once() {
    let (world, replica, key) = World::with_expired().await;
    world.store.faults().lose_next_answers(Op::Commit, 1);
    let callers = (0..10).map(|_| replica.begin(&key)).collect();
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 2);
    }
    replica.idle().await;
    assert_eq!(world.generation(&key).await, 2);
    assert_eq!(world.calls(), 1);
    assert!(world.store.orphans().is_empty());
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_hangs_holds_callers_up_for_its_time_out_and_no_longer() {
    let (world, replica, key) = World::with_expired().await;
    let hanging = world.store.faults().hold_next(Op::Commit);
    let began = Instant::now();
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert_eq!(began.elapsed(), LIMITS.store_timeout);
    replica.idle().await;
    hanging.release();
    assert_eq!(world.generation(&key).await, 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_replica_that_ends_with_its_token_in_escrow_leaves_it_to_the_next() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let caller = replica.begin(&key);
    held.reached().await;
    world.store.faults().set_down(true);
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    replica.stop.cancel();
    let began = Instant::now();
    replica.idle().await;
    assert!(began.elapsed() < seconds(1), "it waits for nothing");
    world.store.faults().set_down(false);
    let next = world.replica();
    assert_eq!(generation_of(&next.token(&key).await), 2);
    assert_eq!(world.calls(), 1);
    next.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_replica_whose_token_is_nowhere_safe_does_not_end_before_it_is() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let caller = replica.begin(&key);
    held.reached().await;
    world.store.faults().set_down(true);
    world.coordinator.set(|faults| faults.down = true);
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    replica.stop.cancel();
    replica.tracker.close();
    let ended = tokio::time::timeout(seconds(600), replica.tracker.wait()).await;
    assert!(ended.is_err(), "its only token is lost");
    world.coordinator.set(|faults| faults.down = false);
    replica.idle().await;
    let id = {
        world.store.faults().set_down(false);
        world.grant(&key).await.facts.id
    };
    assert!(world.coordinator.escrowed(&id).is_some() || world.generation(&key).await == 2);
}

#[tokio::test(start_paused = true)]
async fn r8_a_token_set_that_is_nowhere_safe_when_the_time_is_over_is_said_to_be_lost() {
    let (world, replica, key) = World::with_expired().await;
    let id = world.grant(&key).await.facts.id;
    world.store.faults().fail_next(Op::Commit, 1_000);
    world.coordinator.set(|faults| faults.down = true);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    replica.stop.cancel();
    tokio::time::sleep(seconds(25)).await;
    assert_eq!(replica.broker.give_up(), [id]);
    assert_eq!(replica.broker.give_up(), [], "each is told once");
}

#[tokio::test(start_paused = true)]
async fn r8_a_token_set_in_escrow_or_in_the_database_is_not_said_to_be_lost() {
    let (world, replica, key) = World::with_expired().await;
    // The escrow comes back first, then the database.
    world.store.faults().fail_next(Op::Commit, 1_000);
    world.coordinator.set(|faults| faults.down = true);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.coordinator.set(|faults| faults.down = false);
    tokio::time::sleep(seconds(25)).await;
    assert_eq!(replica.broker.give_up(), []);
    replica.stop.cancel();
    replica.idle().await;

    let (world, replica, key) = World::with_expired().await;
    world.store.faults().fail_next(Op::Commit, 3);
    world.coordinator.set(|faults| faults.down = true);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    tokio::time::sleep(seconds(25)).await;
    assert_eq!(world.generation(&key).await, 2);
    assert_eq!(replica.broker.give_up(), []);
}

// R5: what cannot be compared with the row is not taken for dead.
#[tokio::test(start_paused = true)]
async fn r5_a_refusal_that_cannot_be_confirmed_invalidates_nothing() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    world.store.faults().set_down(true);
    held.release();
    let answer = caller.await.unwrap();
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
    world.store.faults().set_down(false);
    assert!(world.is_active(&key).await);
    assert_eq!(world.kinds().await, []);
}

#[tokio::test(start_paused = true)]
async fn l4_a_refusal_that_could_not_be_confirmed_for_a_moment_is_soon_known_for_what_it_is() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    world.store.faults().fail_next(Op::Grant, 1);
    held.release();
    let answer = caller.await.unwrap();
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
    tokio::time::sleep(seconds(10)).await;
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn e1_an_invalidation_whose_answer_was_lost_is_told_once() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    world.store.faults().lose_next_answers(Op::Apply, 1);
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
    assert_eq!(world.calls(), 1);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_given_back_ends_by_itself() {
    let (world, replica, key) = World::with_expired().await;
    world.store.faults().fail_next(Op::EndAttempt, 1);
    world.provider.time_out_next();
    world.provider.time_out_next();
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::ProviderUnavailable);
    world.clock.shift(seconds(600));
    let began = Instant::now();
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert!(began.elapsed() <= LIMITS.lease);
    world.check(&key).await;
}
