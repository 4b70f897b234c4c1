use evergrant_core::clock::Timestamp;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sea_orm::{ConnectionTrait as _, Database};

use super::*;
use crate::audit::record::{Act, Subject};
use crate::seal::{Sealer, SealingKey};
use crate::store::{SqlStore, StoreOptions, StoreUrl};

fn entry() -> Entry {
    let act = Act::of_evergrant("TokensRefreshed", Subject::default());
    Entry::new(act, Timestamp::from_millis(1))
}

async fn becomes(metrics: &PrometheusHandle, line: &str) {
    let looking = async {
        while !metrics.render().lines().any(|found| found == line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), looking).await;
    assert!(found.is_ok(), "no {line} in\n{}", metrics.render());
}

#[tokio::test]
async fn what_cannot_be_written_is_shown_with_its_batch_and_counted_as_lost_at_the_end() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _here = ::metrics::set_default_local_recorder(&recorder);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("e.db").display());
    let ring = [("k1".to_owned(), SealingKey::generate())];
    let sealer = Sealer::new("k1", ring.into()).unwrap();
    let store_url = StoreUrl::parse(&url).unwrap();
    let store = SqlStore::connect(&store_url, sealer, StoreOptions::default());
    let store = store.await.unwrap();
    let database = Database::connect(&url).await.unwrap();
    let rename = async |from: &str, to: &str| {
        let rename = format!("ALTER TABLE {from} RENAME TO {to}");
        database.execute_unprepared(&rename).await.unwrap();
    };
    let queue = Arc::new(Queue::new(10));
    let (told, _stored) = watch::channel(0);
    let writer = Writer {
        queue: queue.clone(),
        log: store.audit_log().clone(),
        lines: None,
        flush: Duration::from_millis(10),
    };

    rename("audit_records", "elsewhere").await;
    for _ in 0..3 {
        queue.push(entry()).unwrap();
    }
    let writer = writer.start(told);
    becomes(&metrics, "evergrant_audit_waiting 3").await;
    rename("elsewhere", "audit_records").await;
    becomes(&metrics, "evergrant_audit_waiting 0").await;

    rename("audit_records", "elsewhere").await;
    for _ in 0..2 {
        queue.push(entry()).unwrap();
    }
    becomes(&metrics, "evergrant_audit_waiting 2").await;
    // What comes while the batch waits is lost with it, and so is what there was no room for.
    for _ in 0..11 {
        let _full = queue.push(entry());
    }
    assert_eq!(writer.close().await, 2 + 11);
    becomes(&metrics, "evergrant_audit_records_lost_total 13").await;
}
