//! The proxy's faults happen, and end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::proxy::{Direction, Proxy};

/// Far longer than a round trip on this machine takes, and short enough to wait for when nothing comes.
const SILENCE: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn without_faults_bytes_and_their_end_pass() -> Result<()> {
    let (_echo, proxy) = echo_behind_proxy().await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    assert_eq!(round_trip(&mut client, b"hello").await?, b"hello");

    client.shutdown().await?;
    assert_eq!(timeout(SOON, client.read(&mut [0; 1])).await??, 0);
    assert_eq!(proxy.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn a_blackhole_is_silent_and_gives_back_what_it_held() -> Result<()> {
    let (_echo, proxy) = echo_behind_proxy().await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    round_trip(&mut client, b"hello").await?;

    proxy.blackhole();
    client.write_all(b"anyone?").await?;
    let mut answer = [0; 7];
    assert!(
        timeout(SILENCE, client.read_exact(&mut answer))
            .await
            .is_err()
    );

    proxy.resume();
    timeout(SOON, client.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"anyone?");
    Ok(())
}

#[tokio::test]
async fn one_direction_can_be_held_alone() -> Result<()> {
    let (echo, proxy) = echo_behind_proxy().await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    round_trip(&mut client, b"hello").await?;

    proxy.hold(Direction::ToClient);
    client.write_all(b"one-way").await?;
    timeout(SOON, echo.received("helloone-way")).await?;
    assert!(timeout(SILENCE, client.read(&mut [0; 1])).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_delay_holds_each_byte_for_its_time() -> Result<()> {
    let (_echo, proxy) = echo_behind_proxy().await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    round_trip(&mut client, b"hello").await?;

    proxy.delay(Direction::ToServer, Duration::from_millis(60));
    proxy.delay(Direction::ToClient, Duration::from_millis(40));
    let start = Instant::now();
    round_trip(&mut client, b"hello").await?;
    assert!(start.elapsed() >= Duration::from_millis(100));
    Ok(())
}

#[tokio::test]
async fn a_reset_breaks_open_connections_and_spares_new_ones() -> Result<()> {
    let (_echo, proxy) = echo_behind_proxy().await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    round_trip(&mut client, b"hello").await?;

    proxy.reset();
    let error = timeout(SOON, client.read(&mut [0; 1])).await?.err();
    let kind = error.context("the connection ended in good order")?.kind();
    assert_eq!(kind, std::io::ErrorKind::ConnectionReset);

    let mut client = TcpStream::connect(proxy.address()).await?;
    round_trip(&mut client, b"hello").await?;
    assert_eq!(proxy.connections(), 2);
    Ok(())
}

#[tokio::test]
async fn a_cut_lets_so_many_bytes_through_and_breaks_the_connection() -> Result<()> {
    let (echo, proxy) = echo_behind_proxy().await?;
    let mut client = TcpStream::connect(proxy.address()).await?;

    proxy.cut_after(Direction::ToClient, 3);
    client.write_all(b"request").await?;
    timeout(SOON, echo.received("request")).await?;
    let mut answer = Vec::new();
    let ended = timeout(SOON, client.read_to_end(&mut answer)).await?;
    assert!(ended.is_err(), "the connection ended in good order");
    assert!(answer.len() <= 3, "{answer:?}");

    proxy.resume();
    let mut client = TcpStream::connect(proxy.address()).await?;
    round_trip(&mut client, b"hello").await?;
    Ok(())
}

#[tokio::test]
async fn a_client_of_a_server_that_does_not_listen_is_reset() -> Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let proxy = Proxy::start(nobody)?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    assert!(timeout(SOON, client.read(&mut [0; 1])).await?.is_err());
    Ok(())
}

/// A server that sends back what it receives, and remembers it.
struct Echo {
    received: tokio::sync::watch::Receiver<Vec<u8>>,
    // Ends the server when dropped.
    _server: JoinSet<()>,
}

impl Echo {
    async fn start() -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (sender, received) = tokio::sync::watch::channel(Vec::new());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(echo(stream, sender.clone()));
            }
        });
        let echo = Self {
            received,
            _server: server,
        };
        Ok((echo, address))
    }

    /// Waits until all that was received is `text`.
    async fn received(&self, text: &str) {
        let mut received = self.received.clone();
        received
            .wait_for(|bytes| bytes == text.as_bytes())
            .await
            .expect("the server runs as long as this value");
    }
}

async fn echo(mut stream: TcpStream, sender: tokio::sync::watch::Sender<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        sender.send_modify(|bytes| bytes.extend_from_slice(&buffer[..length]));
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn echo_behind_proxy() -> Result<(Echo, Proxy)> {
    let (echo, address) = Echo::start().await?;
    Ok((echo, Proxy::start(address)?))
}

async fn round_trip(client: &mut TcpStream, bytes: &[u8]) -> Result<Vec<u8>> {
    client.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    timeout(SOON, client.read_exact(&mut answer)).await??;
    Ok(answer)
}
