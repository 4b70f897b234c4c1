//! A watcher as `docs/events.md` tells clients to write one: it keeps the cursor of what it has applied, connects again
//! when a stream ends, and checks that nothing is missing between two messages.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use evergrant_proto::v1::event_service_client::EventServiceClient;
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{WatchRequest, WatchResponse};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use super::background::background;
use super::eventually::eventually;
use super::replica::{Replica, channel_to};
use super::scene::SOON;

const PAUSE: Duration = Duration::from_millis(50);

/// Follows the events of one or several replicas in the background, until dropped.
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

/// What a watcher has got so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Every message, in the order of its arrival.
    pub messages: Vec<WatchResponse>,
    /// How streams ended.
    pub ends: Vec<Status>,
    /// What was wrong with the order or the coverage of messages.
    pub faults: Vec<String>,
    cursor: String,
    covered_to: Option<u64>,
}

impl Watcher {
    /// Watches one replica, and waits for the end of the snapshot.
    pub async fn start(replica: &Replica, request: WatchRequest) -> Result<Self> {
        let watcher = Self::follow(&Addresses::of([replica]), request);
        watcher.first_snapshot().await?;
        Ok(watcher)
    }

    /// Watches one of `addresses` after the other: the next one whenever a stream ends.
    pub fn follow(addresses: &Addresses, request: WatchRequest) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            cursor: request.after.clone(),
            ..Seen::default()
        }));
        let task = background(follow(addresses.clone(), request, Arc::clone(&seen)));
        Self { seen, task }
    }

    /// Waits until the snapshot has ended.
    pub async fn first_snapshot(&self) -> Result<()> {
        self.wait_for("the end of the snapshot", SOON, |event| {
            matches!(event, Event::SnapshotEnd(_))
        })
        .await
        .map(drop)
    }

    /// The first event that is wanted. An error if none comes in time.
    pub async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        eventually(what, within, async || {
            let seen = self.seen();
            let events = seen
                .messages
                .iter()
                .filter_map(|message| message.event.as_ref());
            events.into_iter().find(|event| wanted(event)).cloned()
        })
        .await
    }

    /// Waits until everything up to `number` is covered, then gives what was seen. An error if the watcher met a gap,
    /// a message out of order or a refusal to go on.
    pub async fn covered(&self, number: u64) -> Result<Vec<WatchResponse>> {
        eventually("the watcher to catch up", SOON, async || {
            let seen = self.seen();
            let through = seen.covered_to.is_some_and(|covered| covered >= number);
            (through || !seen.faults.is_empty()).then_some(())
        })
        .await?;
        let seen = self.seen();
        if let Some(fault) = seen.faults.first() {
            bail!("{fault}");
        }
        Ok(seen.messages.clone())
    }

    /// How many events so far are wanted.
    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        let seen = self.seen();
        let events = seen
            .messages
            .iter()
            .filter_map(|message| message.event.as_ref());
        events.filter(|event| wanted(event)).count()
    }

    /// What was seen so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cursor to go on from.
    pub fn cursor(&self) -> String {
        self.seen().cursor.clone()
    }
}

/// Where watchers may connect. Clones share the list, so that it can change under them.
#[derive(Clone)]
pub struct Addresses(Arc<Mutex<Vec<SocketAddr>>>);

impl Addresses {
    /// The gRPC addresses of `replicas`.
    pub fn of<'a>(replicas: impl IntoIterator<Item = &'a Replica>) -> Self {
        let addresses = replicas.into_iter().map(Replica::grpc).collect();
        Self(Arc::new(Mutex::new(addresses)))
    }

    /// Puts `replica` in the place of another.
    pub fn replace(&self, gone: SocketAddr, replica: &Replica) {
        for address in self.lock().iter_mut().filter(|address| **address == gone) {
            *address = replica.grpc();
        }
    }

    /// The address whose turn it is.
    pub fn at(&self, turn: usize) -> SocketAddr {
        let addresses = self.lock();
        addresses[turn % addresses.len()]
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(addresses: Addresses, request: WatchRequest, seen: Arc<Mutex<Seen>>) {
    let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
    for turn in 0.. {
        let address = addresses.at(turn);
        let request = WatchRequest {
            after: lock().cursor.clone(),
            ..request.clone()
        };
        let mut client = EventServiceClient::new(channel_to(address));
        let end = match client.watch(request).await {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                lock().begin();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => lock().take(message),
                        Ok(None) => break Status::ok("a stream never ends well"),
                        Err(status) => break status,
                    }
                }
            }
        };
        let retry = matches!(
            end.code(),
            Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
        );
        lock().end(end, retry);
        if !retry {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Seen {
    /// A stream begins. Without a cursor it begins anew, with a snapshot.
    fn begin(&mut self) {
        if self.cursor.is_empty() {
            self.covered_to = None;
        }
    }

    fn end(&mut self, end: Status, retry: bool) {
        if !retry {
            self.faults.push(format!("the stream ended with {end:?}"));
        }
        self.ends.push(end);
    }

    fn take(&mut self, message: WatchResponse) {
        let snapshot = message.cursor.is_empty();
        if !snapshot {
            if let Some(covered) = self.covered_to
                && message.covers_after != covered
            {
                self.faults.push(format!(
                    "covered up to {covered}, then a message covers from {} to {}",
                    message.covers_after, message.covers_to
                ));
            }
            if message.covers_to < message.covers_after {
                self.faults
                    .push(format!("a message goes back: {message:?}"));
            }
            self.covered_to = Some(message.covers_to);
            self.cursor.clone_from(&message.cursor);
        }
        self.messages.push(message);
    }
}

/// Everything of the default tenant, with a heartbeat that the server grants at once.
pub fn everything() -> WatchRequest {
    WatchRequest {
        heartbeat_interval: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..WatchRequest::default()
    }
}
