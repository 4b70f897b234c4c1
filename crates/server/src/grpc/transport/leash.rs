//! How long a request may hold its place while its reader takes nothing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
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

    fn is_out_of_patience(&self) -> bool {
        let state = self.state();
        match (state.patience, state.untaken_since) {
            (Some(patience), Some(since)) => since.elapsed() >= patience,
            _ => false,
        }
    }

    /// Ends when the request is to be cut off.
    async fn snaps(&self, leashes: Leashes, stop: &CancellationToken) {
        while stop
            .run_until_cancelled(sleep(leashes.look))
            .await
            .is_some()
        {
            if self.is_out_of_patience() {
                return;
            }
        }
        let stopped = Instant::now();
        loop {
            sleep((leashes.grace / 4).max(Duration::from_millis(1))).await;
            let state = self.state();
            let since = state.untaken_since.or(state.is_endless.then_some(stopped));
            if since.is_some_and(|since| since.max(stopped).elapsed() >= leashes.grace) {
                return;
            }
        }
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

/// Spawns the requests of one connection, each under a leash.
#[derive(Clone)]
pub(super) struct RequestTasks {
    tasks: TaskTracker,
    leashes: Leashes,
    stop: CancellationToken,
}

impl RequestTasks {
    pub(super) fn new(tasks: TaskTracker, leashes: Leashes, stop: CancellationToken) -> Self {
        Self {
            tasks,
            leashes,
            stop,
        }
    }
}

impl<F> hyper::rt::Executor<F> for RequestTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        let leash = Arc::new(Leash::default());
        let (leashes, stop) = (self.leashes, self.stop.clone());
        self.tasks.spawn(async move {
            let request = LEASH.scope(Arc::clone(&leash), request);
            tokio::select! {
                // The request first: one that is answered at once sets no timer.
                biased;
                () = request => {}
                () = leash.snaps(leashes, &stop) => {
                    metrics::counter!("evergrant_requests_cut_off_total").increment(1);
                    debug!("a request was cut off: nobody takes its answer");
                }
            }
        });
    }
}
