use std::time::Duration;

use evergrant_core::clock::Timestamp;
use metrics_exporter_prometheus::PrometheusBuilder;
use sea_orm::{ConnectionTrait as _, Database};

use super::*;
use crate::seal::{Sealer, SealingKey};
use crate::store::{SqlStore, StoreOptions, StoreUrl};

#[tokio::test]
async fn every_alteration_is_counted_once() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _here = ::metrics::set_default_local_recorder(&recorder);
    let counted = |count: u32| {
        let text = handle.render();
        let line = format!("evergrant_audit_altered_total {count}");
        let is_there = match count {
            0 => !text.contains("evergrant_audit_altered_total"),
            _ => text.lines().any(|found| found == line),
        };
        assert!(is_there, "no {line} in\n{text}");
    };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("e.db").display());
    let ring = [("k1".to_owned(), SealingKey::generate())];
    let sealer = Sealer::new("k1", ring.into()).unwrap();
    let store_url = StoreUrl::parse(&url).unwrap();
    let store = SqlStore::connect(&store_url, sealer, StoreOptions::default());
    let store = store.await.unwrap();
    let log = store.audit_log();
    let somebody = Database::connect(&url).await.unwrap();
    let write = async || {
        let act = Act::of_evergrant("TokensRefreshed", Subject::default());
        let mut batch = AuditBatch::new(vec![Entry::new(act, Timestamp::from_millis(1))]);
        log.append(&mut batch).await.unwrap();
    };

    write().await;
    counted(0);
    let head = "UPDATE audit_log SET head = 0";
    somebody.execute_unprepared(head).await.unwrap();
    write().await;
    write().await;
    counted(1);
    let floor = "UPDATE audit_log SET floor = 1";
    somebody.execute_unprepared(floor).await.unwrap();
    for _ in 0..2 {
        log.prune(Duration::from_secs(3_600), 10).await.unwrap();
    }
    write().await;
    counted(2);
}
