//! Failures that may pass: tried again after a while, by nobody sooner, and never worse for a token that is valid.

use std::time::Duration;

use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::{CallError, Delivery, Verdict};
use evergrant_core::testing::provider::failure;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::world::{LIMITS, World, all, death_of, failure_of, generation_of, reason_of, seconds};

fn unsent() -> CallError {
    CallError {
        delivery: Delivery::NotSent,
        ..failure(Verdict::Transient, "")
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_is_not_tried_again_before_its_time_by_anybody() {
    let (world, one, key) = World::with_expired().await;
    let other = world.replica();
    let fault = failure(Verdict::Transient, "server_error");
    world.provider.fail_all(Some(fault));
    let first = one.token(&key).await;
    let first = failure_of(&first);
    assert!(!first.cooling);
    let next_at = first.next_at.unwrap();
    assert!(next_at > world.clock.now());
    for replica in [&one, &other] {
        for _ in 0..10 {
            let later = replica.token(&key).await;
            let later = failure_of(&later);
            assert!(later.cooling);
            assert_eq!(later.next_at, Some(next_at));
            assert_eq!(later.reason, FailureReason::ProviderUnavailable);
            assert_eq!(later.message, first.message);
        }
    }
    assert_eq!(world.calls(), 1);
    world.provider.fail_all(None);
    world.clock.shift(next_at.since(world.clock.now()));
    assert_eq!(generation_of(&other.token(&key).await), 2);
    assert_eq!(generation_of(&one.token(&key).await), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_waits_for_its_next_attempt_costs_no_read() {
    let (world, replica, key) = World::with_expired().await;
    world
        .provider
        .fail_all(Some(failure(Verdict::Transient, "")));
    assert!(replica.token(&key).await.is_err());
    let reads = |op| world.store.faults().calls(op);
    let before = (reads(Op::Grant), reads(Op::GrantOf));
    for _ in 0..100 {
        assert!(failure_of(&replica.token(&key).await).cooling);
    }
    assert_eq!((reads(Op::Grant), reads(Op::GrantOf)), before);
}

#[tokio::test(start_paused = true)]
async fn a_follower_shares_the_failure_of_its_leader() {
    let (world, one, key) = World::with_expired().await;
    let other = world.replica();
    world
        .provider
        .fail_all(Some(failure(Verdict::RateLimit, "")));
    let held = world.provider.hold_next();
    let first = one.begin(&key);
    held.reached().await;
    let second = other.begin(&key);
    tokio::time::sleep(seconds(3)).await;
    held.release();
    let released = Instant::now();
    for answer in all(vec![first, second]).await {
        assert_eq!(reason_of(&answer), FailureReason::ProviderRateLimited);
    }
    assert_eq!(released.elapsed(), seconds(0));
    assert_eq!(world.calls(), 1);
}

// It waited for its turn while another replica tried and failed.
#[tokio::test(start_paused = true)]
async fn a_refresh_whose_turn_comes_after_a_failure_elsewhere_shares_that_failure() {
    let mut world = World::new();
    world.limits.per_client = 1;
    let (busy, key) = (world.connect("a").await, world.connect("b").await);
    world.expire();
    let (one, other) = (world.replica(), world.replica());
    let held = world.provider.hold_next();
    let first = one.begin(&busy);
    held.reached().await;
    let queued = one.begin(&key);
    tokio::time::sleep(seconds(1)).await;
    world
        .provider
        .answer_next(Err(failure(Verdict::RateLimit, "slow_down")));
    let failed = other.token(&key).await;
    assert_eq!(reason_of(&failed), FailureReason::ProviderRateLimited);
    held.release();
    assert_eq!(generation_of(&first.await.unwrap()), 2);
    let queued = queued.await.unwrap();
    assert_eq!(reason_of(&queued), FailureReason::ProviderRateLimited);
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_fault_has_its_reason() {
    let faults = [
        (Verdict::Request, FailureReason::ProviderProtocolError),
        (Verdict::Protocol, FailureReason::ProviderProtocolError),
        (Verdict::Transient, FailureReason::ProviderUnavailable),
        (Verdict::RateLimit, FailureReason::ProviderRateLimited),
        (Verdict::Client, FailureReason::ClientRejected),
    ];
    for (verdict, reason) in faults {
        let (world, replica, key) = World::with_expired().await;
        world.provider.answer_next(Err(failure(verdict, "x")));
        assert_eq!(reason_of(&replica.token(&key).await), reason);
        assert_eq!(world.calls(), 1);
        world.check(&key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_time_gets_it_on_every_replica() {
    let (world, one, key) = World::with_expired().await;
    let patience = CallError {
        retry_after: Some(seconds(120)),
        ..failure(Verdict::RateLimit, "slow_down")
    };
    world.provider.answer_next(Err(patience));
    let began = world.clock.now();
    let next_at = failure_of(&one.token(&key).await).next_at.unwrap();
    assert!(next_at >= began.plus(seconds(120)));
    assert!(next_at <= began.plus(seconds(130)));
    let other = world.replica();
    world.clock.shift(seconds(119));
    for replica in [&one, &other] {
        assert!(failure_of(&replica.token(&key).await).cooling);
    }
    assert_eq!(world.calls(), 1);
}

// A34-A37
#[tokio::test(start_paused = true)]
async fn a_token_that_is_still_valid_outlives_a_failed_refresh_and_says_why_it_is_old() {
    let (world, replica, key) = World::with_fresh().await;
    world.make_due();
    let fault = failure(Verdict::Transient, "server_error");
    world.provider.fail_all(Some(fault));
    for cooling in [false, true, true] {
        let answer = replica.token(&key).await.unwrap();
        assert_eq!(answer.live.grant.facts.generation.0, 1);
        assert!(!answer.refreshed);
        let failure = answer.failure.unwrap();
        assert_eq!(failure.reason, FailureReason::ProviderUnavailable);
        assert_eq!(failure.cooling, cooling);
    }
    assert_eq!(world.calls(), 1);
    world.expire();
    assert!(replica.token(&key).await.is_err(), "R11");
}

#[tokio::test(start_paused = true)]
async fn each_failure_in_a_row_counts_and_a_success_forgets_them() {
    let (world, replica, key) = World::with_expired().await;
    world
        .provider
        .fail_all(Some(failure(Verdict::Transient, "")));
    for failed in 1..=5 {
        assert!(replica.token(&key).await.is_err());
        assert_eq!(world.grant(&key).await.facts.attempts.failed, failed);
        world.clock.shift(seconds(300));
    }
    world.provider.fail_all(None);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    let attempts = world.grant(&key).await.facts.attempts;
    assert_eq!((attempts.failed, attempts.next_at), (0, None::<Timestamp>));
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_request_that_was_not_sent_is_sent_once_more_at_once() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.answer_next(Err(unsent()));
    let began = Instant::now();
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert!(began.elapsed() < seconds(1));
    assert_eq!(world.calls(), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_provider_out_of_reach_is_tried_twice_in_a_lease_and_leaves_no_doubt() {
    let (world, replica, key) = World::with_expired().await;
    for _ in 0..2 {
        world.provider.answer_next(Err(unsent()));
    }
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::ProviderUnavailable);
    assert_eq!(world.calls(), 2);
    world.clock.shift(seconds(600));
    world.provider.revoke("a");
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
}

#[tokio::test(start_paused = true)]
async fn r4_a_call_without_an_answer_is_repeated_once_within_its_lease() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.time_out_next();
    let began = Instant::now();
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert!(began.elapsed() < LIMITS.attempt_timeout + seconds(1));
    assert_eq!(world.calls(), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_whole_answer_is_not_asked_for_twice() {
    for verdict in [Verdict::Transient, Verdict::RateLimit, Verdict::Protocol] {
        let (world, replica, key) = World::with_expired().await;
        world.provider.answer_next(Err(failure(verdict, "")));
        assert!(replica.token(&key).await.is_err());
        assert_eq!(world.calls(), 1, "{verdict:?}");
    }
}

// R24: the refusal that follows is the work of the network, not of the user.
#[tokio::test(start_paused = true)]
async fn a_rotation_that_the_network_lost_is_called_so() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.lose_next_answer();
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::RotationLost);
    assert_eq!(world.calls(), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_was_lost_in_one_lease_is_called_so_in_the_next() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.lose_next_answer();
    world.provider.time_out_next();
    assert!(replica.token(&key).await.is_err());
    world.clock.shift(seconds(600));
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::RotationLost);
    world.check(&key).await;
}

// The doubt is about the refresh token, whatever the second answer was about.
#[tokio::test(start_paused = true)]
async fn a_rotation_that_was_lost_before_the_client_was_rejected_is_called_so_later() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.lose_next_answer();
    let rejection = failure(Verdict::Client, "invalid_client");
    world.provider.answer_next(Err(rejection));
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
    tokio::time::sleep(Duration::from_secs(70)).await;
    let answer = replica.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::RotationLost);
    world.check(&key).await;
}
