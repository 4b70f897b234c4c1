//! A token that cannot be stored yet is served from memory, but not past the death of its grant.

use evergrant_core::grant::InvalidationReason;
use evergrant_core::testing::store::Op;

use super::coherence::{SOON, following};
use super::world::{World, death_of, generation_of};

/// More than the commits that are tried while a test looks.
const ALL: usize = 1_000;

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_stored_is_not_served_once_its_grant_is_reported_dead() {
    for elsewhere in [false, true] {
        for lost_notices in [false, true] {
            let (world, other, key) = World::with_expired().await;
            let coordinator = &world.coordinator;
            coordinator.set(|faults| faults.lost_notices = lost_notices);
            let replica = following(&world);
            world.store.faults().fail_next(Op::Commit, ALL);
            assert_eq!(generation_of(&replica.token(&key).await), 2);
            let by = if elsewhere { &other } else { &replica };
            let registry = by.broker.registry();
            registry.invalidate(&key, None, "stolen").await.unwrap();
            tokio::time::sleep(SOON).await;
            let answer = replica.token(&key).await;
            assert_eq!(death_of(&answer), InvalidationReason::Reported);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_came_after_its_grant_was_reported_dead_is_not_served_if_it_is_not_stored() {
    for elsewhere in [false, true] {
        let (world, other, key) = World::with_expired().await;
        let replica = following(&world);
        let held = world.provider.hold_next_answer();
        let caller = replica.begin(&key);
        held.reached().await;
        let by = if elsewhere { &other } else { &replica };
        let registry = by.broker.registry();
        registry.invalidate(&key, None, "stolen").await.unwrap();
        tokio::time::sleep(SOON).await;
        world.store.faults().fail_next(Op::Commit, 3);
        held.release();
        let answer = caller.await.unwrap();
        assert_eq!(death_of(&answer), InvalidationReason::Reported);
        let answer = replica.token(&key).await;
        assert_eq!(death_of(&answer), InvalidationReason::Reported);
        // The commit is tried again, and what it brought is put aside.
        tokio::time::sleep(SOON * 10).await;
        assert_eq!(world.store.orphans().len(), 1, "R8");
        let answer = replica.token(&key).await;
        assert_eq!(death_of(&answer), InvalidationReason::Reported);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_stored_is_still_served_after_another_credential_left_the_grant() {
    let world = World::new();
    let mut keys = Vec::new();
    for name in ["leaver", "stayer"] {
        let tokens = world.provider.consent("shared");
        keys.push(world.connect_with(name, Some("shared"), tokens).await);
    }
    world.expire();
    let replica = world.replica();
    world.store.faults().fail_next(Op::Commit, 30);
    assert_eq!(generation_of(&replica.token(&keys[0]).await), 3);
    let registry = replica.broker.registry();
    assert_eq!(registry.delete_credential(&keys[0]).await, Ok(true));
    assert_eq!(generation_of(&replica.token(&keys[1]).await), 3);
    assert!(replica.token(&keys[0]).await.is_err());
    assert_eq!(world.calls(), 1);
    replica.idle().await;
    assert_eq!(world.generation(&keys[1]).await, 3);
    world.check(&keys[1]).await;
}
