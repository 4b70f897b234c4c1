//! Budgets: a provider gets no more calls than it should, and callers come first (R55).

use std::time::Duration;

use evergrant_core::broker::{Ask, TokenError};
use evergrant_core::budget::PATIENCE;
use evergrant_core::clock::Clock;
use evergrant_core::failure::FailureReason;
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{CallError, Limits, Verdict};
use evergrant_core::refresh::Outcome;
use evergrant_core::schedule::{Pace, Scheduler};
use evergrant_core::testing::provider::failure;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::world::{
    Replica, World, all, client, due, failure_of, generation_of, reason_of, seconds,
};

async fn world_of(count: usize, limits: Limits) -> (World, Vec<CredentialKey>) {
    let world = World::new();
    world
        .provider
        .set_profile(|profile| profile.limits = limits);
    let mut keys = Vec::new();
    for name in 0..count {
        keys.push(world.connect(&format!("c{name}")).await);
    }
    (world, keys)
}

fn concurrent(most: u32) -> Limits {
    Limits {
        concurrent: Some(most),
        per_minute: None,
    }
}

fn per_minute(most: u32) -> Limits {
    Limits {
        concurrent: None,
        per_minute: Some(most),
    }
}

async fn renew(world: &World, replica: &Replica, key: &CredentialKey) -> Outcome {
    let facts = world.grant(key).await.facts;
    replica.broker.renew(&due(&facts)).await
}

