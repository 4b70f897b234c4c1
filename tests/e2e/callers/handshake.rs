//! Who is refused before the first request is told of on both sides: to the operator, and to whoever calls.

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Stage, ask, san};
use crate::harness::authority::Authority;
use crate::harness::cli::{Ended, evergrant};
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};

const API: &str = "spiffe://example.org/ns/shop/sa/api";
const FAILED: &str = "evergrant_tls_handshakes_failed_total";

/// The line that tells of a refusal, once it is counted under `cause`.
async fn told(replica: &Replica, cause: &str, why: &str) -> Result<String> {
    let told = eventually("a refused handshake to be told", SOON, async || {
        let metrics = replica.metrics().await.ok()?;
        let labels = [("listener", "grpc"), ("cause", cause)];
        let is_counted = metrics.sum(FAILED, &labels) > 0.0;
        let log = replica.log();
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains("a TLS handshake failed") && line.contains(why));
        line.filter(|_| is_counted).map(str::to_owned)
    });
    told.await
}

#[tokio::test]
async fn a_refused_handshake_is_counted_by_its_cause_and_told_with_who_and_why() -> Result<()> {
    let stage = Stage::new(vec![san("api", API, &["token.get"])]).await?;
    let replica = stage.scene.replica("replica").await?;
    let foreign = Authority::new("another authority")?.issue(&[API])?;
    for (shown, cause, why) in [
        (
            Some(&foreign),
            "certificate",
            "is of no authority in client_ca",
        ),
        (None, "no_certificate", "the client shows no certificate"),
    ] {
        // In TLS 1.3 who was refused learns it with the first request.
        if let Ok(channel) = stage.channel(&replica, shown).await {
            ensure!(ask(&channel, None).await.is_err(), "it is not served");
        }
        let line = told(&replica, cause, why).await?;
        ensure!(line.contains("127.0.0.1:"), "{line}");
    }
    // A client that does not know the server's authority, and one that speaks plaintext.
    let stranger = Authority::new("strangers")?;
    let api = stage.clients.issue(&[API])?;
    let refused = stage
        .channel_trusting(&replica, &stranger, Some(&api))
        .await;
    ensure!(refused.is_err(), "it trusts another authority");
    told(&replica, "client", "does not know the authority").await?;
    let mut plain = TcpStream::connect(replica.grpc()).await?;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    let _end = plain.read_to_end(&mut Vec::new()).await;
    told(&replica, "not_tls", "does not speak TLS").await?;

    // Many at once are one line. A probe that says nothing is none.
    let warned = |replica: &Replica| {
        let log = replica.log();
        let is_warning =
            |line: &&str| line.contains("WARN") && line.contains("a TLS handshake failed");
        log.lines().filter(is_warning).count()
    };
    let before = warned(&replica);
    // A client may have tried again by itself.
    let failed = replica.metrics().await?.sum(FAILED, &[]);
    let probe = TcpStream::connect(replica.grpc()).await?;
    drop(probe);
    for _ in 0..50 {
        let mut plain = TcpStream::connect(replica.grpc()).await?;
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
        let _end = plain.read_to_end(&mut Vec::new()).await;
    }
    let metrics = replica.metrics().await?;
    assert_eq!(metrics.sum(FAILED, &[("cause", "not_tls")]), 51.0);
    let failed = metrics.sum(FAILED, &[]) - failed;
    assert_eq!(failed, 50.0, "a probe is not counted");
    let lines = warned(&replica) - before;
    ensure!(lines < 25, "{lines} lines for 50 connections");
    Ok(())
}

#[tokio::test]
async fn the_command_line_names_the_likely_mistake_in_an_address() -> Result<()> {
    let stage = Stage::new(vec![san("api", API, &["token.get"])]).await?;
    let secret = stage.scene.replica("with TLS").await?;
    let scene = Scene::on_sqlite().await?;
    let plain = scene.replica("without TLS").await?;
    let ca = tempfile::NamedTempFile::new()?;
    std::fs::write(ca.path(), stage.servers.pem())?;
    let ca = ca.path().to_string_lossy().into_owned();
    let get = async |server: String, rest: &[&str]| -> Result<Ended> {
        let words = [&["token", "get", "c", "--server", &server], rest].concat();
        evergrant(&scene.config(), &words).await
    };

    let ended = get(format!("http://{}", secret.grpc()), &[]).await?;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    ensure!(
        ended
            .stderr
            .contains("it speaks TLS: the URL must begin with https://"),
        "{ended:?}"
    );
    let ended = get(format!("https://{}", plain.grpc()), &["--tls-ca", &ca]).await?;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    ensure!(
        ended.stderr.contains("the URL must begin with http://"),
        "{ended:?}"
    );
    let ended = get(plain.admin_url(""), &[]).await?;
    ensure!(
        ended.code == Some(69) && ended.stderr.contains("gRPC port"),
        "{ended:?}"
    );
    let server = format!("https://localhost:{}", secret.grpc().port());
    let ended = get(server, &["--tls-ca", &ca]).await?;
    ensure!(ended.code != Some(0), "{ended:?}");
    Ok(())
}
