//! A caller is held to its rate, and told when to come again.

use std::time::Duration;

use anyhow::{Context as _, Result};
use evergrant_proto::v1::{BatchGetTokensRequest, GetTokenRequest};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{ask, code_of, rated, with};
use crate::harness::caller::reason;
use crate::harness::scene::Scene;

#[tokio::test]
async fn who_waits_as_long_as_it_is_told_is_served_again() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let scene = scene.set("callers", vec![rated("busy", 1, 3), rated("other", 1, 3)]);
    let replica = scene.replica("replica").await?;
    let channel = replica.channel();

    let mut served = 0;
    let refusal = loop {
        match ask(&channel, Some("busy")).await {
            Err(refusal) if refusal.code() == Code::NotFound => served += 1,
            answer => break answer.expect_err("there is no such credential"),
        }
    };
    assert!(served >= 3, "{served}");
    assert_eq!(
        reason(&refusal),
        (Code::ResourceExhausted, "CALLER_RATE_LIMITED".to_owned())
    );
    assert_eq!(code_of(ask(&channel, Some("other")).await), Code::NotFound);
    let wait = wait_of(&refusal)?;
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    tokio::time::sleep(wait).await;
    assert_eq!(code_of(ask(&channel, Some("busy")).await), Code::NotFound);

    let metrics = replica.metrics().await?;
    let limited = |caller| {
        let labels = [("caller", caller)];
        metrics.sum("evergrant_caller_rate_limited_total", &labels)
    };
    assert_eq!((limited("busy"), limited("other")), (1.0, 0.0));
    Ok(())
}

#[tokio::test]
async fn a_batch_counts_as_many_requests_as_it_has() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let scene = scene.set("callers", vec![rated("busy", 10, 5)]);
    let replica = scene.replica("replica").await?;
    let one = GetTokenRequest {
        credential_id: "c".to_owned(),
        ..GetTokenRequest::default()
    };
    let batch = BatchGetTokensRequest {
        requests: vec![one; 600],
        ..BatchGetTokensRequest::default()
    };
    let served = replica
        .tokens()
        .batch_get_tokens(with(batch, Some("busy")))
        .await?;
    assert_eq!(
        served.into_inner().results.len(),
        600,
        "larger than the burst"
    );
    let refusal = ask(&replica.channel(), Some("busy")).await;
    let wait = wait_of(&refusal.expect_err("what it took is owed"))?;
    // Sixty seconds' worth, less the burst of five and what time has passed.
    assert!(
        wait > Duration::from_secs(40) && wait < Duration::from_secs(60),
        "{wait:?}"
    );
    Ok(())
}

fn wait_of(refusal: &tonic::Status) -> Result<Duration> {
    let info = refusal.get_details_retry_info();
    info.and_then(|info| info.retry_delay)
        .context("it does not say when to come again")
}
