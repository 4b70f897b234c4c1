//! Consents between their beginning and their end.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::ids::TenantId;
use evergrant_core::store::StoreError;
use evergrant_server::store::StateHash;
use sea_orm::{ConnectionTrait, Statement};

use crate::harness::{Harness, postgres_options};

const TEN_MINUTES: Duration = Duration::from_secs(600);

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

async fn keep(harness: &Harness, state: &str) {
    let (state, owner) = (StateHash::of(state), tenant("t1"));
    let store = &harness.store;
    let kept = store.keep_authorization(&state, &owner, b"hush-verifier", TEN_MINUTES);
    kept.await.unwrap();
}

async fn take(harness: &Harness, state: &str, tenants: Option<&[TenantId]>) -> Option<Vec<u8>> {
    let state = StateHash::of(state);
    let taken = harness.store.take_authorization(&state, tenants).await;
    taken.unwrap().map(|payload| payload.to_vec())
}

async fn count(harness: &Harness) -> i64 {
    let backend = harness.database.get_database_backend();
    let count = "SELECT CAST(count(*) AS BIGINT) AS kept FROM authorizations";
    let row = harness
        .database
        .query_one_raw(Statement::from_string(backend, count));
    row.await.unwrap().unwrap().try_get("", "kept").unwrap()
}

async fn a_state_is_taken_once(harness: Harness) {
    keep(&harness, "s1").await;
    assert_eq!(take(&harness, "s2", None).await, None);
    let first = take(&harness, "s1", None).await;
    assert_eq!(first.as_deref(), Some(b"hush-verifier".as_slice()));
    assert_eq!(take(&harness, "s1", None).await, None);
}

#[tokio::test]
async fn a_state_is_taken_once_on_sqlite() {
    a_state_is_taken_once(Harness::sqlite().await).await;
}

#[tokio::test]
async fn a_state_is_taken_once_on_postgres() {
    a_state_is_taken_once(Harness::postgres().await).await;
}

/// Two replicas: two stores on one database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_that_take_a_state_at_once_one_has_it() {
    let harness = Harness::postgres().await;
    let other = harness.reopen(&["k1"], postgres_options()).await.unwrap();
    let stores = [harness.store.clone(), Arc::new(other)];
    for round in 0..20 {
        let state = format!("s{round}");
        keep(&harness, &state).await;
        let mut takers = tokio::task::JoinSet::new();
        for store in stores.iter().cycle().take(8) {
            let (store, state) = (store.clone(), StateHash::of(&state));
            takers.spawn(async move { store.take_authorization(&state, None).await.unwrap() });
        }
        let taken = takers.join_all().await;
        assert_eq!(taken.iter().flatten().count(), 1, "round {round}");
    }
}

async fn another_tenants_state_is_not_found_and_stays(harness: Harness) {
    keep(&harness, "s1").await;
    assert_eq!(
        take(&harness, "s1", Some(&[tenant("t2"), tenant("t3")])).await,
        None
    );
    assert_eq!(take(&harness, "s1", Some(&[])).await, None);
    assert!(
        take(&harness, "s1", Some(&[tenant("t2"), tenant("t1")]))
            .await
            .is_some()
    );
}

#[tokio::test]
async fn another_tenants_state_is_not_found_and_stays_on_sqlite() {
    another_tenants_state_is_not_found_and_stays(Harness::sqlite().await).await;
}

#[tokio::test]
async fn another_tenants_state_is_not_found_and_stays_on_postgres() {
    another_tenants_state_is_not_found_and_stays(Harness::postgres().await).await;
}

async fn a_state_that_ended_is_refused_and_pruned(harness: Harness) {
    keep(&harness, "old").await;
    keep(&harness, "young").await;
    let by = TEN_MINUTES.as_millis();
    let old = StateHash::of("old");
    let old = old.as_str();
    harness
        .execute(&format!(
            "UPDATE authorizations SET expires_at = expires_at - {by} WHERE state = '{old}'"
        ))
        .await;
    assert_eq!(take(&harness, "old", None).await, None);
    assert_eq!(count(&harness).await, 2);
    assert_eq!(harness.store.prune_authorizations().await.unwrap(), 1);
    assert_eq!(count(&harness).await, 1);
    assert!(take(&harness, "young", None).await.is_some());
}

#[tokio::test]
async fn a_state_that_ended_is_refused_and_pruned_on_sqlite() {
    a_state_that_ended_is_refused_and_pruned(Harness::sqlite().await).await;
}

#[tokio::test]
async fn a_state_that_ended_is_refused_and_pruned_on_postgres() {
    a_state_that_ended_is_refused_and_pruned(Harness::postgres().await).await;
}

#[tokio::test]
async fn the_database_shows_neither_the_state_nor_what_is_kept_under_it() {
    let harness = Harness::sqlite().await;
    keep(&harness, "hush-state").await;
    let folder = harness.folder.as_ref().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(4).any(|part| part == b"hush"));
    }
}

#[tokio::test]
async fn a_payload_moved_under_another_state_and_one_of_a_lost_key_do_not_open() {
    let harness = Harness::sqlite().await;
    keep(&harness, "s1").await;
    let other = StateHash::of("s2");
    harness
        .execute(&format!(
            "UPDATE authorizations SET state = '{}'",
            other.as_str()
        ))
        .await;
    let moved = harness.store.take_authorization(&other, None).await;
    assert!(matches!(moved, Err(StoreError::Corrupt(_))), "{moved:?}");

    keep(&harness, "s3").await;
    harness
        .reopen(&["k2", "k1"], postgres_options())
        .await
        .unwrap();
    let without = harness.reopen(&["k2"], postgres_options()).await.unwrap();
    let closed = without.take_authorization(&StateHash::of("s3"), None).await;
    assert_eq!(closed, Err(StoreError::KeyUnavailable("k1".into())));
}

async fn a_state_that_is_looked_at_stays_and_is_no_browsers(harness: Harness) {
    let (device, browser) = (StateHash::of_device("s1"), StateHash::of("s1"));
    let (store, owner) = (&harness.store, tenant("t1"));
    let kept = store.keep_authorization(&device, &owner, b"hush-device", TEN_MINUTES);
    kept.await.unwrap();
    for tenants in [None, Some(&[tenant("t1")][..])] {
        let seen = store.look_at_authorization(&device, tenants).await.unwrap();
        assert_eq!(seen.unwrap().as_slice(), b"hush-device");
    }
    for tenants in [Some(&[tenant("t2")][..]), Some(&[])] {
        let hidden = store.look_at_authorization(&device, tenants).await.unwrap();
        assert!(hidden.is_none());
    }
    assert!(
        store
            .look_at_authorization(&browser, None)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .take_authorization(&browser, None)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .take_authorization(&device, None)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        store
            .look_at_authorization(&device, None)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_state_that_is_looked_at_stays_and_is_no_browsers_on_sqlite() {
    a_state_that_is_looked_at_stays_and_is_no_browsers(Harness::sqlite().await).await;
}

#[tokio::test]
async fn a_state_that_is_looked_at_stays_and_is_no_browsers_on_postgres() {
    a_state_that_is_looked_at_stays_and_is_no_browsers(Harness::postgres().await).await;
}
