//! What an intruder finds who reads the database.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use evergrant_core::ageing::Dates;
use evergrant_core::change::plan::Reconnect;
use evergrant_core::change::run::Changes;
use evergrant_core::clock::Timestamp;
use evergrant_core::grant::GrantState;
use evergrant_core::ids::{CredentialId, CredentialKey, Generation, TenantId};
use evergrant_core::memory::Memory;
use evergrant_core::provider::Renewal;
use evergrant_core::registry::Registry;
use evergrant_core::store::{CredentialQuery, Directory, GrantStore, StoreError};
use evergrant_core::testing::coordinator::MemoryCoordinator;
use evergrant_server::store::SqlStore;
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
    assert!(
        store
            .commit(&grant, base, &next, at, &Dates::default())
            .await
            .unwrap()
            .is_some()
    );
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

/// With a key that is lost, all but the tokens is there: nothing that a change is made of is sealed.
async fn a_grant_that_cannot_be_opened_can_be_mended_and_forgotten(harness: Harness) {
    let (grant, change) = first_change();
    harness.store.apply(&change).await.unwrap();
    harness
        .reopen(&["k2", "k1"], postgres_options())
        .await
        .unwrap();
    let store = harness.reopen(&["k2"], postgres_options()).await.unwrap();
    let store: Arc<SqlStore> = Arc::new(store);
    let lost = StoreError::KeyUnavailable("k1".into());
    assert_eq!(store.grant(&grant).await.unwrap_err(), lost);

    let bus = MemoryCoordinator::new();
    let memory = Arc::new(Memory::new(10));
    let registry = Registry::new(Changes::new(store.clone(), bus, memory));
    let key = CredentialKey {
        tenant: TenantId::parse("t1").unwrap(),
        id: CredentialId::parse("a").unwrap(),
    };
    registry.invalidate(&key, None, "lost").await.unwrap();
    let view = store.credential(&key).await.unwrap().unwrap();
    assert!(view.grant.state.invalidation().is_some());

    let ask = Reconnect {
        key: key.clone(),
        account: None,
        allow_account_change: false,
        resume_paused: false,
        tokens: tokens("new"),
        issued_at: Timestamp::from_millis(1_700_000_000_000),
        renewal: Renewal::default(),
    };
    registry.reconnect(&ask, &view.grant.client).await.unwrap();
    let opened = store.grant(&grant).await.unwrap().unwrap();
    assert_eq!(opened.tokens, tokens("new"));
    assert_eq!(opened.facts.state, GrantState::Active);

    // The tokens are of the new key now, which is lost in its turn.
    let store = harness.reopen(&["k3", "k2"], postgres_options()).await;
    drop(store.unwrap());
    let store = harness.reopen(&["k3"], postgres_options()).await.unwrap();
    let store: Arc<SqlStore> = Arc::new(store);
    assert!(store.grant(&grant).await.is_err());
    let (bus, memory) = (MemoryCoordinator::new(), Arc::new(Memory::new(10)));
    let registry = Registry::new(Changes::new(store.clone(), bus, memory));
    assert!(registry.delete_credential(&key).await.unwrap());
    assert_eq!(store.grant(&grant).await.unwrap(), None);
}

#[tokio::test]
async fn a_grant_that_cannot_be_opened_can_be_mended_and_forgotten_on_sqlite() {
    a_grant_that_cannot_be_opened_can_be_mended_and_forgotten(Harness::sqlite().await).await;
}

#[tokio::test]
async fn a_grant_that_cannot_be_opened_can_be_mended_and_forgotten_on_postgres() {
    a_grant_that_cannot_be_opened_can_be_mended_and_forgotten(Harness::postgres().await).await;
}
