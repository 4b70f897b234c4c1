//! HTTP listeners that face the internet: few connections, each for a short time.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::grpc::transport::Acceptor;

/// Connections at once, on each listener; others wait to be accepted. With bodies of at most 256 KiB this bounds the
/// memory, too.
const CONNECTIONS: usize = 256;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// From the beginning of a connection, or the last answer, to the end of the next request's headers.
const HEADERS: Duration = Duration::from_secs(5);
const HEADER_BYTES: usize = 32 * 1024;
/// Even a proxy connects again after this, so that nobody holds a place for good.
const LONGEST_CONNECTION: Duration = Duration::from_secs(60);
/// What the last request of such a connection gets: to be read, and to be dealt with.
const LAST_REQUEST: Duration = Duration::from_secs(30);
/// After a failed accept, e.g. for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// How connections end when the server does.
#[derive(Debug, Clone)]
pub struct Stop {
    /// From then on no connection is taken, and those without a request are closed.
    pub when: CancellationToken,
    /// What requests that had begun get after that. One that is dealt with already takes its course all the same.
    pub grace: Duration,
}

/// What responds to the requests of a listener. It bounds the bodies that it reads. Its future is dropped when the
/// connection is cut off, so what must not be left half done has a task of its own.
pub trait Respond: Clone + Send + 'static {
    /// The body of a response.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Responds to one request.
    fn respond(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Has `answer` respond to requests until `stop`, and ends when every connection has.
pub async fn serve(listener: TcpListener, tls: Option<Acceptor>, answer: impl Respond, stop: Stop) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    connections.close();
    let accept = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((socket, address)) => {
                    let (tls, answer, stop) = (tls.clone(), answer.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(socket, address, tls, answer, stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    debug!(%error, "a connection was not accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    };
    let _: Option<Infallible> = stop.when.run_until_cancelled(accept).await;
    connections.wait().await;
}

async fn connection(
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<Acceptor>,
    answer: impl Respond,
    stop: Stop,
) {
    let Some(tls) = tls else {
        return speak(socket, answer, stop).await;
    };
    let handshake = tls.handshake(socket, address, HANDSHAKE);
    if let Some(Some(socket)) = stop.when.run_until_cancelled(handshake).await {
        speak(socket, answer, stop).await;
    }
}

async fn speak(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: impl Respond,
    stop: Stop,
) {
    let service = service_fn(move |request| {
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(answer.respond(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let old = sleep(LONGEST_CONNECTION);
    let mut over = pin!(async {
        let stopped = async {
            stop.when.cancelled().await;
            sleep(stop.grace).await;
        };
        tokio::select! {
            () = sleep(LONGEST_CONNECTION + LAST_REQUEST) => {}
            () = stopped => {}
        }
    });
    tokio::select! {
        ended = &mut connection => return tell(ended),
        () = &mut over => return debug!("a connection was cut off"),
        () = old => {}
        () = stop.when.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => tell(ended),
        () = over => debug!("a connection was cut off"),
    }
}

fn tell(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
