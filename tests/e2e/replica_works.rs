//! A replica of the program starts, serves and ends as the harness says.

use anyhow::Result;
use evergrant_proto::v1::{
    GetTokenRequest, ListCredentialsRequest, ListIntegrationsRequest, WatchRequest,
};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;

use crate::harness::postgres::Postgres;
use crate::harness::proxy::Proxy;
use crate::harness::redis::Redis;
use crate::harness::replica::config::ReplicaConfig;
use crate::harness::replica::{Replica, channel_to};

#[tokio::test]
async fn a_replica_serves_all_services_and_leaves_when_told() -> Result<()> {
    let (postgres, redis) = tokio::try_join!(Postgres::start(), Redis::start())?;
    let proxy = Proxy::start(redis.address())?;
    let config = ReplicaConfig::new(postgres.url_at(postgres.address()))
        .named("replica 1")
        .redis(redis.url_at(proxy.address()))
        .provider("acme", ACME)
        .client("acme-main", "acme", "id", "secret")
        .env("RUST_LOG", "debug");
    let mut replica = Replica::start(&config).await?;

    let unknown = GetTokenRequest {
        credential_id: "unknown".to_owned(),
        ..Default::default()
    };
    let answer = replica.tokens().get_token(unknown).await;
    assert_eq!(
        answer.map_err(|status| status.code()).err(),
        Some(Code::NotFound)
    );
    let mut client = replica.credentials();
    let answer = client.list_credentials(ListCredentialsRequest::default());
    assert!(answer.await?.into_inner().credentials.is_empty());
    let mut client = replica.integrations();
    let answer = client.list_integrations(ListIntegrationsRequest::default());
    assert!(answer.await?.into_inner().integrations.is_empty());
    let mut events = replica
        .events()
        .watch(WatchRequest::default())
        .await?
        .into_inner();
    assert!(events.message().await?.is_some());
    replica
        .health()
        .check(HealthCheckRequest::default())
        .await?;
    assert_eq!(replica.admin_status("/readyz").await?, 200);
    assert_eq!(replica.metrics().await?.sum("evergrant_store_up", &[]), 1.0);
    assert!(proxy.connections() > 0);

    replica.freeze()?;
    replica.thaw()?;
    replica.terminate()?;
    assert_eq!(replica.end().await?.code(), Some(0));
    assert!(!replica.log().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_killed_replica_no_longer_listens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = format!("sqlite://{}", folder.path().join("evergrant.db").display());
    let replica = Replica::start(&ReplicaConfig::new(store)).await?;
    let address = replica.grpc();

    replica.kill().await?;

    let mut health = tonic_health::pb::health_client::HealthClient::new(channel_to(address));
    assert!(health.check(HealthCheckRequest::default()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_replica_with_an_unknown_key_ends_with_code_64_and_names_the_key() -> Result<()> {
    let config = ReplicaConfig::new("sqlite::memory:").set("server.lisen", "127.0.0.1:0");
    let (code, log) = Replica::run_to_end(&config).await?;
    assert_eq!(code, Some(64), "{log}");
    assert!(log.contains("lisen"), "{log}");
    Ok(())
}

const ACME: &str = r#"
name = "acme"
token_url = "http://127.0.0.1:1/token"
sources = ["this test"]
"#;
