use std::collections::BTreeMap;

use evergrant_core::ids::{CredentialId, CredentialKey, TenantId};
use sea_orm::ConnectionTrait as _;
use zeroize::Zeroizing;

use super::*;
use crate::seal::{Sealer, SealingKey};
use crate::store::{StoreOptions, StoreUrl};

#[path = "../../../tests/support/postgres.rs"]
mod server;

const GRANTS: i64 = 20_000;
/// Grant number n ends at n, and is to be announced and to be renewed then.
const COLUMNS: &str = "(id, tenant, provider, client, grant_type, generation, version, tokens, key_id, issued_at,
     refreshable, scopes, created_at, changed_at, ends_at, end_of, renew_by, announce_at)
     SELECT 'g' || n, 't', 'acme', 'main', 'STATIC', 1, 1, '', 'k1', 0, FALSE, '[]', 0, 0, n, 'GRANT', n, n";

async fn store(url: &str) -> SqlStore {
    let key = SealingKey::new(Zeroizing::new([7; 32]));
    let sealer = Sealer::new("k1", BTreeMap::from([("k1".to_owned(), key)])).unwrap();
    let url = StoreUrl::parse(url).unwrap();
    let store = SqlStore::connect(&url, sealer, StoreOptions::default()).await;
    store.unwrap()
}

/// A store with many grants, each with a credential. `numbers` is a table of the numbers from 1.
async fn filled(url: &str, numbers: &str) -> SqlStore {
    let store = store(url).await;
    let fill = [
        format!("INSERT INTO grants {COLUMNS} FROM {numbers}"),
        format!(
            "INSERT INTO credentials (tenant, id, grant_id, labels, created_at, version)
             SELECT 't', 'c' || n, 'g' || n, '{{}}', 0, 1 FROM {numbers}"
        ),
        "ANALYZE".to_owned(),
    ];
    for statement in fill {
        let done = store.database.writer.execute_unprepared(&statement).await;
        done.unwrap();
    }
    store
}

async fn sqlite(folder: &tempfile::TempDir) -> SqlStore {
    let file = folder.path().join("grants.db");
    let numbers = format!(
        "(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {GRANTS})
          SELECT n FROM numbers)"
    );
    filled(&format!("sqlite://{}", file.display()), &numbers).await
}

async fn postgres() -> SqlStore {
    let numbers = format!("generate_series(1, {GRANTS}) AS numbers (n)");
    filled(&server::Postgres::shared().new_database(), &numbers).await
}

/// What the database says of how it would answer a query.
async fn plan(store: &SqlStore, sql: Sql) -> String {
    let (explain, column) = match store.database.backend() {
        sea_orm::DbBackend::Postgres => ("EXPLAIN ", "QUERY PLAN"),
        _ => ("EXPLAIN QUERY PLAN ", "detail"),
    };
    let rows = store.rows(Sql::text(explain).then(sql)).await.unwrap();
    let lines = rows
        .iter()
        .map(|row| row.try_get::<String>("", column).unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

fn page(after: i64) -> ForecastQuery {
    ForecastQuery {
        after: Some(ForecastPlace {
            at: Timestamp::from_millis(after),
            key: CredentialKey {
                tenant: TenantId::parse("t").unwrap(),
                id: CredentialId::parse("c").unwrap(),
            },
            moves: false,
        }),
        before: Some(Timestamp::from_millis(GRANTS / 2)),
        limit: 100,
        ..ForecastQuery::default()
    }
}

async fn the_indexes_are_used(store: SqlStore) {
    let now = Timestamp::from_millis(50);
    let announce = plan(&store, to_announce(now, 100)).await;
    assert!(announce.contains("grants_announce"), "{announce}");
    for query in [page(0), page(5_000)] {
        let forecast = plan(&store, forecast(&query)).await;
        for index in ["grants_end", "grants_renew", "credentials_grant"] {
            assert!(forecast.contains(index), "no {index}: {forecast}");
        }
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_is_found_along_the_indexes_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    the_indexes_are_used(sqlite(&folder).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_is_found_along_the_indexes_of_postgres() {
    the_indexes_are_used(postgres().await).await;
}
