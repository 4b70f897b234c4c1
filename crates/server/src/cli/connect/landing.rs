//! Where the browser comes back to: an HTTP listener on a loopback address (RFC 8252 section 7.3).

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::callback::arrival::{Arrival, is_prefetch};
use crate::cli::exit::Failure;
use crate::page::Page;

/// What the browser gets to take its page.
const LAST_PAGE: Duration = Duration::from_secs(2);

/// A listener that hands over who comes.
pub(super) struct Landing {
    port: u16,
    visits: mpsc::Receiver<Visit>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A browser that waits for its page.
pub(super) struct Visit {
    pub(super) arrival: Arrival,
    pub(super) page: Waiting,
}

/// Where the page goes.
pub(super) struct Waiting(oneshot::Sender<Page>);

impl Waiting {
    pub(super) fn show(self, page: Page) {
        // A browser that went away misses nothing that this program does not say too.
        let _gone = self.0.send(page);
    }
}

impl Landing {
    /// Listens at `port` of 127.0.0.1; 0 takes any free one.
    pub(super) async fn open(port: u16) -> Result<Self, Failure> {
        let address = (Ipv4Addr::LOCALHOST, port);
        let unusable =
            |error| Failure::Other(format!("cannot listen on 127.0.0.1:{port}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(unusable)?;
        let port = listener.local_addr().map_err(unusable)?.port();
        let (sender, visits) = mpsc::channel(1);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let callback = MethodRouter::new()
            .get(come)
            .head(async || StatusCode::NO_CONTENT);
        let router = Router::new()
            .route("/callback", callback)
            .with_state(sender);
        let served =
            axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tasks.spawn(served.into_future());
        Ok(Self {
            port,
            visits,
            tasks,
            stop,
        })
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The next browser that comes with a state and a code or an error.
    pub(super) async fn visit(&mut self) -> Visit {
        match self.visits.recv().await {
            Some(visit) => visit,
            // The listener is gone, which only close() does.
            None => std::future::pending().await,
        }
    }

    /// Stops listening, once the pages that were shown are delivered.
    pub(super) async fn close(self) {
        drop(self.visits);
        self.stop.cancel();
        self.tasks.close();
        let _late = tokio::time::timeout(LAST_PAGE, self.tasks.wait()).await;
    }
}

async fn come(
    State(visits): State<mpsc::Sender<Visit>>,
    headers: HeaderMap,
    query: Result<Query<Arrival>, QueryRejection>,
) -> Response {
    if is_prefetch(&headers) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let bad = |why: &str| Page::not_connected(StatusCode::BAD_REQUEST, why).into_response();
    let Ok(Query(arrival)) = query else {
        return bad("the address cannot be read");
    };
    if let Err(why) = arrival.clone().answer() {
        return bad(why);
    }
    let (sender, page) = oneshot::channel();
    let visit = Visit {
        arrival,
        page: Waiting(sender),
    };
    if visits.send(visit).await.is_err() {
        return bad("nobody waits for it any more");
    }
    match page.await {
        Ok(page) => page.into_response(),
        Err(_) => bad("nobody waits for it any more"),
    }
}
