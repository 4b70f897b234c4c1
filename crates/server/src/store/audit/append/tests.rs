use std::time::Duration;

use evergrant_core::clock::Timestamp;
use metrics_exporter_prometheus::PrometheusBuilder;
use sea_orm::ConnectionTrait as _;

use super::super::sample::Trail;

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
    let trail = Trail::new().await;
    let write = || trail.write(Timestamp::from_millis(1));

    write().await;
    counted(0);
    let head = "UPDATE audit_log SET head = 0";
    trail.somebody.execute_unprepared(head).await.unwrap();
    write().await;
    write().await;
    counted(1);
    let floor = "UPDATE audit_log SET floor = 1";
    trail.somebody.execute_unprepared(floor).await.unwrap();
    for _ in 0..2 {
        trail
            .log()
            .prune(Duration::from_secs(3_600), 10)
            .await
            .unwrap();
    }
    write().await;
    counted(2);
}
