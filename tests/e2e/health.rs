//! What probes see: before the service is ready, while it serves, without its store, and on its way out.

use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_providers::sandbox::{Point, RotationMode};
use serde_json::json;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::background::background;
use crate::harness::caller::{Caller, reason};
use crate::harness::eventually::eventually;
use crate::harness::ports::free_port;
use crate::harness::python::Python;
use crate::harness::replica::{Replica, channel_to};
use crate::harness::scene::{SOON, Scene};

const SERVICES: [&str; 7] = [
    "",
    "evergrant.v1.TokenService",
    "evergrant.v1.EventService",
    "evergrant.v1.CredentialService",
    "evergrant.v1.IntegrationService",
    "evergrant.v1.ProviderService",
    "evergrant.v1.AuditService",
];

#[tokio::test]
async fn a_service_that_waits_for_its_store_is_not_serving_until_it_has_it() -> Result<()> {
    let mut scene = Scene::without_redis().await?;
    let port = free_port()?;
    let config = scene
        .config()
        .set("server.listen", format!("127.0.0.1:{port}"));
    scene.postgres().freeze()?;

    let before_ready = async {
        let mut health = HealthClient::new(channel_to(([127, 0, 0, 1], port).into()));
        let before = eventually("an answer of the probe", SOON, async || {
            health.check(HealthCheckRequest::default()).await.ok()
        })
        .await?;
        assert_eq!(before.into_inner().status(), ServingStatus::NotServing);
        let alive = health.check(HealthCheckRequest {
            service: "liveness".to_owned(),
        });
        let alive = alive.await?.into_inner().status();
        assert_eq!(alive, ServingStatus::Serving);
        let caller = Caller::new(channel_to(([127, 0, 0, 1], port).into()));
        let elsewhere = caller.token("c").await.expect_err("it does not serve yet");
        assert_eq!(
            reason(&elsewhere),
            (Code::Unavailable, "STARTING".to_owned())
        );
        scene.postgres().thaw()
    };
    let (replica, ()) = tokio::try_join!(Replica::start(&config), before_ready)?;
    for service in SERVICES {
        assert_eq!(
            status(&replica, service).await?,
            ServingStatus::Serving,
            "{service}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn without_its_store_a_service_is_not_serving_and_recovers() -> Result<()> {
    let mut scene = Scene::without_redis().await?;
    let replica = scene.replica("replica").await?;
    assert_eq!(replica.admin_status("/readyz").await?, 200);

    scene.postgres().stop().await?;
    for service in SERVICES {
        becomes(&replica, service, ServingStatus::NotServing).await?;
    }
    assert_eq!(status(&replica, "liveness").await?, ServingStatus::Serving);
    assert_eq!(replica.admin_status("/readyz").await?, 503);
    assert_eq!(replica.admin_status("/livez").await?, 200);
    let metrics = replica.metrics().await?;
    assert_eq!(metrics.sum("evergrant_store_up", &[]), 0.0);

    scene.postgres().start_again().await?;
    for service in SERVICES {
        becomes(&replica, service, ServingStatus::Serving).await?;
    }
    assert_eq!(replica.admin_status("/readyz").await?, 200);
    Ok(())
}

#[tokio::test]
async fn without_redis_a_service_is_degraded_and_serves() -> Result<()> {
    let mut scene = Scene::with_redis().await?;
    let replica = scene.replica("replica").await?;

    scene.redis().kill().await?;
    eventually("the loss to show", SOON, async || {
        let metrics = replica.metrics().await.ok()?;
        (metrics.sum("evergrant_redis_up", &[]) == 0.0).then_some(())
    })
    .await?;
    assert_eq!(status(&replica, "").await?, ServingStatus::Serving);
    assert_eq!(replica.admin_status("/readyz").await?, 200);

    scene.redis().start_again().await?;
    eventually("the recovery to show", SOON, async || {
        let metrics = replica.metrics().await.ok()?;
        (metrics.sum("evergrant_redis_up", &[]) == 1.0).then_some(())
    })
    .await
}

#[tokio::test]
async fn while_it_drains_a_service_is_not_serving_though_a_refresh_still_runs() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let mut replica = scene.replica("replica").await?;
    let (_grant, gate) = scene
        .held_credential(&replica, "c", RotationMode::Strict, Point::BeforeProcessing)
        .await?;
    let caller = replica.caller();
    let asked = background(async move { caller.token("c").await });
    gate.arrival().await?;
    let mut watch = replica
        .health()
        .watch(HealthCheckRequest::default())
        .await?
        .into_inner();
    let first = watch.message().await?.context("the status now")?;
    assert_eq!(first.status(), ServingStatus::Serving);

    replica.terminate()?;
    let next = tokio::time::timeout(SOON, watch.message()).await??;
    let next = next.context("the next status")?;
    assert_eq!(next.status(), ServingStatus::NotServing);
    gate.open();

    assert_eq!(asked.await??.generation, 2);
    assert_eq!(replica.end().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn an_unknown_service_is_not_found() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let refusal = status(&replica, "evergrant.v1.Nothing").await;
    let refusal = refusal.expect_err("there is no such service");
    let refusal: tonic::Status = refusal.downcast()?;
    assert_eq!(refusal.code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn a_stock_health_client_sees_the_service_serve_and_drain() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let mut replica = scene.replica("replica").await?;
    let python = Python::generate_stubs().await?;
    let within = Duration::from_secs(30);

    for service in SERVICES {
        let mut check = python.client(replica.grpc(), &["health", "--service", service])?;
        assert_eq!(check.next(within).await?, json!({ "status": "SERVING" }));
    }
    let mut watch = python.client(replica.grpc(), &["health", "--watch", "--count", "2"])?;
    assert_eq!(watch.next(within).await?, json!({ "status": "SERVING" }));
    replica.terminate()?;
    assert_eq!(
        watch.next(within).await?,
        json!({ "status": "NOT_SERVING" })
    );
    assert_eq!(replica.end().await?.code(), Some(0));
    Ok(())
}

async fn status(replica: &Replica, service: &str) -> Result<ServingStatus> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    Ok(replica.health().check(request).await?.into_inner().status())
}

async fn becomes(replica: &Replica, service: &str, wanted: ServingStatus) -> Result<()> {
    eventually("the health to change", SOON, async || {
        let now = status(replica, service).await.ok()?;
        (now == wanted).then_some(())
    })
    .await
}
