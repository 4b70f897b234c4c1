//! One call per generation, however many ask.

use evergrant_core::broker::{Ask, TokenError};
use evergrant_core::failure::FailureReason;
use evergrant_core::provider::Verdict;
use evergrant_core::refresh::Outcome;
use evergrant_core::store::GrantStore;
use evergrant_core::testing::provider::failure;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::world::{World, all, due, generation_of, reason_of, seconds};

#[tokio::test(start_paused = true)]
async fn r2_a_fresh_token_costs_no_call_and_after_the_first_time_no_read() {
    let (world, replica, key) = World::with_fresh().await;
    for _ in 0..10 {
        assert_eq!(generation_of(&replica.token(&key).await), 1);
    }
    assert_eq!(world.calls(), 0);
    assert_eq!(world.store.faults().calls(Op::GrantOf), 1);
}

#[tokio::test(start_paused = true)]
async fn r2_a_hundred_callers_of_one_replica_share_one_call() {
    let (world, replica, key) = World::with_expired().await;
    let callers = (0..100).map(|_| replica.begin(&key)).collect();
    for answer in all(callers).await {
        let answer = answer.unwrap();
        assert_eq!(answer.live.grant.facts.generation.0, 2);
        assert!(answer.refreshed);
    }
    assert_eq!(world.calls(), 1);
    replica.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r2_two_hundred_callers_of_eight_replicas_share_one_call() {
    let (world, _, key) = World::with_expired().await;
    world.provider.set_latency(seconds(2));
    let replicas = world.replicas(8);
    let callers = replicas
        .iter()
        .flat_map(|replica| (0..25).map(|_| replica.begin(&key)))
        .collect();
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.calls(), 1);
    for replica in &replicas {
        replica.idle().await;
    }
    world.check(&key).await;
}

// W70
#[tokio::test(start_paused = true)]
async fn r2_callers_that_need_it_for_different_times_share_one_call() {
    let (world, one, key) = World::with_fresh().await;
    let other = world.replica();
    world.make_due_soon();
    world.provider.set_latency(seconds(2));
    let lasting = |wanted| Ask {
        min_validity: seconds(wanted),
        ..Ask::default()
    };
    let callers = [0, 60, 301, 600, 1_800, 3_000]
        .iter()
        .flat_map(|wanted| [&one, &other].map(|replica| replica.begin_ask(&key, lasting(*wanted))))
        .collect();
    for (n, answer) in all(callers).await.iter().enumerate() {
        let generation = generation_of(answer);
        assert!(n < 4 || generation == 2, "caller {n} got {generation}");
    }
    for replica in [&one, &other] {
        replica.idle().await;
    }
    assert_eq!(world.calls(), 1);
    world.check(&key).await;
}

// A108: a provider that takes longer than any lock of its own kind would.
#[tokio::test(start_paused = true)]
async fn r2_a_slow_provider_is_still_called_once() {
    let (world, _, key) = World::with_expired().await;
    world.provider.set_latency(seconds(14));
    let replicas = world.replicas(3);
    let callers = replicas.iter().map(|replica| replica.begin(&key)).collect();
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn l2_the_first_caller_may_leave_and_the_others_are_served() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next();
    let first = replica.begin(&key);
    held.reached().await;
    let others = (0..10).map(|_| replica.begin(&key)).collect();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    held.release();
    for answer in all(others).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn l2_the_last_caller_may_leave_and_the_new_token_is_stored() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let only = replica.begin(&key);
    held.reached().await;
    only.abort();
    assert!(only.await.unwrap_err().is_cancelled());
    held.release();
    replica.idle().await;
    assert_eq!(world.generation(&key).await, 2);
    world.check(&key).await;
}

