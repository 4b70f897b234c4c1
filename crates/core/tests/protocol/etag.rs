//! Updates of labels: conditional on the version that their caller read, and apart from the tokens.

use std::collections::BTreeMap;

use evergrant_core::change::plan::UpdateLabelsError;
use evergrant_core::change::run::ChangeError;
use evergrant_core::ids::CredentialKey;
use evergrant_core::store::Directory;
use evergrant_core::testing::store::Op;
use tokio_util::task::TaskTracker;

use super::world::{World, generation_of};

fn labels(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("by".into(), value.into())])
}

async fn stored(world: &World, key: &CredentialKey) -> (BTreeMap<String, String>, u64) {
    let credential = world.store.credential(key).await.unwrap().unwrap();
    (credential.credential.labels, credential.credential.version)
}

#[tokio::test(start_paused = true)]
async fn of_two_updates_of_one_version_the_second_changes_nothing() {
    let (world, one, key) = World::with_fresh().await;
    let other = world.replica();
    let (_, read) = stored(&world, &key).await;
    let applying = world.store.faults().hold_next(Op::Apply);
    let slow = {
        let (registry, key) = (one.broker.registry(), key.clone());
        TaskTracker::new().spawn(async move {
            let labels = labels("slow");
            registry.update_labels(&key, &labels, Some(read)).await
        })
    };
    // It has seen the version that it asks for, and has not written yet.
    applying.reached().await;
    let registry = other.broker.registry();
    let quick = labels("quick");
    let updated = registry.update_labels(&key, &quick, Some(read)).await;
    assert_eq!(updated, Ok(()));
    applying.release();
    let changed = UpdateLabelsError::EtagMismatch(key.clone());
    assert_eq!(slow.await.unwrap(), Err(ChangeError::Refused(changed)));
    assert_eq!(stored(&world, &key).await, (quick, read + 1));
}

// C2, C43
#[tokio::test(start_paused = true)]
async fn labels_that_change_during_a_refresh_are_kept_and_so_are_the_tokens() {
    let (world, replica, key) = World::with_expired().await;
    let call = world.provider.hold_next();
    let asked = replica.begin(&key);
    call.reached().await;
    let changed = labels("somebody else");
    let registry = replica.broker.registry();
    assert_eq!(registry.update_labels(&key, &changed, None).await, Ok(()));
    call.release();
    assert_eq!(generation_of(&asked.await.unwrap()), 2);
    replica.idle().await;
    assert_eq!(stored(&world, &key).await.0, changed);
    assert_eq!(world.generation(&key).await, 2);
    world.check(&key).await;
}
