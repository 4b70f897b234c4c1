//! A caller that leaves while its change is made takes nothing of it with him: it is made whole, and told.

use evergrant_core::broker::TokenError;
use evergrant_core::ids::CredentialKey;
use evergrant_core::revocation::RevokeError;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::coherence::following;
use super::world::{Replica, World, key, seconds};

async fn is_gone(replica: &Replica, key: &CredentialKey) {
    let answer = replica.token(key).await;
    assert!(matches!(answer, Err(TokenError::NotFound(_))), "{answer:?}");
}

/// Begins to delete a credential, and leaves once the store was asked to do `op`.
async fn leave_at(world: &World, one: &Replica, key: &CredentialKey, op: Op) {
    let slow = world.store.faults().hold_next(op);
    let (registry, wanted) = (one.broker.registry(), key.clone());
    let caller = TaskTracker::new().spawn(async move { registry.delete_credential(&wanted).await });
    slow.reached().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    slow.release();
    one.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_credential_whose_deleter_left_is_deleted_and_gone_everywhere() {
    // While it is applied, and while it is told.
    for op in [Op::Apply, Op::Grant] {
        let (world, one, key) = World::with_fresh().await;
        let other = following(&world);
        one.token(&key).await.unwrap();
        other.token(&key).await.unwrap();
        leave_at(&world, &one, &key, op).await;
        is_gone(&one, &key).await;
        tokio::time::sleep(seconds(0)).await;
        is_gone(&other, &key).await;
        assert_eq!(world.kinds().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_change_whose_caller_left() {
    let (world, one, key) = World::with_fresh().await;
    let slow = world.store.faults().hold_next(Op::Apply);
    let (registry, wanted) = (one.broker.registry(), key.clone());
    let caller = TaskTracker::new().spawn(async move { registry.delete_credential(&wanted).await });
    slow.reached().await;
    caller.abort();
    one.tracker.close();
    let ended = tokio::time::timeout(seconds(5), one.tracker.wait()).await;
    assert!(ended.is_err(), "it is under way");
    slow.release();
    one.tracker.wait().await;
    is_gone(&one, &key).await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_a_deletion_is_told_cuts_nothing_off() {
    let world = World::new();
    for name in ["stayer", "leaver"] {
        let tokens = world.provider.consent("a");
        world.connect_with(name, Some("a"), tokens).await;
    }
    let (one, leaver) = (world.replica(), key("leaver"));
    one.token(&leaver).await.unwrap();
    let telling = world.store.faults().hold_next(Op::Grant);
    let deadline = Instant::now() + seconds(1);
    let revoker = one.broker.revoker();
    let answer = revoker.delete_credential(&leaver, Some(deadline)).await;
    assert_eq!(answer, Err(RevokeError::InProgress(leaver.clone())));
    telling.reached().await;
    // The deadline of the work has passed as well.
    tokio::time::sleep(seconds(1)).await;
    telling.release();
    one.idle().await;
    is_gone(&one, &leaver).await;
}
