//! Sealing anew, beside those who write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evergrant_core::ageing::Dates;
use evergrant_core::change::{ChangeSet, Write};
use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{Generation, GrantId};
use evergrant_core::store::{Directory, GrantStore};
use evergrant_server::rotation::{Pace, Rotated, rotate};
use evergrant_server::store::{Batch, OpenStoreError, SealedStore, SqlStore, Stretch, Trial};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio_util::sync::CancellationToken;

use crate::harness::{Harness, first_change, postgres_options, sealer, tokens};

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn pace(batch: u32) -> Pace {
    Pace {
        batch,
        pause: Duration::from_millis(1),
        dry_run: false,
    }
}

/// So many grants and one orphan, all sealed with `k1`.
async fn filled(harness: &Harness, grants: usize) -> Vec<GrantId> {
    let mut ids = Vec::new();
    for _ in 0..grants {
        let (id, change) = first_change();
        let writes = change.writes.into_iter();
        let grant = writes.filter(|write| matches!(write, Write::InsertGrant(_)));
        let alone = ChangeSet {
            revision: ids.len() as u64,
            writes: grant.collect(),
            events: Vec::new(),
        };
        harness.store.apply(&alone).await.unwrap();
        ids.push(id);
    }
    let late = tokens("late");
    let orphan = harness
        .store
        .keep_orphan(&ids[0], Generation(1), &late, "late");
    orphan.await.unwrap();
    ids
}

async fn sealed(harness: &Harness) -> SealedStore {
    SealedStore::open(&harness.url).await.unwrap().unwrap()
}

async fn rotated(harness: &Harness, keys: &[&str], pace: &Pace) -> Rotated {
    let store = sealed(harness).await;
    let never = CancellationToken::new();
    let rotated = rotate(&store, &sealer(keys), pace, &never, |_| {})
        .await
        .unwrap();
    store.close().await;
    rotated
}

/// What is sealed with what, as `key column count`.
async fn uses(harness: &Harness) -> Vec<String> {
    let store = sealed(harness).await;
    let found = store.key_use().await.unwrap();
    store.close().await;
    let lines = found.iter();
    lines
        .map(|found| format!("{} {} {}", found.key, found.column, found.values))
        .collect()
}

async fn everything_is_sealed_anew(harness: Harness) {
    let grants = filled(&harness, 23).await;
    assert_eq!(
        uses(&harness).await,
        [
            "k1 grants.tokens 23",
            "k1 orphans.tokens 1",
            "k1 event_log.cursor_key 1",
            "k1 audit_log.chain_key 1"
        ]
    );
    let plan = Pace {
        dry_run: true,
        ..pace(7)
    };
    assert_eq!(rotated(&harness, &["k2", "k1"], &plan).await.resealed, 26);
    assert_eq!(uses(&harness).await[0], "k1 grants.tokens 23", "a dry run");

    let before = harness.store.grant(&grants[3]).await.unwrap().unwrap();
    let done = rotated(&harness, &["k2", "k1"], &pace(7)).await;
    let all = Rotated {
        resealed: 26,
        ..Rotated::default()
    };
    assert_eq!(done, all);
    assert_eq!(
        uses(&harness).await,
        [
            "k2 grants.tokens 23",
            "k2 orphans.tokens 1",
            "k2 event_log.cursor_key 1",
            "k2 audit_log.chain_key 1"
        ]
    );
    let without = harness.reopen(&["k2"], postgres_options()).await.unwrap();
    assert_eq!(without.cursor_key(), harness.store.cursor_key());
    assert!(without.unknown_keys().await.unwrap().is_empty());
    for id in &grants {
        assert_eq!(
            without.grant(id).await.unwrap().unwrap().tokens,
            tokens("first")
        );
    }
    let after = without.grant(&grants[3]).await.unwrap().unwrap();
    assert_eq!(after, before, "nobody need read it again");
    assert_eq!(
        rotated(&harness, &["k2", "k1"], &pace(7)).await,
        Rotated::default()
    );
}

#[tokio::test]
async fn everything_is_sealed_anew_on_sqlite() {
    everything_is_sealed_anew(Harness::sqlite().await).await;
}

#[tokio::test]
async fn everything_is_sealed_anew_on_postgres() {
    everything_is_sealed_anew(Harness::postgres().await).await;
}

