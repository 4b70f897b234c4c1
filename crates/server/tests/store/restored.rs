//! What a store is told that was restored from a backup.

use std::time::Duration;

use evergrant_core::ids::{Generation, OwnerToken};
use evergrant_core::store::{Directory, EventLog, GrantStore};
use evergrant_server::store::SqlStore;

use crate::harness::{Harness, first_change};

async fn every_active_grant_is_in_doubt_afterwards(harness: Harness) {
    let (id, change) = first_change();
    harness.store.apply(&change).await.unwrap();
    let before = harness.store.position().await.unwrap();
    let restored = SqlStore::restored(&harness.url).await.unwrap();
    assert_eq!(restored.in_doubt, 1);
    assert_ne!(restored.epoch, before.epoch);
    let after = harness.store.position().await.unwrap();
    assert_eq!((after.epoch, after.head), (restored.epoch, before.head));
    let again = SqlStore::restored(&harness.url).await.unwrap();
    assert_eq!(again.in_doubt, 0, "it may be said twice");

    let minute = Duration::from_secs(60);
    let claim = async || {
        let owner = OwnerToken::random();
        let claimed = harness.store.claim(&id, Generation::FIRST, &owner, minute);
        claimed.await.unwrap()
    };
    assert!(claim().await.unwrap().takeover);
    assert_eq!(claim().await, None, "the lease is live");
    // As it is in a backup that was taken during a refresh.
    let leased = SqlStore::restored(&harness.url).await.unwrap();
    assert_eq!(leased.in_doubt, 1);
    assert!(claim().await.unwrap().takeover);
}

#[tokio::test]
async fn every_active_grant_is_in_doubt_afterwards_on_sqlite() {
    every_active_grant_is_in_doubt_afterwards(Harness::sqlite().await).await;
}

#[tokio::test]
async fn every_active_grant_is_in_doubt_afterwards_on_postgres() {
    every_active_grant_is_in_doubt_afterwards(Harness::postgres().await).await;
}
