//! A grant taken for dead has a working token after all (R7).

use evergrant_core::change::plan::IntegrationUpdate;
use evergrant_core::clock::Clock;
use evergrant_core::coordinator::EscrowEntry;
use evergrant_core::events::EventKind;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::{
    CredentialKey, Epoch, Generation, IntegrationId, IntegrationKey, TenantId,
};
use evergrant_core::integration::IntegrationStatus;
use evergrant_core::provider::Rotation;
use evergrant_core::store::Directory;
use evergrant_core::testing::provider::Reuse;
use tokio::task::JoinHandle;

use super::world::{Answered, LIMITS, Replica, World, death_of, generation_of};

/// The answer to the first call comes after the second was refused and the grant was taken for dead.
async fn false_death(world: &World, one: &Replica, key: &CredentialKey) -> JoinHandle<Answered> {
    world
        .provider
        .set_reuse(Reuse::Refused, Rotation::SingleUse);
    let paused = world.provider.hold_next_answer();
    let first = one.begin(key);
    paused.reached().await;
    tokio::time::sleep(LIMITS.lease).await;
    let second = world.replica().token(key).await;
    assert_eq!(death_of(&second), InvalidationReason::RotationLost);
    paused.release();
    first
}

#[tokio::test(start_paused = true)]
async fn r7_a_late_answer_brings_the_grant_back_to_life() {
    let (world, one, key) = World::with_expired().await;
    let first = false_death(&world, &one, &key).await;
    assert_eq!(generation_of(&first.await.unwrap()), 2);
    one.idle().await;
    let told = [
        EventKind::CredentialInvalidated,
        EventKind::CredentialRestored,
    ];
    assert_eq!(world.kinds().await, told);
    assert_eq!(generation_of(&world.replica().token(&key).await), 2);
    assert_eq!(world.calls(), 2);
    world.check_after_pause(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r7_what_needs_the_credential_works_again_too() {
    let (world, one, key) = World::with_expired().await;
    let integration = IntegrationKey {
        tenant: TenantId::parse("t1").unwrap(),
        id: IntegrationId::parse("i").unwrap(),
    };
    let new = IntegrationUpdate {
        credentials: Some(vec![key.id.clone()]),
        ..IntegrationUpdate::default()
    };
    let registry = one.broker.registry();
    registry
        .create_integration(&integration, &new)
        .await
        .unwrap();
    let first = false_death(&world, &one, &key).await;
    let status = || async {
        let stored = world.store.integration(&integration).await;
        stored.unwrap().unwrap().status
    };
    assert_eq!(status().await, IntegrationStatus::Error);
    first.await.unwrap().unwrap();
    one.idle().await;
    assert_eq!(status().await, IntegrationStatus::Enabled);
    assert_eq!(
        world.kinds().await,
        [
            EventKind::CredentialInvalidated,
            EventKind::IntegrationStatusChanged,
            EventKind::CredentialRestored,
            EventKind::IntegrationStatusChanged,
        ]
    );
}

async fn leave_behind(world: &World, key: &CredentialKey) {
    let entry = EscrowEntry {
        grant: world.grant(key).await.facts.id,
        base: Generation(1),
        epoch: Epoch(1),
        tokens: world.provider.consent("a"),
        issued_at: world.clock.now(),
    };
    world.coordinator.leave_behind(vec![entry]);
}

#[tokio::test(start_paused = true)]
async fn r7_what_was_left_behind_brings_the_grant_back_to_life() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    assert!(replica.token(&key).await.is_err());
    leave_behind(&world, &key).await;
    let restarted = world.replica();
    assert_eq!(restarted.broker.replay_escrow().await, Ok(1));
    assert_eq!(generation_of(&restarted.token(&key).await), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_left_behind_does_not_undo_a_callers_word() {
    let (world, replica, key) = World::with_expired().await;
    let registry = replica.broker.registry();
    registry.invalidate(&key, None, "stolen").await.unwrap();
    leave_behind(&world, &key).await;
    let restarted = world.replica();
    restarted.broker.replay_escrow().await.unwrap();
    let answer = restarted.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::Reported);
    assert_eq!(world.store.orphans().len(), 1, "R8");
    world.check(&key).await;
}
