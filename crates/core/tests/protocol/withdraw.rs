//! A killed grant is taken back at its provider while somebody else is at it.

use evergrant_core::failure::FailureReason;
use evergrant_core::grant::InvalidationReason;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::world::{World, death_of, seconds};

#[tokio::test(start_paused = true)]
async fn a_replica_that_drains_does_not_wait_for_the_grant_of_another() {
    let (world, one, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let caller = one.begin(&key);
    held.reached().await;
    let facts = world.grant(&key).await.facts;
    one.kill(&facts).await;

    let draining = world.replica();
    let revoker = draining.broker.revoker();
    let (id, generation) = (facts.id.clone(), facts.generation);
    let withdrawing =
        TaskTracker::new().spawn(async move { revoker.withdraw(&id, generation).await });
    tokio::time::sleep(seconds(2)).await;
    assert!(!withdrawing.is_finished(), "a call is under way");
    let began = Instant::now();
    draining.stop.cancel();
    let failure = withdrawing.await.unwrap().unwrap_err();
    assert_eq!(failure.reason, FailureReason::ShuttingDown);
    assert_eq!(began.elapsed(), seconds(0));
    held.release();
    assert_eq!(death_of(&caller.await.unwrap()), InvalidationReason::Killed);
    one.idle().await;
}
