//! How long a request may hold its place while its reader takes nothing.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::{self, AbortHandle};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tracing::debug;

tokio::task_local! {
    static LEASH: Arc<Leash>;
}

/// How leashes are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leashes {
    /// How often each is looked at. A request is cut off by as much later than it may be.
    pub look: Duration,
    /// What an answer that nobody takes gets once the server stops.
    pub grace: Duration,
}

/// The end of a request that does not depend on being polled.
#[derive(Debug, Default)]
pub struct Leash(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// `None`: only the server's stop cuts it off.
    patience: Option<Duration>,
    /// Since when a part of the answer waits for its reader. `None`: the next part is asked for.
    untaken_since: Option<Instant>,
    /// A stream that goes on for as long as its client likes, so that a stop cuts it off in any case.
    is_endless: bool,
}

impl Leash {
    /// The leash of the request that the running task serves; `None` outside of a server.
    pub fn current() -> Option<Arc<Self>> {
        LEASH.try_with(Arc::clone).ok()
    }

    /// From now on a reader that takes nothing for `patience` is cut off.
    pub fn shorten(&self, patience: Duration) {
        self.state().patience = Some(patience);
    }

    pub(super) fn set_endless(&self) {
        self.state().is_endless = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the request is to be cut off. `stopped` says since when the server stops.
    fn snaps(&self, leashes: Leashes, stopped: Option<Instant>) -> bool {
        let state = self.state();
        let unread_for = |patience: Duration| {
            let since = state.untaken_since;
            since.is_some_and(|since| since.elapsed() >= patience)
        };
        if state.patience.is_some_and(unread_for) {
            return true;
        }
        let Some(stopped) = stopped else {
            return false;
        };
        let since = state.untaken_since.or(state.is_endless.then_some(stopped));
        since.is_some_and(|since| since.max(stopped).elapsed() >= leashes.grace)
    }
}

/// The body of an answer, which tells its leash what becomes of it.
///
/// A part that was handed out waits for its reader until the next is asked for. It must be the outermost body: those
/// within may ask ahead.
pub(super) struct LeashedBody {
    body: Body,
    leash: Arc<Leash>,
}

impl LeashedBody {
    pub(super) fn new(body: Body, leash: Arc<Leash>) -> Self {
        Self { body, leash }
    }
}

impl http_body::Body for LeashedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.leash.state().untaken_since = polled.is_ready().then(Instant::now);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The requests of one connection, each in a task of its own under a leash. One timer looks after all of them.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Mutex<HashMap<task::Id, Running>>>);

struct Running {
    leash: Arc<Leash>,
    task: AbortHandle,
}

impl Requests {
    /// Whether none runs.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Cuts off what nobody reads, for as long as it is polled.
    pub(super) async fn keep(&self, leashes: Leashes, stop: &CancellationToken) {
        let mut stopped = None;
        loop {
            if stopped.is_some() {
                sleep((leashes.grace / 4).max(Duration::from_millis(1))).await;
            } else if stop
                .run_until_cancelled(sleep(leashes.look))
                .await
                .is_none()
            {
                stopped = Some(Instant::now());
                continue;
            }
            for running in self.lock().values() {
                if running.leash.snaps(leashes, stopped) {
                    running.task.abort();
                    metrics::counter!("evergrant_requests_cut_off_total").increment(1);
                    debug!("a request was cut off: nobody takes its answer");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<task::Id, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> hyper::rt::Executor<F> for Requests
where
    F: Future<Output = ()> + Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "its connection, which is tracked, waits for it"
    )]
    fn execute(&self, request: F) {
        let leash = Arc::new(Leash::default());
        let request = LEASH.scope(Arc::clone(&leash), request);
        let place = Place(self.clone());
        // Held, so that a request that ends at once finds its entry.
        let mut running = self.lock();
        let task = tokio::spawn(async move {
            let _place = place;
            request.await;
        });
        let id = task.id();
        let task = task.abort_handle();
        running.insert(id, Running { leash, task });
    }
}

/// Takes the entry of the running task away at its end, also if it is cut off.
struct Place(Requests);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(id) = task::try_id() {
            self.0.lock().remove(&id);
        }
    }
}
