//! What a store is told that was restored from a backup.

use std::time::Duration;

use evergrant_core::ids::{Generation, OwnerToken};
use evergrant_core::store::{Directory, EventLog, GrantStore};
use evergrant_server::store::{OpenStoreError, SqlStore};

use crate::harness::{Harness, first_change};

async fn every_active_grant_is_in_doubt_afterwards(harness: Harness) {
    let (id, change) = first_change();
    harness.store.apply(&change).await.unwrap();
    let before = harness.store.position().await.unwrap();
    let restored = SqlStore::restored(&harness.url, true).await.unwrap();
    assert_eq!(restored.in_doubt, 1);
    assert_ne!(restored.epoch, before.epoch);
    let after = harness.store.position().await.unwrap();
    assert_eq!((after.epoch, after.head), (restored.epoch, before.head));
    let again = SqlStore::restored(&harness.url, true).await.unwrap();
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
    let leased = SqlStore::restored(&harness.url, true).await.unwrap();
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

async fn whoever_uses_the_store_must_be_gone_or_be_overruled(harness: Harness) {
    let epoch = harness.store.position().await.unwrap().epoch;
    let refused = SqlStore::restored(&harness.url, false).await.unwrap_err();
    assert!(matches!(refused, OpenStoreError::InUse(_)), "{refused}");
    assert_eq!(harness.store.position().await.unwrap().epoch, epoch);
    harness.store.close().await;
    harness.database.close_by_ref().await.unwrap();
    SqlStore::restored(&harness.url, false).await.unwrap();
}

#[tokio::test]
async fn whoever_uses_the_store_must_be_gone_or_be_overruled_on_sqlite() {
    whoever_uses_the_store_must_be_gone_or_be_overruled(Harness::sqlite().await).await;
}

#[tokio::test]
async fn whoever_uses_the_store_must_be_gone_or_be_overruled_on_postgres() {
    whoever_uses_the_store_must_be_gone_or_be_overruled(Harness::postgres().await).await;
}
