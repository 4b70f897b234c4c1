//! Python's stubs are generated from the contract, and its client speaks to a gRPC server of this workspace.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::harness::python::Python;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_stock_health_client_checks_and_watches() -> Result<()> {
    let (server, address) = health_server().await?;
    let python = Python::generate_stubs().await?;

    let mut check = python.client(address, &["health"])?;
    assert_eq!(check.next(SOON).await?, json!({ "status": "SERVING" }));

    let mut watch = python.client(address, &["health", "--watch", "--count", "2"])?;
    assert_eq!(watch.next(SOON).await?, json!({ "status": "SERVING" }));
    server
        .reporter
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
    assert_eq!(watch.next(SOON).await?, json!({ "status": "NOT_SERVING" }));
    assert!(watch.end(SOON).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_refused_call_is_told_with_its_code() -> Result<()> {
    let (_server, address) = health_server().await?;
    let python = Python::generate_stubs().await?;

    for command in [
        &["get-token", "--credential", "c"][..],
        &["watch", "--count", "1"],
    ] {
        let mut client = python.client(address, command)?;
        let answer = client.next(SOON).await?;
        assert_eq!(answer["error"]["code"], "UNIMPLEMENTED", "{answer}");
        assert_eq!(client.end(SOON).await?.code(), Some(1));
    }
    Ok(())
}

struct HealthServer {
    reporter: tonic_health::server::HealthReporter,
    // Ends the server when dropped.
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

/// A gRPC server that knows nothing but its own health.
async fn health_server() -> Result<(HealthServer, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (reporter, service) = tonic_health::server::health_reporter();
    let mut server = JoinSet::new();
    server.spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    let server = HealthServer {
        reporter,
        _server: server,
    };
    Ok((server, address))
}
