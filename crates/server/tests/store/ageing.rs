//! What ends is found along indexes, and is known of grants that were stored before anybody asked.

use std::time::{Duration, Instant};

use evergrant_core::ageing::Dates;
use evergrant_core::clock::Timestamp;
use evergrant_core::ids::GrantId;
use evergrant_core::store::{Directory, ForecastQuery, GrantStore};
use evergrant_server::store::SqlStore;
use sea_orm::{ConnectionTrait, Statement};

use crate::harness::Harness;

const GRANTS: i64 = 20_000;
/// Grant number n ends at n, and is to be announced and to be renewed then.
const NUMBERED: &str =
    "INSERT INTO grants (id, tenant, provider, client, grant_type, generation, version, tokens,
     key_id, issued_at, refreshable, scopes, created_at, changed_at, ends_at, end_of, renew_by, announce_at)
     SELECT 'g' || n, 't', 'acme', 'main', 'STATIC', 1, 1, '', 'k1', 0, FALSE, '[]', 0, 0, n, 'GRANT', n, n";

/// How often Postgres has used an index, and how many rows of `grants` it has read without any.
pub(crate) async fn scans(harness: &Harness, index: &str) -> (i64, i64) {
    let counts = format!(
        "SELECT (SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = '{index}') AS scans,
                (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'grants') AS read"
    );
    let backend = harness.database.get_database_backend();
    let counts = Statement::from_string(backend, counts);
    let row = harness
        .database
        .query_one_raw(counts)
        .await
        .unwrap()
        .unwrap();
    let count = |column| row.try_get("", column).unwrap();
    (count("scans"), count("read"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_finds_what_ends_along_the_indexes() {
    let harness = Harness::postgres().await;
    let numbers = format!("generate_series(1, {GRANTS}) AS numbers (n)");
    harness.execute(&format!("{NUMBERED} FROM {numbers}")).await;
    harness
        .execute(&format!(
            "INSERT INTO credentials (tenant, id, grant_id, labels, created_at, version)
             SELECT 't', 'c' || n, 'g' || n, '{{}}', 0, 1 FROM {numbers}"
        ))
        .await;
    harness.execute("ANALYZE").await;
    let mut query = ForecastQuery {
        limit: 100,
        ..ForecastQuery::default()
    };
    let first = harness.store.forecast(&query).await.unwrap();
    assert_eq!(first.len(), 100);
    query.after = first.last().map(|end| end.place.clone());

    // The counts show a second after the use.
    let began = Instant::now();
    for index in ["grants_announce", "grants_end", "grants_renew"] {
        loop {
            let now = Timestamp::from_millis(50);
            let due = harness.store.to_announce(now, 100).await.unwrap();
            assert_eq!(due.len(), 50);
            assert_eq!(harness.store.forecast(&query).await.unwrap().len(), 100);
            let (used, read) = scans(&harness, index).await;
            assert_eq!(read, 0, "rows were read without an index");
            if used > 0 {
                break;
            }
            assert!(began.elapsed().as_secs() < 30, "{index} is not used");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Takes a database back to what it was before grants had ends, and forward again.
async fn what_was_stored_before_is_looked_at_once(harness: Harness) {
    for index in ["grants_announce", "grants_end", "grants_renew"] {
        harness.execute(&format!("DROP INDEX {index}")).await;
    }
    for column in [
        "consented_at",
        "renew_by",
        "ends_at",
        "end_of",
        "announce_at",
        "announced",
    ] {
        let drop = format!("ALTER TABLE grants DROP COLUMN {column}");
        harness.execute(&drop).await;
    }
    harness
        .execute("DELETE FROM seaql_migrations WHERE version = 'm0002_ageing'")
        .await;
    for (id, refreshable, expires_at, refresh_expires_at) in [
        ("endless", "TRUE", "NULL", "NULL"),
        ("usual", "TRUE", "9", "NULL"),
        ("ends", "TRUE", "9", "99"),
        ("static", "FALSE", "99", "NULL"),
    ] {
        harness
            .execute(&format!(
                "INSERT INTO grants (id, tenant, provider, client, grant_type, generation, version, tokens, key_id,
                 issued_at, refreshable, scopes, created_at, changed_at, expires_at, refresh_expires_at)
                 VALUES ('{id}', 't', 'acme', 'main', 'STATIC', 1, 1, '', 'k1', 7, {refreshable}, '[]', 5, 0,
                 {expires_at}, {refresh_expires_at})"
            ))
            .await;
    }
    assert_eq!(SqlStore::migrate(&harness.url).await.unwrap(), 1);
    let store = harness.reopen(&["k1"], crate::harness::postgres_options());
    let store = store.await.unwrap();
    let due = store.to_announce(Timestamp::from_millis(7), 9).await;
    let names: Vec<_> = due.unwrap().iter().map(GrantId::to_string).collect();
    assert_eq!(names, ["ends", "static"]);
    let snapshot = store
        .snapshot(&evergrant_core::change::Scope::Grant(
            GrantId::parse("endless").unwrap(),
        ))
        .await;
    let facts = snapshot.unwrap().grants.remove(0);
    assert_eq!(facts.consented_at, Timestamp::from_millis(5));
    assert_eq!((facts.dates, facts.announced), (Dates::default(), None));
}

#[tokio::test]
async fn what_was_stored_before_is_looked_at_once_on_sqlite() {
    what_was_stored_before_is_looked_at_once(Harness::sqlite().await).await;
}

#[tokio::test]
async fn what_was_stored_before_is_looked_at_once_on_postgres() {
    what_was_stored_before_is_looked_at_once(Harness::postgres().await).await;
}
