//! What attempts came to is told once each, and nothing depends on it.

use evergrant_core::attempts::{AttemptOutcome, AttemptRecord};
use evergrant_core::failure::FailureReason;
use evergrant_core::ids::Generation;
use evergrant_core::provider::Verdict;
use evergrant_core::refresh::Cause;
use evergrant_core::testing::provider::failure;

use super::world::{World, all, seconds};

fn outcomes(world: &World) -> Vec<AttemptOutcome> {
    let told = world.attempts.told().into_iter();
    told.map(|attempt| attempt.outcome).collect()
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_told_once_however_many_wait_for_it() {
    let (world, replica, key) = World::with_expired().await;
    let callers = (0..50).map(|_| replica.begin(&key)).collect();
    all(callers).await;
    replica.idle().await;
    let told = world.attempts.told();
    let [attempt] = told.as_slice() else {
        panic!("{told:?}");
    };
    let AttemptRecord {
        cause,
        base,
        left,
        took_over,
        calls,
        outcome,
        error,
        ..
    } = attempt;
    assert_eq!(
        (*cause, *outcome),
        (Cause::Expiry, AttemptOutcome::Refreshed)
    );
    assert_eq!((*base, *left), (Generation(1), Some(Generation(2))));
    assert_eq!((*took_over, *calls), (false, 1));
    assert_eq!(*error, None);
    assert_eq!(attempt.replica.as_str(), "replica");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_and_a_passing_failure_are_told_with_what_the_provider_said() {
    let (world, replica, key) = World::with_expired().await;
    world
        .provider
        .answer_next(Err(failure(Verdict::RateLimit, "slow_down")));
    assert!(replica.token(&key).await.is_err());
    world.clock.shift(seconds(3_600));
    world.provider.revoke("a");
    assert!(world.replica().token(&key).await.is_err());
    replica.idle().await;

    let told = world.attempts.told();
    let throttled = AttemptOutcome::Failed(FailureReason::ProviderRateLimited);
    assert_eq!(outcomes(&world), [throttled, AttemptOutcome::Invalidated]);
    for (attempt, code) in told.iter().zip(["slow_down", "invalid_grant"]) {
        let error = attempt.error.as_ref().unwrap();
        assert_eq!((error.status, error.code.as_str()), (Some(400), code));
        assert_eq!(attempt.left, None);
    }
    assert!(told[0].epoch < told[1].epoch);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_call_is_not_told() {
    let (world, replica, key) = World::with_fresh().await;
    assert!(replica.token(&key).await.is_ok());
    world.expire();
    world
        .provider
        .answer_next(Err(failure(Verdict::RateLimit, "")));
    assert!(replica.token(&key).await.is_err());
    // It cools down.
    assert!(replica.token(&key).await.is_err());
    assert_eq!(outcomes(&world).len(), 1);
}
