//! HTTP/2 connections: accepted, answered from routes, and ended.
//!
//! Each request runs in a task of its own under a [`Leash`]. Flow control asks nobody for the next message while a
//! peer takes none, so a stream that nobody reads cannot end itself: its task is dropped from outside, which resets
//! the stream and leaves the others on its connection alone.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tower::ServiceExt as _;
use tracing::{Instrument as _, debug};

use super::deadline;
use super::peer::Peer;
pub use leash::{Leash, Leashes};
use leash::{LeashedBody, Requests};

mod leash;
mod span;
mod tls;

pub use tls::{Acceptor, Cause, Listener, TlsError};

/// Streams of one connection; a proxy may carry all watchers of a node over one.
const MAX_STREAMS_PER_CONNECTION: u32 = 2_000;
/// A peer that is gone is noticed within half a minute.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After a failed accept, e.g. for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// What all connections of a listener have in common.
struct Shared {
    routes: Routes,
    tls: Option<Acceptor>,
    leashes: Leashes,
    stop: CancellationToken,
}

/// Serves `routes` until `stop` is cancelled and every connection has ended.
///
/// From then on no connection is taken. Requests that run go on to their end; what nobody reads is cut off after
/// the grace of `leashes`.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Acceptor>,
    routes: Routes,
    leashes: Leashes,
    stop: CancellationToken,
) {
    let shared = Arc::new(Shared {
        routes: routes.prepare(),
        tls,
        leashes,
        stop,
    });
    let connections = TaskTracker::new();
    connections.close();
    accept(listener, &shared, &connections).await;
    connections.wait().await;
}

async fn accept(listener: TcpListener, shared: &Arc<Shared>, connections: &TaskTracker) {
    // Without `nodelay` a small answer waits 40 ms for the next one.
    let mut incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(KEEPALIVE));
    while let Some(Some(accepted)) = shared.stop.run_until_cancelled(incoming.next()).await {
        match accepted {
            Ok(socket) => {
                connections.spawn(connection(socket, Arc::clone(shared)));
            }
            Err(error) => {
                debug!(%error, "a connection was not accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(socket: TcpStream, shared: Arc<Shared>) {
    let address = match socket.peer_addr() {
        Ok(address) => address,
        Err(error) => return debug!(%error, "a connection was gone at once"),
    };
    let Some(tls) = shared.tls.clone() else {
        let certificate = None;
        let peer = Peer {
            address,
            certificate,
        };
        return speak(socket, peer, std::future::pending(), &shared).await;
    };
    // Before the handshake, which may be the last one with the authorities of now.
    let mut authorities = tls.authorities();
    let handshake = tls.handshake(socket, address, HANDSHAKE);
    let Some(Some(socket)) = shared.stop.run_until_cancelled(handshake).await else {
        return;
    };
    let certificate = tls::client_certificate(&socket);
    let is_known = certificate.is_some();
    let withdrawn = async move {
        if !is_known || authorities.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let peer = Peer {
        address,
        certificate,
    };
    speak(socket, peer, withdrawn, &shared).await;
}

/// From `withdrawn` on the connection takes no further request: who is at its other end must show itself anew.
async fn speak(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    withdrawn: impl Future<Output = ()>,
    shared: &Shared,
) {
    let peer = Arc::new(peer);
    let requests = Requests::default();
    let routes = shared.routes.clone();
    let connection = http2::Builder::new(requests.clone())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .keep_alive_interval(Some(KEEPALIVE))
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .serve_connection(
            TokioIo::new(io),
            // Boxed, since the task of a stream would keep room for it to its end.
            service_fn(move |request| Box::pin(answer(routes.clone(), peer.clone(), request))),
        );
    let mut connection = pin!(connection);
    let mut kept = pin!(requests.keep(shared.leashes, &shared.stop));
    let mut withdrawn = pin!(withdrawn);
    let mut is_withdrawn = false;
    loop {
        tokio::select! {
            ended = &mut connection => return tell(ended),
            () = &mut kept => return,
            () = shared.stop.cancelled() => break,
            () = &mut withdrawn, if !is_withdrawn => {
                is_withdrawn = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    // Answers that were given must still be taken: a peer that does not would hold the connection for ever.
    let grace = shared.leashes.grace;
    let untaken = async {
        sleep(grace).await;
        while !requests.is_empty() {
            while !requests.is_empty() {
                sleep((grace / 4).max(Duration::from_millis(1))).await;
            }
            sleep(grace).await;
        }
    };
    tokio::select! {
        ended = connection => tell(ended),
        () = kept => {}
        () = untaken => debug!("a connection was cut off: its answers were not taken"),
    }
}

fn tell(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "a connection ended with an error");
    }
}

async fn answer(
    routes: Routes,
    peer: Arc<Peer>,
    mut request: Request<Incoming>,
) -> Result<Response<LeashedBody>, Infallible> {
    let leash = Leash::current().unwrap_or_default();
    // Health and reflection.
    if !request.uri().path().starts_with("/evergrant.") {
        leash.set_endless();
    }
    request.extensions_mut().insert(peer);
    let timeout = deadline::timeout(request.headers());
    let span = span::begin(&request);
    let answer = routes.oneshot(request).instrument(span.clone());
    let answer = match timeout {
        None => answer.await?,
        Some(timeout) => match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer?,
            Err(_) => Status::deadline_exceeded("the caller's deadline has passed").into_http(),
        },
    };
    span::end(&span, answer.headers());
    Ok(answer.map(|body| LeashedBody::new(body, leash)))
}

#[cfg(test)]
mod tests;
