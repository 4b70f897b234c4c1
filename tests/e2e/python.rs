//! A service in Python, with stock grpcio and stubs generated from `proto/`, does the main job.

use std::time::Duration;

use anyhow::Result;

use crate::harness::python::Python;
use crate::harness::scene::Scene;

const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn python_gets_a_token_watches_and_reads_why_it_was_refused() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    scene.expired_credential(&replica, "c").await?;
    let python = Python::generate_stubs().await?;

    let mut client = python.client(replica.grpc(), &["get-token", "--credential", "c"])?;
    let answer = client.next(WITHIN).await?;
    assert_eq!(answer["generation"], "2", "{answer}");
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["header"]["name"], "Authorization");
    assert!(client.end(WITHIN).await?.success());

    let mut watch = python.client(replica.grpc(), &["watch", "--count", "2"])?;
    let begun = watch.next(WITHIN).await?;
    assert!(
        begun.get("snapshot_end").is_some() || begun.get("heartbeat").is_some(),
        "{begun}"
    );
    replica.caller().invalidate("c").await?;
    let told = watch.next(WITHIN).await?;
    let told = if told.get("heartbeat").is_some() {
        watch.next(WITHIN).await?
    } else {
        told
    };
    assert_eq!(
        told["credential_invalidated"]["credential_id"], "c",
        "{told}"
    );

    let mut client = python.client(replica.grpc(), &["get-token", "--credential", "c"])?;
    let refusal = &client.next(WITHIN).await?["error"];
    assert_eq!(refusal["code"], "FAILED_PRECONDITION", "{refusal}");
    assert_eq!(
        refusal["error_info"]["reason"], "CREDENTIAL_INVALIDATED",
        "{refusal}"
    );
    assert_eq!(client.end(WITHIN).await?.code(), Some(1));
    Ok(())
}
