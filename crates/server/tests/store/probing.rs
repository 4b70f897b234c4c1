//! The grant that a rejected client is probed with is found along an index.

use std::time::{Duration, Instant};

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{ClientKey, ClientName, ProviderName};
use evergrant_core::store::GrantStore;

use crate::ageing::scans;
use crate::harness::Harness;

const INDEX: &str = "grants_client";

fn client(name: &str) -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("acme").unwrap(),
        client: ClientName::parse(name).unwrap(),
    }
}

/// Stores so many grants of a client, of which number n expires at n.
async fn add(harness: &Harness, client: &str, grants: i64, failed: i64) {
    harness
        .execute(&format!(
            "INSERT INTO grants (id, tenant, provider, client, grant_type, generation, version, tokens, key_id,
             issued_at, refreshable, scopes, created_at, changed_at, due_at, expires_at, failed)
             SELECT '{client}' || n, 't', 'acme', '{client}', 'AUTHORIZATION_CODE', 1, 1, '', 'k1', 0, TRUE, '[]',
             0, 0, n, n, {failed} FROM generate_series(1, {grants}) AS numbers (n)"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_finds_the_grant_of_a_probe_along_the_index() {
    let harness = Harness::postgres().await;
    add(&harness, "large", 20_000, 0).await;
    add(&harness, "failing", 50, 1).await;
    harness.execute("ANALYZE").await;
    // The counts show a second after the use.
    let began = Instant::now();
    loop {
        for name in ["large", "failing"] {
            let now = Timestamp::from_millis(0);
            let found = harness.store.to_probe(&client(name), now, 32).await;
            let found = found.unwrap();
            assert_eq!(found.len(), 32);
            assert_eq!(found[0].as_str(), format!("{name}1"));
        }
        let (used, read) = scans(&harness, INDEX).await;
        assert_eq!(read, 0, "rows were read without an index");
        if used > 0 {
            break;
        }
        assert!(began.elapsed().as_secs() < 30, "{INDEX} is not used");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
