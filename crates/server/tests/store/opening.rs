//! Opening, migrating, and databases that are not as they should be.

use std::io::ErrorKind;
use std::time::Duration;

use evergrant_core::events::LogPosition;
use evergrant_core::store::{EventLog, StoreError};
use evergrant_server::store::{OpenStoreError, SqlStore, StoreOptions, StoreUrl};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use tokio::task::JoinSet;

use crate::harness::{Harness, postgres_options, sealer};
use crate::server::Postgres;

fn without_migrating() -> StoreOptions {
    StoreOptions {
        migrate: false,
        ..postgres_options()
    }
}

async fn eight_open_at_once(url: StoreUrl) {
    let mut servers = JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        servers.spawn(async move {
            let options = StoreOptions {
                max_connections: 2,
                ..postgres_options()
            };
            let store = SqlStore::connect(&url, sealer(&["k1"]), options)
                .await
                .unwrap();
            (*store.cursor_key(), store.position().await.unwrap().epoch)
        });
    }
    let mut seen = servers.join_all().await;
    seen.dedup();
    assert_eq!(seen.len(), 1, "one cursor key, one life of the log");
    assert_eq!(SqlStore::migrate(&url).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_servers_that_start_together_one_migrates_postgres() {
    let url = Postgres::shared().new_database();
    eight_open_at_once(StoreUrl::parse(&url).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_servers_that_start_together_one_migrates_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    eight_open_at_once(StoreUrl::Sqlite(folder.path().join("grants.db"))).await;
}

async fn a_newer_schema_is_refused_if_it_says_so(harness: Harness) {
    harness
        .execute("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9998_later', 0)")
        .await;
    for options in [postgres_options(), without_migrating()] {
        let store = harness.reopen(&["k1"], options).await.unwrap();
        store.close().await;
    }
    assert_eq!(SqlStore::migrate(&harness.url).await.unwrap(), 0);

    for beyond in [
        "UPDATE schema_requirement SET migration = 'm9998_later'",
        "DROP TABLE schema_requirement",
    ] {
        harness.execute(beyond).await;
        for options in [postgres_options(), without_migrating()] {
            let refused = harness.reopen(&["k1"], options).await.unwrap_err();
            assert!(matches!(&refused, OpenStoreError::Newer(name) if name == "m9998_later"));
            let line = refused.to_string();
            assert!(
                line.contains("newer version") && !line.contains('\n'),
                "{line}"
            );
        }
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_if_it_says_so_on_sqlite() {
    a_newer_schema_is_refused_if_it_says_so(Harness::sqlite().await).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_if_it_says_so_on_postgres() {
    a_newer_schema_is_refused_if_it_says_so(Harness::postgres().await).await;
}

// Whoever reads a table for long, a dump for example, holds up neither replicas nor a migration for ever.
#[tokio::test]
async fn a_migration_waits_for_a_table_that_is_in_use_and_holds_nobody_up() {
    let harness = Harness::postgres().await;
    let reading = harness.database.begin().await.unwrap();
    harness
        .execute("DELETE FROM seaql_migrations WHERE version = 'm0011_requirement'")
        .await;
    harness.execute("DROP TABLE schema_requirement").await;
    reading
        .execute_unprepared("LOCK TABLE seaql_migrations IN SHARE MODE")
        .await
        .unwrap();
    let waits =
        "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'seaql_migrations'::regclass";
    let look = Statement::from_string(DbBackend::Postgres, waits);
    let twice = async {
        let mut turns = 0;
        let mut waited = false;
        // It comes, gives way, and comes again.
        while turns < 2 {
            let waits = harness.database.query_one_raw(look.clone()).await.unwrap();
            turns += u32::from(waits.is_some() && !waited);
            waited = waits.is_some();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        reading.rollback().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(SqlStore::migrate(&harness.url), twice);
    assert_eq!(migrated.unwrap(), 1);
}

#[tokio::test]
async fn an_outdated_schema_is_told_unless_it_may_be_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(folder.path().join("grants.db"));
    let open = || SqlStore::connect(&url, sealer(&["k1"]), without_migrating());
    let refused = open().await.unwrap_err();
    let OpenStoreError::Outdated(pending) = refused else {
        panic!("{refused}");
    };
    assert_eq!(SqlStore::migrate(&url).await.unwrap(), pending);
    open().await.unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_told_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let url = StoreUrl::Sqlite(missing.join("grants.db"));
    let refused = SqlStore::migrate(&url).await.unwrap_err();
    assert!(matches!(&refused, OpenStoreError::NoFolder(path) if *path == missing));
    assert!(!missing.exists());

    let a_folder = StoreUrl::Sqlite(folder.path().to_owned());
    assert!(SqlStore::migrate(&a_folder).await.is_err());
    std::fs::write(
        folder.path().join("text"),
        "no database, and longer than a header of one",
    )
    .unwrap();
    let no_database = StoreUrl::Sqlite(folder.path().join("text"));
    let refused = SqlStore::migrate(&no_database).await.unwrap_err();
    assert!(matches!(refused, OpenStoreError::Store(_)), "{refused}");
    assert_eq!(
        std::fs::metadata(&missing).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn the_cursor_key_outlives_the_key_that_sealed_it() {
    let harness = Harness::sqlite().await;
    let cursor_key = *harness.store.cursor_key();
    let refused = harness
        .reopen(&["k2"], postgres_options())
        .await
        .unwrap_err();
    let missing = StoreError::KeyUnavailable("k1".into());
    assert!(matches!(refused, OpenStoreError::Store(error) if error == missing));
    for keys in [&["k2", "k1"][..], &["k2"][..]] {
        let store = harness.reopen(keys, postgres_options()).await.unwrap();
        assert_eq!(store.cursor_key(), &cursor_key);
    }
}

#[tokio::test]
async fn a_cursor_key_that_is_lost_for_good_is_replaced_with_the_epoch_of_its_cursors() {
    let harness = Harness::sqlite().await;
    let (key, epoch) = (
        *harness.store.cursor_key(),
        harness.store.position().await.unwrap().epoch,
    );
    let without = async |keys: &[&str], lost: &str| {
        let lost = [lost.to_owned()];
        SqlStore::connect_without(&harness.url, sealer(keys), &lost, postgres_options()).await
    };
    assert!(without(&["k2"], "k0").await.is_err(), "another one is lost");
    let kept = without(&["k2", "k1"], "k1").await.unwrap();
    assert_eq!(kept.cursor_key(), &key, "it is there after all");
    assert_eq!(kept.position().await.unwrap().epoch, epoch);

    let anew = without(&["k3"], "k2").await.unwrap();
    assert_ne!(anew.cursor_key(), &key);
    assert_ne!(anew.position().await.unwrap().epoch, epoch);
    let again = harness.reopen(&["k3"], postgres_options()).await.unwrap();
    assert_eq!(again.cursor_key(), anew.cursor_key());
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_told_soon() {
    let url = StoreUrl::parse("postgres://me:hush@127.0.0.1:1/grants").unwrap();
    let refused = SqlStore::connect(&url, sealer(&["k1"]), postgres_options()).await;
    let refused = refused.unwrap_err();
    let unavailable = matches!(refused, OpenStoreError::Store(StoreError::Unavailable(_)));
    assert!(
        unavailable && !refused.to_string().contains("hush"),
        "{refused}"
    );
}

async fn a_renewed_epoch_leaves_numbers_and_cursor_key_alone(harness: Harness) {
    let before = harness.store.position().await.unwrap();
    let epoch = SqlStore::renew_epoch(&harness.url).await.unwrap();
    assert_ne!(epoch, before.epoch);
    let after = harness.store.position().await.unwrap();
    assert_eq!(after, LogPosition { epoch, ..before });
    let store = harness.reopen(&["k1"], postgres_options()).await.unwrap();
    assert_eq!(store.cursor_key(), harness.store.cursor_key());
}

#[tokio::test]
async fn a_renewed_epoch_leaves_numbers_and_cursor_key_alone_on_sqlite() {
    a_renewed_epoch_leaves_numbers_and_cursor_key_alone(Harness::sqlite().await).await;
}

#[tokio::test]
async fn a_renewed_epoch_leaves_numbers_and_cursor_key_alone_on_postgres() {
    a_renewed_epoch_leaves_numbers_and_cursor_key_alone(Harness::postgres().await).await;
}
