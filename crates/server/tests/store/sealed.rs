//! Every column that holds sealed values is known as one, and each value says which key sealed it.

use std::collections::BTreeSet;
use std::time::Duration;

use evergrant_core::ageing::Dates;
use evergrant_core::ids::{Generation, TenantId};
use evergrant_core::store::{Directory, GrantStore};
use evergrant_server::seal::Sealer;
use evergrant_server::store::{LONE_SECRETS, StateHash, sealed_columns};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::harness::{Harness, first_change, tokens};

/// Binary columns that hold nothing sealed, and why that is right.
const NOT_SEALED: [(&str, &str); 8] = [
    ("deliveries.id", "a digest"),
    (
        "grants.refresh_hash",
        "a digest, by which providers name tokens",
    ),
    (
        "grants.refresh_prefix",
        "a digest, by which providers name tokens",
    ),
    ("audit_records.mac", "a code of the chain"),
    ("audit_log.head_mac", "a code of the chain"),
    ("audit_log.head_seal", "a code of the chain"),
    ("audit_log.floor_mac", "a code of the chain"),
    ("audit_log.floor_seal", "a code of the chain"),
];

/// All columns of bytes that the schema has, as `table.column`.
async fn binary_columns(harness: &Harness) -> BTreeSet<String> {
    let backend = harness.database.get_database_backend();
    let columns = match backend {
        DbBackend::Postgres => {
            "SELECT table_name || '.' || column_name AS name FROM information_schema.columns
             WHERE table_schema = current_schema() AND data_type = 'bytea'"
        }
        _ => {
            "SELECT t.name || '.' || c.name AS name FROM sqlite_master t
             JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND upper(c.type) = 'BLOB'"
        }
    };
    let columns = Statement::from_string(backend, columns);
    let rows = harness.database.query_all_raw(columns).await.unwrap();
    rows.iter()
        .map(|row| row.try_get("", "name").unwrap())
        .collect()
}

async fn every_binary_column_is_registered(harness: Harness) {
    let not_sealed = NOT_SEALED.iter().map(|(name, _)| *name);
    let known: BTreeSet<String> = sealed_columns()
        .chain(not_sealed)
        .map(str::to_owned)
        .collect();
    assert_eq!(
        binary_columns(&harness).await,
        known,
        "add a new column to store/sealed.rs, or to NOT_SEALED with the reason"
    );
    harness
        .execute("ALTER TABLE clients ADD COLUMN hidden BYTEA")
        .await;
    if harness.database.get_database_backend() == DbBackend::Postgres {
        assert_ne!(
            binary_columns(&harness).await,
            known,
            "a new column is found"
        );
    }
}

#[tokio::test]
async fn every_binary_column_is_registered_on_sqlite() {
    every_binary_column_is_registered(Harness::sqlite().await).await;
}

#[tokio::test]
async fn every_binary_column_is_registered_on_postgres() {
    every_binary_column_is_registered(Harness::postgres().await).await;
}

#[tokio::test]
async fn the_id_beside_a_value_is_that_at_its_head_after_every_kind_of_write() {
    let harness = Harness::sqlite().await;
    let (grant, change) = first_change();
    harness.store.apply(&change).await.unwrap();
    let at = evergrant_core::clock::Timestamp::from_millis(1);
    for (keys, base) in [(["k2", "k1"], 1), (["k3", "k2"], 2)] {
        let store = harness
            .reopen(&keys, crate::harness::postgres_options())
            .await
            .unwrap();
        let next = tokens("next");
        assert!(
            store
                .commit(&grant, Generation(base), &next, at, &Dates::default())
                .await
                .unwrap()
                .is_some()
        );
        store
            .keep_orphan(&grant, Generation(base), &next, "late")
            .await
            .unwrap();
        let state = StateHash::of(&base.to_string());
        let tenant = TenantId::parse("acme").unwrap();
        store
            .keep_authorization(&state, &tenant, b"hush", Duration::from_secs(600))
            .await
            .unwrap();
        let is_lone = |column: &str| LONE_SECRETS.iter().any(|secret| secret.name == column);
        for column in sealed_columns().filter(|column| !is_lone(column)) {
            let (table, column) = column.split_once('.').unwrap();
            let read = format!("SELECT {column} AS sealed, key_id FROM {table}");
            let backend = harness.database.get_database_backend();
            let read = Statement::from_string(backend, read);
            let rows = harness.database.query_all_raw(read).await.unwrap();
            assert!(!rows.is_empty(), "{table}");
            for row in rows {
                let sealed: Vec<u8> = row.try_get("", "sealed").unwrap();
                let id: String = row.try_get("", "key_id").unwrap();
                assert_eq!(Sealer::key_of(&sealed), Some(&*id), "{table}");
            }
        }
    }
}