fn throttled(asked: Duration) -> CallError {
    CallError {
        retry_after: Some(asked),
        ..failure(Verdict::RateLimit, "slow_down")
    }
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_a_client_hold_on_each_replica() {
    let (world, keys) = world_of(40, concurrent(4)).await;
    world.expire();
    world.provider.set_latency(seconds(1));
    let replicas = world.replicas(2);
    let asking = keys.iter().zip(replicas.iter().cycle());
    let asking = asking.map(|(key, replica)| replica.begin(key)).collect();
    for answer in all(asking).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.provider.most_at_once(), 8);
    assert_eq!(world.calls(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_without_a_place_holds_neither_lock_nor_lease_and_ends_in_time() {
    let (world, keys) = world_of(2, concurrent(1)).await;
    world.expire();
    let replica = world.replica();
    let held = world.provider.hold_next();
    let first = replica.begin(&keys[0]);
    held.reached().await;
    let claims = world.store.faults().calls(Op::Claim);
    let began = Instant::now();
    let second = replica.token(&keys[1]).await;
    let failure = failure_of(&second);
    assert_eq!(failure.reason, FailureReason::ProviderUnavailable);
    assert!(failure.cooling && failure.next_at.unwrap() > world.clock.now());
    assert_eq!(began.elapsed(), PATIENCE);
    assert_eq!(world.store.faults().calls(Op::Claim), claims);
    assert_eq!(world.grant(&keys[1]).await.facts.attempts.failed, 0);
    held.release();
    assert_eq!(generation_of(&first.await.unwrap()), 2);
    assert_eq!(generation_of(&replica.token(&keys[1]).await), 2);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_counts_against_the_callers_deadline() {
    let (world, keys) = world_of(2, concurrent(1)).await;
    world.expire();
    let replica = world.replica();
    let held = world.provider.hold_next();
    let first = replica.begin(&keys[0]);
    held.reached().await;
    let ask = Ask {
        deadline: Some(Instant::now() + seconds(2)),
        ..Ask::default()
    };
    let answer = replica.ask(&keys[1], ask).await;
    assert!(matches!(answer, Err(TokenError::InProgress(_))));
    held.release();
    assert_eq!(generation_of(&first.await.unwrap()), 2);
    replica.idle().await;
    assert_eq!(world.generation(&keys[1]).await, 2, "its flight went on");
}

#[tokio::test(start_paused = true)]
async fn renewals_leave_the_last_places_to_callers() {
    let (world, keys) = world_of(9, concurrent(4)).await;
    world.make_due_soon();
    let replica = world.replica();
    let held: Vec<_> = (0..3).map(|_| world.provider.hold_next()).collect();
    let mut renewals = Vec::new();
    for (key, held) in keys.iter().zip(&held) {
        let facts = world.grant(key).await.facts;
        let broker = replica.broker.clone();
        renewals.push(
            replica
                .tracker
                .spawn(async move { broker.renew(&due(&facts)).await }),
        );
        held.reached().await;
    }
    assert!(matches!(
        renew(&world, &replica, &keys[3]).await,
        Outcome::Busy
    ));
    assert_eq!(world.calls(), 3);
    world.expire();
    assert_eq!(generation_of(&replica.token(&keys[3]).await), 2);
    for held in held {
        held.release();
    }
    for renewal in renewals {
        assert!(matches!(renewal.await.unwrap(), Outcome::Token { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn no_minute_has_more_calls_than_the_client_may_make() {
    let (world, keys) = world_of(30, per_minute(10)).await;
    world.expire();
    let replica = world.replica();
    let mut made = Vec::new();
    for round in 0..5_usize {
        let asking = keys.iter().map(|key| replica.begin(key)).collect();
        let answers = all(asking).await;
        let refused = answers.iter().filter(|answer| answer.is_err());
        for answer in refused {
            assert_eq!(reason_of(answer), FailureReason::ProviderRateLimited);
            assert!(failure_of(answer).next_at.is_some());
        }
        made.push(world.calls());
        assert!(world.calls() <= 10 * (round + 1), "{made:?}");
        tokio::time::sleep(seconds(61)).await;
    }
    assert_eq!(world.calls(), 30, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn background_renewal_keeps_within_the_rate_and_gets_it_all_done() {
    let (world, keys) = world_of(20, per_minute(8)).await;
    world.make_due_soon();
    let replica = world.replica();
    let pace = Pace {
        interval: Duration::from_secs(1),
        concurrency: 50,
        per_client: 50,
    };
    let scheduler = Scheduler::new(
        replica.broker.clone(),
        world.store.clone(),
        world.clock.clone(),
        pace,
        replica.tracker.clone(),
    );
    replica.tracker.spawn(scheduler.run(replica.stop.clone()));
    for minute in 0..4_usize {
        tokio::time::sleep(seconds(55)).await;
        let most = (minute + 1) * 6;
        assert!(world.calls() <= most, "{} of {most}", world.calls());
        tokio::time::sleep(seconds(6)).await;
    }
    for key in &keys {
        assert_eq!(world.generation(key).await, 2);
    }
    let looks = world.store.faults().calls(Op::Grant);
    assert!(looks < 400, "{looks} looks at 20 grants");
    replica.stop.cancel();
    replica.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_throttled_client_is_held_back_with_all_its_grants() {
    let (world, keys) = world_of(20, Limits::default()).await;
    world.expire();
    let replica = world.replica();
    world.provider.answer_next(Err(throttled(seconds(100))));
    assert!(replica.token(&keys[0]).await.is_err());
    for key in &keys[1..] {
        let answer = replica.token(key).await;
        let failure = failure_of(&answer);
        assert_eq!(failure.reason, FailureReason::ProviderRateLimited);
        let wait = failure.next_at.unwrap().since(world.clock.now());
        assert!((100..=102).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(world.grant(key).await.facts.attempts.failed, 0);
        assert!(matches!(renew(&world, &replica, key).await, Outcome::Busy));
    }
    assert_eq!(replica.broker.room(&client()), 0);
    assert_eq!(world.calls(), 1);
    tokio::time::sleep(seconds(102)).await;
    assert_eq!(generation_of(&replica.token(&keys[1]).await), 2);
}

#[tokio::test(start_paused = true)]
async fn one_caller_may_find_out_whether_the_throttling_is_over() {
    let (world, keys) = world_of(20, Limits::default()).await;
    world.expire();
    let replica = world.replica();
    world.provider.answer_next(Err(throttled(seconds(100))));
    assert!(replica.token(&keys[0]).await.is_err());
    tokio::time::sleep(seconds(50)).await;
    world.provider.answer_next(Err(throttled(seconds(100))));
    for key in &keys[1..] {
        let answer = replica.token(key).await;
        assert_eq!(reason_of(&answer), FailureReason::ProviderRateLimited);
    }
    assert_eq!(world.calls(), 2, "one probe");
    tokio::time::sleep(seconds(50)).await;
    for key in &keys[2..] {
        assert_eq!(generation_of(&replica.token(key).await), 2);
    }
    assert_eq!(world.calls(), 2 + 18);
    assert!(matches!(
        renew(&world, &replica, &keys[2]).await,
        Outcome::Busy
    ));
}

#[tokio::test(start_paused = true)]
async fn a_429_of_an_endpoint_of_the_grants_own_holds_back_that_grant_alone() {
    let (world, keys) = world_of(2, Limits::default()).await;
    world.expire();
    let replica = world.replica();
    let of_its_own = CallError {
        grant_specific: true,
        ..throttled(seconds(3_600))
    };
    world.provider.answer_next(Err(of_its_own));
    let answer = replica.token(&keys[0]).await;
    let failure = failure_of(&answer);
    let wait = failure.next_at.unwrap().since(world.clock.now());
    assert!(wait >= seconds(3_600), "{wait:?}");
    assert_eq!(generation_of(&replica.token(&keys[1]).await), 2);
    assert!(replica.token(&keys[0]).await.is_err());
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_of_a_throttled_client_is_served() {
    let (world, keys) = world_of(2, Limits::default()).await;
    world.make_due();
    let replica = world.replica();
    world.provider.answer_next(Err(throttled(seconds(100))));
    for key in &keys {
        let answer = replica.token(key).await.unwrap();
        let failure = answer.failure.unwrap();
        assert_eq!(failure.reason, FailureReason::ProviderRateLimited);
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_time_holds_back_its_grant_alone() {
    let (world, keys) = world_of(2, Limits::default()).await;
    world.expire();
    let replica = world.replica();
    let slow_down = failure(Verdict::RateLimit, "slow_down");
    world.provider.answer_next(Err(slow_down));
    assert!(replica.token(&keys[0]).await.is_err());
    assert_eq!(generation_of(&replica.token(&keys[1]).await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_besides_refreshes_takes_a_place_too_and_the_setting_is_named() {
    let (world, keys) = world_of(2, per_minute(2)).await;
    world.expire();
    let replica = world.replica();
    drop(replica.broker.place(&client()).await.unwrap());
    assert_eq!(generation_of(&replica.token(&keys[0]).await), 2);
    let answer = replica.token(&keys[1]).await;
    let failure = failure_of(&answer);
    assert_eq!(failure.reason, FailureReason::ProviderRateLimited);
    assert!(
        failure.message.contains("limits.per_minute"),
        "{}",
        failure.message
    );
    let refused = replica.broker.place(&client()).await.unwrap_err();
    assert_eq!(refused.reason, FailureReason::ProviderRateLimited);
}