// A118
#[tokio::test(start_paused = true)]
async fn l1_a_caller_whose_deadline_passes_hears_so_and_the_others_are_served() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.set_latency(seconds(5));
    let began = Instant::now();
    let hasty = Ask {
        deadline: Some(began + seconds(1)),
        ..Ask::default()
    };
    let hasty = replica.begin_ask(&key, hasty);
    let patient = (0..99).map(|_| replica.begin(&key)).collect();
    assert_eq!(
        hasty.await.unwrap().unwrap_err(),
        TokenError::InProgress(key.clone())
    );
    assert_eq!(began.elapsed(), seconds(1));
    for answer in all(patient).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_share_a_failure_as_they_share_a_token() {
    let (world, replica, key) = World::with_expired().await;
    world
        .provider
        .fail_all(Some(failure(Verdict::Transient, "server_error")));
    let callers = (0..100).map(|_| replica.begin(&key)).collect();
    for answer in all(callers).await {
        assert_eq!(reason_of(&answer), FailureReason::ProviderUnavailable);
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_due_soon_is_served_at_once_and_renewed_once_behind_it() {
    let (world, _, key) = World::with_fresh().await;
    let replicas = world.replicas(4);
    world.make_due_soon();
    world.provider.set_latency(seconds(3));
    let began = Instant::now();
    for replica in &replicas {
        for _ in 0..5 {
            let answer = replica.token(&key).await.unwrap();
            assert_eq!(answer.live.grant.facts.generation.0, 1);
            assert_eq!(answer.failure, None);
        }
    }
    assert_eq!(began.elapsed(), seconds(0));
    for replica in &replicas {
        replica.idle().await;
    }
    assert_eq!(world.calls(), 1);
    assert_eq!(world.generation(&key).await, 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r2_background_renewal_on_two_replicas_is_one_call_and_never_waits() {
    let (world, one, key) = World::with_fresh().await;
    let other = world.replica();
    world.make_due_soon();
    let grant = due(&world.grant(&key).await.facts);
    let held = world.provider.hold_next();
    let first = {
        let (broker, grant) = (one.broker.clone(), grant.clone());
        one.tracker.spawn(async move { broker.renew(&grant).await })
    };
    held.reached().await;
    let began = Instant::now();
    assert!(matches!(other.broker.renew(&grant).await, Outcome::Busy));
    assert_eq!(began.elapsed(), seconds(0));
    held.release();
    assert!(matches!(
        first.await.unwrap(),
        Outcome::Token { called: true, .. }
    ));
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_joins_a_renewal_which_gives_way_waits_for_the_token_all_the_same() {
    let (world, one, key) = World::with_expired().await;
    let other = world.replica();
    let grant = due(&world.grant(&key).await.facts);
    let held = world.provider.hold_next();
    let leader = one.begin(&key);
    held.reached().await;
    let slow_lock = seconds(1);
    world.coordinator.set(|faults| faults.delay = slow_lock);
    let renewal = {
        let broker = other.broker.clone();
        other
            .tracker
            .spawn(async move { broker.renew(&grant).await })
    };
    tokio::time::sleep(slow_lock / 2).await;
    let caller = other.begin(&key);
    assert!(matches!(renewal.await.unwrap(), Outcome::Busy));
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    assert_eq!(generation_of(&leader.await.unwrap()), 2);
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn grants_of_one_client_are_refreshed_a_few_at_a_time() {
    let mut world = World::new();
    world.limits.per_client = 3;
    let mut keys = Vec::new();
    for name in 0..12 {
        keys.push(world.connect(&format!("c{name}")).await);
    }
    world.expire();
    world.provider.set_latency(seconds(1));
    let replica = world.replica();
    let callers = keys.iter().map(|key| replica.begin(key)).collect();
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.provider.most_at_once(), 3);
    assert_eq!(world.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_whose_turn_comes_after_the_shutdown_began_is_not_begun() {
    let mut world = World::new();
    world.limits.per_client = 1;
    let (first, second) = (world.connect("a").await, world.connect("b").await);
    world.expire();
    let replica = world.replica();
    let held = world.provider.hold_next();
    let begun = replica.begin(&first);
    held.reached().await;
    let queued = replica.begin(&second);
    tokio::time::sleep(seconds(1)).await;
    replica.stop.cancel();
    held.release();
    assert_eq!(generation_of(&begun.await.unwrap()), 2);
    assert_eq!(
        reason_of(&queued.await.unwrap()),
        FailureReason::ShuttingDown
    );
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_shuts_down_ends_what_it_began_and_begins_nothing() {
    let (world, replica, key) = World::with_expired().await;
    let other_key = world.connect("b").await;
    world.expire();
    let held = world.provider.hold_next();
    let begun = replica.begin(&key);
    held.reached().await;
    replica.stop.cancel();
    let refused = replica.token(&other_key).await;
    assert_eq!(reason_of(&refused), FailureReason::ShuttingDown);
    held.release();
    assert_eq!(generation_of(&begun.await.unwrap()), 2);
    assert_eq!(world.calls(), 1);
    replica.idle().await;
    let stored = world.store.grant_of(&key).await.unwrap().unwrap();
    assert_eq!(stored.facts.lease, None);
}
