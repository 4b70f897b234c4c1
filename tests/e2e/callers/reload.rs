//! Certificates and callers change while streams go on.

use anyhow::Result;
use evergrant_proto::v1::event_service_client::EventServiceClient;
use evergrant_proto::v1::{WatchRequest, WatchResponse};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::{Stage, ask, code_of, rule, san, with};
use crate::harness::authority::{Authority, TlsFiles};
use crate::harness::eventually::eventually;
use crate::harness::http;
use crate::harness::replica::Replica;
use crate::harness::scene::{PROVIDER, SOON, Scene};

const API: &str = "spiffe://example.org/ns/shop/sa/api";

async fn watching(channel: Channel, token: Option<&str>) -> Result<Streaming<WatchResponse>> {
    let request = WatchRequest {
        skip_snapshot: true,
        heartbeat_interval: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..WatchRequest::default()
    };
    let answer = EventServiceClient::new(channel)
        .watch(with(request, token))
        .await?;
    let mut stream = answer.into_inner();
    stream.message().await?;
    Ok(stream)
}

async fn end_of(stream: &mut Streaming<WatchResponse>) -> Result<Status> {
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("it ended"),
                Err(end) => return end,
            }
        }
    };
    Ok(timeout(SOON, end).await?)
}

/// The stream has two more heartbeats, so that it outlived what came before.
async fn goes_on(stream: &mut Streaming<WatchResponse>) -> Result<()> {
    for _ in 0..2 {
        let message = timeout(SOON, stream.message()).await??;
        anyhow::ensure!(message.is_some(), "the stream ended");
    }
    Ok(())
}

async fn reloads(replica: &Replica, outcome: &str) -> Result<f64> {
    let metrics = replica.metrics().await?;
    Ok(metrics.sum("evergrant_reloads_total", &[("outcome", outcome)]))
}

#[tokio::test]
async fn who_loses_a_right_loses_its_stream_and_nobody_elses_is_touched() -> Result<()> {
    let watch = &["event.watch", "token.get"][..];
    let scene = Scene::on_sqlite().await?.set(
        "callers",
        vec![
            rule("stays", "stays", "*", watch),
            rule("loses", "loses", "*", watch),
            rule("moves", "moves", "default", watch),
            rule("goes", "goes", "*", watch),
        ],
    );
    let mut replica = scene.replica("replica").await?;
    let mut stays = watching(replica.channel(), Some("stays")).await?;
    let mut loses = watching(replica.channel(), Some("loses")).await?;
    let mut moves = watching(replica.channel(), Some("moves")).await?;
    let mut goes = watching(replica.channel(), Some("goes")).await?;

    let config = scene.config().set(
        "callers",
        vec![
            rule("stays", "stays", "*", watch),
            rule("loses", "loses", "*", &["token.get"]),
            rule("moves", "moves", "elsewhere", watch),
            rule("comes", "comes", "*", watch),
        ],
    );
    replica.reconfigure(&config)?;
    assert_eq!(end_of(&mut loses).await?.code(), Code::PermissionDenied);
    assert_eq!(end_of(&mut moves).await?.code(), Code::PermissionDenied);
    assert_eq!(end_of(&mut goes).await?.code(), Code::Unauthenticated);
    goes_on(&mut stays).await?;
    let channel = replica.channel();
    assert_eq!(code_of(ask(&channel, Some("comes")).await), Code::NotFound);
    assert_eq!(code_of(ask(&channel, Some("loses")).await), Code::NotFound);
    assert_eq!(
        code_of(ask(&channel, Some("goes")).await),
        Code::Unauthenticated
    );

    // What cannot be used changes nothing, and is told; SIGHUP only makes it sooner.
    let applied = reloads(&replica, "applied").await?;
    for broken in [
        config
            .clone()
            .set("callers", vec![rule("x", "x", "*", &["token.put"])]),
        config.clone().set("callers", Vec::<toml::Value>::new()),
        config
            .clone()
            .set("caller", vec![rule("x", "x", "*", watch)]),
    ] {
        let before = reloads(&replica, "failed").await?;
        replica.reconfigure(&broken)?;
        replica.hang_up()?;
        eventually("the refusal to be counted", SOON, async || {
            let now = reloads(&replica, "failed").await.ok()?;
            (now > before).then_some(())
        })
        .await?;
        let metrics = replica.metrics().await?;
        assert_eq!(metrics.sum("evergrant_reload_failing", &[]), 1.0);
        assert_eq!(code_of(ask(&channel, Some("comes")).await), Code::NotFound);
    }
    replica.reconfigure(&config)?;
    eventually("the configuration to be good again", SOON, async || {
        let metrics = replica.metrics().await.ok()?;
        (metrics.sum("evergrant_reload_failing", &[]) == 0.0).then_some(())
    })
    .await?;
    assert_eq!(
        reloads(&replica, "applied").await?,
        applied,
        "nothing changed"
    );
    goes_on(&mut stays).await
}

