//! What one replica changed, the others do not hand out for long.

use std::time::Duration;

use evergrant_core::coherence::Coherence;
use evergrant_core::grant::InvalidationReason;

use super::rotation::again;
use super::world::{Replica, World, client, death_of, generation_of, refused, seconds};

/// Longer than a poll of what changed.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// A replica that follows the changes of others.
pub(super) fn following(world: &World) -> Replica {
    let replica = world.replica();
    let (store, bus) = (world.store.clone(), world.coordinator.clone());
    let coherence = Coherence::new(replica.broker.clone(), store, bus);
    replica.tracker.spawn(coherence.run(replica.stop.clone()));
    replica
}

/// Lets notices arrive, and nothing else happen.
async fn notices() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_token_is_forgotten_elsewhere_at_once() {
    let (world, one, key) = World::with_fresh().await;
    let other = following(&world);
    assert_eq!(generation_of(&other.token(&key).await), 1);
    notices().await;
    assert_eq!(generation_of(&one.ask(&key, refused(1)).await), 2);
    notices().await;
    assert_eq!(generation_of(&other.token(&key).await), 2);
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_notices_it_is_forgotten_within_a_second() {
    let (world, one, key) = World::with_fresh().await;
    world.coordinator.set(|faults| faults.lost_notices = true);
    let other = following(&world);
    assert_eq!(generation_of(&other.token(&key).await), 1);
    assert_eq!(generation_of(&one.ask(&key, refused(1)).await), 2);
    tokio::time::sleep(SOON).await;
    assert_eq!(generation_of(&other.token(&key).await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dead_grant_is_dead_elsewhere_and_alive_again_after_a_reconnect() {
    for lost_notices in [false, true] {
        let (world, one, key) = World::with_fresh().await;
        world
            .coordinator
            .set(|faults| faults.lost_notices = lost_notices);
        let other = following(&world);
        assert_eq!(generation_of(&other.token(&key).await), 1);
        let registry = one.broker.registry();
        registry.invalidate(&key, None, "stolen").await.unwrap();
        tokio::time::sleep(SOON).await;
        let answer = other.token(&key).await;
        assert_eq!(death_of(&answer), InvalidationReason::Reported);
        let ask = again(&key, world.provider.consent("a"), &world);
        registry.reconnect(&ask, &client()).await.unwrap();
        tokio::time::sleep(SOON).await;
        assert_eq!(generation_of(&other.token(&key).await), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_credential_is_gone_elsewhere() {
    let (world, one, key) = World::with_fresh().await;
    let other = following(&world);
    assert_eq!(generation_of(&other.token(&key).await), 1);
    let registry = one.broker.registry();
    assert_eq!(registry.delete_credential(&key).await, Ok(true));
    notices().await;
    assert!(other.token(&key).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_the_database_was_out_of_reach_is_found_afterwards() {
    let (world, one, key) = World::with_fresh().await;
    world.coordinator.set(|faults| faults.lost_notices = true);
    let other = following(&world);
    assert_eq!(generation_of(&other.token(&key).await), 1);
    assert_eq!(generation_of(&one.ask(&key, refused(1)).await), 2);
    // The other replica cannot look before long after the change.
    world.store.faults().set_down(true);
    tokio::time::sleep(seconds(200)).await;
    world.store.faults().set_down(false);
    tokio::time::sleep(SOON).await;
    assert_eq!(generation_of(&other.token(&key).await), 2);
}
