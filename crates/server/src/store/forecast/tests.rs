use std::collections::BTreeMap;

use evergrant_core::ids::{CredentialId, CredentialKey, TenantId};
use zeroize::Zeroizing;

use super::*;
use crate::seal::{Sealer, SealingKey};
use crate::store::{StoreOptions, StoreUrl};

async fn store(folder: &tempfile::TempDir) -> SqlStore {
    let key = SealingKey::new(Zeroizing::new([7; 32]));
    let sealer = Sealer::new("k1", BTreeMap::from([("k1".to_owned(), key)])).unwrap();
    let url = StoreUrl::Sqlite(folder.path().join("grants.db"));
    let store = SqlStore::connect(&url, sealer, StoreOptions::default()).await;
    store.unwrap()
}

/// What SQLite says of how it would answer a query.
async fn plan(store: &SqlStore, sql: Sql) -> String {
    let explain = Sql::text("EXPLAIN QUERY PLAN ").then(sql);
    let rows = store.rows(explain).await.unwrap();
    let lines = rows.iter().map(|row| row.try_get("", "detail").unwrap());
    lines.collect::<Vec<String>>().join("\n")
}

fn page(after: Option<ForecastPlace>) -> ForecastQuery {
    ForecastQuery {
        after,
        before: Some(Timestamp::from_millis(10_000)),
        limit: 100,
        ..ForecastQuery::default()
    }
}

// What Postgres does is measured, in the tests of the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_finds_what_ends_along_the_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let announce = plan(&store, to_announce(Timestamp::from_millis(50), 100)).await;
    assert!(announce.contains("INDEX grants_announce"), "{announce}");
    let later = ForecastPlace {
        at: Timestamp::from_millis(5_000),
        key: CredentialKey {
            tenant: TenantId::parse("t").unwrap(),
            id: CredentialId::parse("c").unwrap(),
        },
        moves: false,
    };
    for query in [page(None), page(Some(later))] {
        let plan = plan(&store, forecast(&query)).await;
        for index in ["grants_end", "grants_renew", "credentials_grant"] {
            assert!(
                plan.contains(&format!("INDEX {index}")),
                "no {index}: {plan}"
            );
        }
    }
    store.close().await;
}