#[tokio::test]
async fn certificates_change_under_an_open_stream() -> Result<()> {
    let stage = Stage::new(vec![san("api", API, &["event.watch", "token.get"])]).await?;
    let mut replica = stage.scene.replica("replica").await?;
    let api = stage.clients.issue(&[API])?;
    let first = stage.channel(&replica, Some(&api)).await?;
    let mut stream = watching(first.clone(), None).await?;

    // A server certificate of another authority: who trusts that one alone is served from now on.
    let next = Authority::new("next")?;
    stage.files.serve_with(&next.issue(&["localhost"])?)?;
    replica.hang_up()?;
    eventually("the new certificate", SOON, async || {
        let channel = stage
            .channel_trusting(&replica, &next, Some(&api))
            .await
            .ok()?;
        (code_of(ask(&channel, None).await) == Code::NotFound).then_some(())
    })
    .await?;
    assert!(
        stage.channel(&replica, Some(&api)).await.is_err(),
        "the old one is gone"
    );
    goes_on(&mut stream).await?;
    assert_eq!(
        code_of(ask(&first, None).await),
        Code::NotFound,
        "the connection is open"
    );

    // Another authority of clients: who has a certificate of the old one is served no more, on no connection.
    let clients = Authority::new("next clients")?;
    stage.files.trust(&clients.pem())?;
    replica.hang_up()?;
    let other = clients.issue(&[API])?;
    eventually("the new authority", SOON, async || {
        let channel = stage
            .channel_trusting(&replica, &next, Some(&other))
            .await
            .ok()?;
        (code_of(ask(&channel, None).await) == Code::NotFound).then_some(())
    })
    .await?;
    eventually("the old connection to be of no use", SOON, async || {
        (code_of(ask(&first, None).await) != Code::NotFound).then_some(())
    })
    .await?;
    goes_on(&mut stream).await?;

    // What is no certificate changes nothing.
    std::fs::write(stage.files.cert(), "no certificate")?;
    replica.hang_up()?;
    eventually("the refusal to be told", SOON, async || {
        let metrics = replica.metrics().await.ok()?;
        (metrics.sum("evergrant_reload_failing", &[]) == 1.0).then_some(())
    })
    .await?;
    let channel = stage
        .channel_trusting(&replica, &next, Some(&other))
        .await?;
    assert_eq!(code_of(ask(&channel, None).await), Code::NotFound);
    Ok(())
}

/// Whether the listener for what providers report answers somebody who trusts `authority` alone.
async fn is_served(replica: &Replica, authority: &Authority) -> Result<bool> {
    let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes())?;
    let client = http::client_trusting(trusted)?;
    let url = replica
        .inbound_url("/slack")
        .replace("http://127.0.0.1", "https://localhost");
    // A new connection each time, since the client is.
    Ok(client.get(url).send().await.is_ok())
}

#[tokio::test]
async fn the_listener_for_reports_changes_its_certificate_and_never_to_half_of_one() -> Result<()> {
    let (first, next, clients) = (
        Authority::new("first")?,
        Authority::new("next")?,
        Authority::new("c")?,
    );
    let files = TlsFiles::new(&first.issue(&["localhost"])?, &clients)?;
    let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let scene = Scene::on_sqlite().await?;
    let scene = scene
        .set("inbound.listen", "127.0.0.1:0")
        .set("inbound.tls.cert", path(files.cert()))
        .set("inbound.tls.key", path(files.key()))
        .set("inbound.receivers.slack.kind", "slack")
        .set("inbound.receivers.slack.provider", PROVIDER)
        .set("inbound.receivers.slack.signing_secret", "a-signing-secret");
    let mut replica = scene.replica("replica").await?;
    assert!(is_served(&replica, &first).await? && !is_served(&replica, &next).await?);

    files.serve_with(&next.issue(&["localhost"])?)?;
    replica.hang_up()?;
    eventually("the new certificate", SOON, async || {
        is_served(&replica, &next).await.ok()?.then_some(())
    })
    .await?;
    assert!(!is_served(&replica, &first).await?, "the old one is gone");

    // Half of a certificate, and a whole one whose key was not written yet.
    let other = first.issue(&["localhost"])?;
    let half = &other.cert[..other.cert.len() / 2];
    for written in [half, &other.cert] {
        let before = reloads(&replica, "failed").await?;
        std::fs::write(files.cert(), written)?;
        replica.hang_up()?;
        eventually("the refusal to be counted", SOON, async || {
            (reloads(&replica, "failed").await.ok()? > before).then_some(())
        })
        .await?;
        let log = replica.log();
        let mut lines = log.lines();
        let told = lines.any(|line| {
            line.contains("certificates and callers stay as they are")
                && line.contains("inbound.tls")
        });
        anyhow::ensure!(told, "nothing says what is wrong: {log}");
        assert!(is_served(&replica, &next).await?, "the one before serves");
    }
    std::fs::write(files.key(), &other.key)?;
    replica.hang_up()?;
    eventually("the whole pair", SOON, async || {
        is_served(&replica, &first).await.ok()?.then_some(())
    })
    .await
}