async fn refreshes_beside_a_rotation_are_not_undone(harness: Harness) {
    let grants = filled(&harness, 40).await;
    let old: Arc<SqlStore> = Arc::new(
        harness
            .reopen(&["k1", "k2"], postgres_options())
            .await
            .unwrap(),
    );
    let new: Arc<SqlStore> = Arc::new(
        harness
            .reopen(&["k2", "k1"], postgres_options())
            .await
            .unwrap(),
    );
    let ended = Arc::new(AtomicBool::new(false));
    // One replica knows the new key and still seals with the old one.
    let refreshing = [old, new].map(|store| {
        let (grants, ended) = (grants.clone(), ended.clone());
        async move {
            let mut round = 0;
            while !ended.load(Ordering::Relaxed) || round == 0 {
                for id in &grants {
                    let found = store.grant(id).await.unwrap().unwrap();
                    let base = found.facts.generation;
                    let next = tokens(&base.next().to_string());
                    let _ = store
                        .commit(id, base, &next, AT, &Dates::default())
                        .await
                        .unwrap();
                }
                round += 1;
            }
        }
    });
    let rotating = async {
        for _ in 0..3 {
            rotated(&harness, &["k2", "k1"], &pace(5)).await;
        }
        ended.store(true, Ordering::Relaxed);
    };
    let [one, other] = refreshing;
    tokio::join!(one, other, rotating);

    let done = rotated(&harness, &["k2", "k1"], &pace(5)).await;
    assert!(done.left.is_empty() && done.broken.is_empty(), "{done:?}");
    let without = harness.reopen(&["k2"], postgres_options()).await.unwrap();
    for id in &grants {
        let found = without.grant(id).await.unwrap().unwrap();
        let generation = found.facts.generation;
        assert!(generation > Generation(1), "it was refreshed");
        assert_eq!(found.tokens, tokens(&generation.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshes_beside_a_rotation_are_not_undone_on_sqlite() {
    refreshes_beside_a_rotation_are_not_undone(Harness::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshes_beside_a_rotation_are_not_undone_on_postgres() {
    refreshes_beside_a_rotation_are_not_undone(Harness::postgres().await).await;
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_left_for_a_later_look_and_not_waited_for() {
    let harness = Harness::postgres().await;
    let grants = filled(&harness, 3).await;
    let store = sealed(&harness).await;
    let ring = sealer(&["k2", "k1"]);
    let stretch = Stretch {
        column: "grants.tokens",
        key: "k1".into(),
        after: String::new(),
    };
    let holder = harness.database.begin().await.unwrap();
    let hold = format!("SELECT 1 FROM grants WHERE id = '{}' FOR UPDATE", grants[1]);
    holder.execute_unprepared(&hold).await.unwrap();
    let soon = tokio::time::timeout(
        Duration::from_secs(3),
        store.reseal(&ring, &stretch, 10, true),
    );
    let expected = Batch {
        resealed: 2,
        missed: 1,
        ..Batch::default()
    };
    assert_eq!(soon.await.unwrap().unwrap(), expected);
    holder.rollback().await.unwrap();
    let rest = store.reseal(&ring, &stretch, 10, true).await.unwrap();
    assert_eq!((rest.resealed, rest.missed), (1, 0));
}

#[tokio::test]
async fn a_rotation_that_was_stopped_goes_on_where_it_was() {
    let harness = Harness::sqlite().await;
    filled(&harness, 20).await;
    let store = sealed(&harness).await;
    let stop = CancellationToken::new();
    let ring = sealer(&["k2", "k1"]);
    let first = rotate(&store, &ring, &pace(6), &stop, |_| stop.cancel())
        .await
        .unwrap();
    assert!(first.stopped);
    assert_eq!((first.resealed, first.left.get("k1")), (6, Some(&17)));
    let second = rotated(&harness, &["k2", "k1"], &pace(6)).await;
    assert_eq!((second.resealed, second.stopped), (17, false));
}

#[tokio::test]
async fn what_does_not_open_is_counted_by_key_and_stops_nothing_else() {
    let harness = Harness::sqlite().await;
    let grants = filled(&harness, 9).await;
    let at = |index: usize| format!("WHERE id = '{}'", grants[index]);
    // Sealed with a key that is gone, and two rows whose bytes were tampered with.
    let gone = harness
        .reopen(&["k9", "k1"], postgres_options())
        .await
        .unwrap();
    let next = tokens("next");
    assert!(
        gone.commit(&grants[0], Generation(1), &next, AT, &Dates::default())
            .await
            .unwrap()
            .is_some()
    );
    for index in [4, 5] {
        harness
            .execute(&format!("UPDATE grants SET generation = 7 {}", at(index)))
            .await;
    }

    let done = rotated(&harness, &["k2", "k1", "k9"], &pace(3)).await;
    assert_eq!(done.unknown.len(), 0);
    assert_eq!(done.broken.get("k1"), Some(&2));
    assert!(done.left.is_empty(), "{done:?}");
    assert_eq!(done.resealed, 10);

    let gone = harness
        .reopen(&["k9", "k2", "k1"], postgres_options())
        .await
        .unwrap();
    assert!(
        gone.commit(&grants[1], Generation(1), &next, AT, &Dates::default())
            .await
            .unwrap()
            .is_some()
    );
    let done = rotated(&harness, &["k3", "k2", "k1"], &pace(3)).await;
    // The keys of cursors and of the audit trail as well.
    assert_eq!(done.unknown.get("k9"), Some(&3));
    assert_eq!(done.resealed, 7);
    let ring = harness
        .reopen(&["k3", "k1", "k9"], postgres_options())
        .await;
    assert!(ring.unwrap().unknown_keys().await.unwrap().is_empty());
    let missing = harness.reopen(&["k9"], postgres_options()).await;
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("k3"), "{missing}");
}

#[tokio::test]
async fn a_key_of_the_right_name_and_other_bytes_is_told() {
    let harness = Harness::sqlite().await;
    filled(&harness, 2).await;
    crate::authorizations::keep(&harness, "state").await;
    let store = sealed(&harness).await;
    let right = store.try_key(&sealer(&["k1"]), "k1").await.unwrap();
    assert_eq!((right.wrong(), right.closed()), (None, None));
    let other = crate::harness::sealer_with("k1", 7);
    let wrong = store.try_key(&other, "k1").await.unwrap();
    for column in evergrant_server::store::sealed_columns() {
        let of_column = |trial: &Trial| {
            let mut columns = trial.columns.iter();
            let tried = columns.find(|tried| tried.column == column);
            tried.map_or((false, false), |tried| (tried.opened > 0, tried.closed > 0))
        };
        assert_eq!(of_column(&right), (true, false), "{column}");
        assert_eq!(of_column(&wrong), (false, true), "{column}");
    }
    let why = wrong.wrong().unwrap().to_string();
    assert!(
        why.contains("k1") && why.contains("wrong key file"),
        "{why}"
    );
    let refused = SqlStore::connect(&harness.url, other.clone(), postgres_options()).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, OpenStoreError::WrongKey(_)), "{refused}");

    // One value that is damaged says nothing of the key.
    let spoil = "UPDATE grants SET tokens = substr(tokens, 1, length(tokens) - 1)
                 WHERE id = (SELECT min(id) FROM grants)";
    harness.execute(spoil).await;
    let damaged = store.try_key(&sealer(&["k1"]), "k1").await.unwrap();
    assert_eq!(
        (damaged.wrong(), damaged.closed()),
        (None, Some("grants.tokens"))
    );
    harness.reopen(&["k1"], postgres_options()).await.unwrap();
}

#[tokio::test]
async fn a_key_that_seals_no_more_stops_the_start_if_many_values_tell_against_it() {
    for (grants, is_refused) in [(7, false), (8, true)] {
        let harness = Harness::sqlite().await;
        filled(&harness, grants).await;
        // From now on nothing but tokens is sealed with the old key.
        harness
            .reopen(&["k2", "k1"], postgres_options())
            .await
            .unwrap();
        let other = crate::harness::sealer_of(&[("k2", b'2'), ("k1", 7)]);
        let started = SqlStore::connect(&harness.url, other, postgres_options()).await;
        let refused = matches!(started, Err(OpenStoreError::WrongKey(_)));
        assert_eq!(refused, is_refused, "{grants} grants: {started:?}");
    }
}

#[tokio::test]
async fn a_store_without_a_schema_has_nothing_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| {
        let url = format!("sqlite://{}", folder.path().join(name).display());
        evergrant_server::store::StoreUrl::parse(&url).unwrap()
    };
    assert!(SealedStore::open(&url("none.db")).await.unwrap().is_none());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    assert!(SealedStore::open(&url("empty.db")).await.unwrap().is_none());
}
