//! What an intruder finds who reads the database.

use std::os::unix::fs::PermissionsExt;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::Generation;
use evergrant_core::store::{CredentialQuery, Directory, GrantStore, StoreError};
use sea_orm::{ConnectionTrait, Statement};

use crate::harness::{Harness, first_change, postgres_options, tokens};

const SECRET: &str = "hush";

/// Stores tokens by every way in.
async fn fill(harness: &Harness) {
    let store = &harness.store;
    let (grant, change) = first_change();
    store.apply(&change).await.unwrap();
    let (base, at) = (Generation::FIRST, Timestamp::from_millis(1));
    let next = tokens("next");
    assert!(store.commit(&grant, base, &next, at, None).await.unwrap());
    let late = tokens("late");
    store
        .keep_orphan(&grant, base, &late, "superseded")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_sqlite_file_shows_no_token_and_is_its_owners_alone() {
    let harness = Harness::sqlite().await;
    fill(&harness).await;
    let folder = harness.folder.as_ref().unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        let shown = bytes
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes());
        assert!(!shown, "{entry:?}");
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
        files += 1;
    }
    assert!(files >= 2, "the write-ahead log was looked at, too");
}

#[tokio::test]
async fn a_postgres_row_shows_no_token() {
    let harness = Harness::postgres().await;
    fill(&harness).await;
    let hex = SECRET
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    for table in ["grants", "orphans", "credentials", "event_log"] {
        let rows = format!("SELECT t::text AS row FROM {table} t");
        let rows = Statement::from_string(harness.database.get_database_backend(), rows);
        let rows = harness.database.query_all_raw(rows).await.unwrap();
        assert!(!rows.is_empty(), "{table}");
        for row in rows {
            let row: String = row.try_get("", "row").unwrap();
            assert!(!row.contains(SECRET) && !row.contains(&hex), "{table}");
        }
    }
}

#[tokio::test]
async fn without_the_key_tokens_stay_closed_and_facts_stay_readable() {
    let harness = Harness::sqlite().await;
    let (grant, change) = first_change();
    harness.store.apply(&change).await.unwrap();
    harness
        .reopen(&["k2", "k1"], postgres_options())
        .await
        .unwrap();
    let without = harness.reopen(&["k2"], postgres_options()).await.unwrap();
    let closed = without.grant(&grant).await;
    assert_eq!(closed, Err(StoreError::KeyUnavailable("k1".into())));
    let all = CredentialQuery {
        limit: 9,
        ..CredentialQuery::default()
    };
    let listed = without.list_credentials(&all).await;
    assert_eq!(listed.unwrap().len(), 1);
}

#[tokio::test]
async fn sealed_tokens_of_another_generation_do_not_open() {
    let harness = Harness::sqlite().await;
    let (grant, change) = first_change();
    harness.store.apply(&change).await.unwrap();
    harness
        .execute("UPDATE grants SET generation = generation + 1")
        .await;
    let found = harness.store.grant(&grant).await;
    assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}");
}
