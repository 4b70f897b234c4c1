//! Connections: HTTP/1.1 on a listener, with the power to close a connection without an answer.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::state::Shared;

/// Pause after a failed accept, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Marks a response that is never to be sent.
#[derive(Clone)]
struct HangUp;

/// A response in whose place the connection is closed.
pub(super) fn hang_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}

#[derive(Debug)]
struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sandbox was told to close this connection")
    }
}

impl std::error::Error for HungUp {}

/// Accepts connections until shutdown. Each is a task of the tracker and ends at shutdown too.
pub(super) async fn serve(listener: TcpListener, router: Router, shared: Arc<Shared>) {
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = serve_connection(stream, router.clone());
                    let shutdown = shared.shutdown.clone();
                    shared
                        .tracker
                        .spawn(shutdown.run_until_cancelled_owned(connection));
                }
                Err(error) => pause_after(error).await,
            }
        }
    };
    shared.shutdown.run_until_cancelled(accepting).await;
}

async fn pause_after(error: io::Error) {
    tracing::warn!(%error, "the sandbox could not accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn serve_connection(stream: TcpStream, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection to the sandbox keeps Nagle's algorithm");
    }
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let answer = router.clone().oneshot(request);
        async move {
            let response = answer.await.unwrap_or_else(|never| match never {});
            match response.extensions().get::<HangUp>() {
                // The server closes the connection of a service that fails, and sends nothing.
                Some(HangUp) => Err(HungUp),
                None => Ok(response),
            }
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the sandbox broke");
    }
}
