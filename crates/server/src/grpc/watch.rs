//! EventService: one stream per watcher, each pulled by its connection at the pace of its reader.
//!
//! A stream is admitted (`Watches::open`), begins with a snapshot where it has no cursor, then goes on with the log
//! from the place at which the snapshot began (`stream`). It holds one batch of shared events and no queue.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::clock::Clock;
use evergrant_core::events::LogEpoch;
use evergrant_core::events::filter::Filter;
use evergrant_core::events::reader::Reader;
use evergrant_core::events::tail::Tail;
use evergrant_core::ids::ProviderName;
use evergrant_core::store::Store;
use evergrant_proto::encoded::Encoded;
use evergrant_proto::encoded::event::event_service_server::EventService;
use evergrant_proto::v1::{self, ErrorReason};
use futures_util::stream::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::call::Call;
use super::caller::Permission;
use super::convert::{credential_id_of, duration, event, tenant};
use super::cursor::{Cursor, CursorCodec, NoCursor, epoch_hash};
use super::gate::Gate;
use super::standing::Standing;
use super::status::{ApiError, store_error};
use crate::audit::action::WATCH_ENDED;
use delivery::Deliveries;
use stream::{Begin, WatchStream};

mod delivery;
mod message;
mod snapshot;
mod stream;

/// Limits of a replica's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimits {
    /// Streams at a time.
    pub streams: usize,
    /// Snapshots at a time.
    pub snapshots: usize,
    /// Longest silence on a stream whose caller names none.
    pub heartbeat: Duration,
    /// A stream ends itself after this, ± 20 %, so that streams spread over replicas again.
    pub max_age: Duration,
    /// A reader that takes nothing for this long is sent away when it asks for the next message.
    pub slow_after: Duration,
    /// A reader that takes nothing for this long loses its place, asking or not.
    pub cut_after: Duration,
    /// Without a successful read of the log for this long there is no heartbeat.
    pub stale_after: Duration,
    /// Without a successful read of the log for this long a stream ends.
    pub unreachable_after: Duration,
}

/// How long a stream waits for its snapshot to begin before it is told to come again.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(5);

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            streams: 10_000,
            snapshots: 4,
            heartbeat: Duration::from_secs(15),
            max_age: Duration::from_secs(30 * 60),
            slow_after: Duration::from_secs(120),
            cut_after: Duration::from_secs(150),
            stale_after: Duration::from_secs(10),
            unreachable_after: Duration::from_secs(30),
        }
    }
}

const HEARTBEATS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(300);
const MAX_FILTER_ITEMS: usize = 1_000;

/// Serves EventService.
#[derive(Clone)]
pub struct Watches {
    shared: Arc<Shared>,
}

/// What all streams of a replica share.
struct Shared {
    tail: Arc<Tail>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    gate: Gate,
    deliveries: Deliveries,
    limits: WatchLimits,
    streams: Arc<Semaphore>,
    snapshots: Arc<Semaphore>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}

impl Watches {
    /// A service that streams from `tail`. Once `stop` is cancelled every stream says Closing and ends.
    pub fn new(
        tail: Arc<Tail>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        gate: Gate,
        cursors: CursorCodec,
        limits: WatchLimits,
        stop: CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                tail,
                store,
                deliveries: Deliveries::new(cursors, Arc::clone(&clock)),
                clock,
                gate,
                streams: Arc::new(Semaphore::new(limits.streams)),
                snapshots: Arc::new(Semaphore::new(limits.snapshots)),
                limits,
                stop,
            }),
        }
    }

    /// Wakes the streams whenever callers change or are locked out, so that each asks again for its right, until `stop` is
    /// cancelled. Without it they ask between two messages.
    ///
    /// They do not wait for that themselves: ten thousand streams that each waited in one more line would pay for it with
    /// every event.
    pub async fn follow_rights(self, stop: CancellationToken) {
        let Shared { gate, tail, .. } = &*self.shared;
        let (mut callers, mut lockouts) = (gate.callers().changes(), gate.lockouts());
        loop {
            // Also at first: nobody was told of what changed before.
            tail.wake_readers();
            // The gate keeps those who tell.
            let changed = async {
                tokio::select! {
                    _ = callers.changed() => {}
                    _ = lockouts.changed() => {}
                }
            };
            if stop.run_until_cancelled(changed).await.is_none() {
                return;
            }
        }
    }

    /// How many streams are open.
    pub fn open_streams(&self) -> usize {
        self.shared.limits.streams - self.shared.streams.available_permits()
    }

    async fn open(&self, call: &Call, request: v1::WatchRequest) -> Result<WatchStream, ApiError> {
        let shared = &self.shared;
        let wanted = parse(request, shared.limits.heartbeat)?;
        call.require(Permission::EventWatch, wanted.filter.tenant.as_ref())?;
        let standing = Standing::of(
            &shared.gate,
            call.caller(),
            Permission::EventWatch,
            wanted.filter.tenant.clone(),
        )?;
        if shared.stop.is_cancelled() {
            let error = ApiError::new(ErrorReason::ShuttingDown, "this replica is shutting down");
            return Err(error.retry_after(message::reconnect_after()));
        }
        let place = self.place(&wanted).await?;
        let begin = match &place {
            Some((_, seq)) => Begin::After(*seq),
            None if wanted.skip_snapshot => Begin::Now,
            None => Begin::Snapshot,
        };

        let mut permits = Vec::with_capacity(3);
        permits.push(take(
            &shared.streams,
            "this replica holds as many streams as it may",
        )?);
        if let Some(own) = call.caller().streams() {
            permits.push(take(own, "this caller holds as many streams as it may")?);
        }
        if matches!(begin, Begin::Snapshot) {
            permits.push(snapshot_place(&shared.snapshots).await?);
        }
        let tail = Arc::clone(&shared.tail);
        let reader = match place {
            Some((epoch, seq)) => Reader::new(tail, epoch, seq),
            // The place is taken before any state is read: what changes meanwhile is streamed again (E6).
            None => Reader::at_head(tail),
        };
        let ending = call.until_dropped(WATCH_ENDED, wanted.filter.tenant.clone());
        Ok(WatchStream::new(
            Arc::clone(shared),
            standing,
            wanted,
            begin,
            reader,
            permits,
            ending,
        ))
    }

    /// The event after which a stream goes on, and of which log it is; `None` if it begins without a cursor.
    async fn place(&self, wanted: &Wanted) -> Result<Option<(LogEpoch, u64)>, ApiError> {
        if wanted.after.is_empty() {
            return Ok(None);
        }
        let head = self.shared.tail.head().borrow().clone();
        let decoded = self
            .shared
            .deliveries
            .cursors()
            .decode(&wanted.after, epoch_hash(&head.epoch));
        let cursor = decoded.map_err(|error| match error {
            NoCursor::Malformed => ApiError::invalid("after", error.to_string()),
            NoCursor::OtherLog => epoch_mismatch(),
        })?;
        if cursor.seq > head.seq {
            self.confirm(&cursor).await?;
        }
        if !wanted.filter.fingerprint().narrows(&cursor.filter) {
            let why = "the filter admits what it hid when the cursor was issued";
            return Err(ApiError::new(ErrorReason::FilterChanged, why));
        }
        Ok(Some((head.epoch, cursor.seq)))
    }

    /// Another replica may have read further than this one, but none further than the store: a number that the log
    /// never reached is of a life that a restore took back.
    async fn confirm(&self, cursor: &Cursor) -> Result<(), ApiError> {
        let position = self.shared.store.position().await;
        let position = position.map_err(|error| store_error(&error))?;
        if cursor.seq > position.head || cursor.epoch != epoch_hash(&position.epoch) {
            return Err(epoch_mismatch());
        }
        Ok(())
    }
}

fn epoch_mismatch() -> ApiError {
    let why = format!("after {}", NoCursor::OtherLog);
    ApiError::new(ErrorReason::CursorEpochMismatch, why)
}

/// Most snapshots are short, so that waiting a little spares the caller another round.
async fn snapshot_place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    let place = tokio::time::timeout(SNAPSHOT_PATIENCE, Arc::clone(places).acquire_owned()).await;
    match place {
        Ok(Ok(place)) => Ok(place),
        _ => take(places, "too many snapshots are under way"),
    }
}

fn take(places: &Arc<Semaphore>, why: &str) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        ApiError::new(ErrorReason::StreamLimit, why).retry_after(message::reconnect_after())
    })
}

#[tonic::async_trait]
impl EventService for Watches {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<Encoded, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let work = async |call: Call, message| self.open(&call, message).await;
        let opened = self.shared.gate.serve("Watch", request, work).await?;
        Ok(opened.map(|stream| Box::pin(stream.into_stream()) as Self::WatchStream))
    }
}

/// What a watcher wants.
struct Wanted {
    filter: Filter,
    after: String,
    skip_snapshot: bool,
    heartbeat: Duration,
}

fn parse(request: v1::WatchRequest, default_heartbeat: Duration) -> Result<Wanted, ApiError> {
    let v1::WatchRequest {
        tenant_id,
        after,
        skip_snapshot,
        credential_ids,
        providers,
        types,
        heartbeat_interval,
    } = request;
    let heartbeat = heartbeat_interval
        .map(|interval| duration("heartbeat_interval", interval))
        .transpose()?
        .unwrap_or(default_heartbeat);
    if !HEARTBEATS.contains(&heartbeat) {
        return Err(ApiError::invalid(
            "heartbeat_interval",
            "must be 1 s to 5 min",
        ));
    }
    if credential_ids.len() > MAX_FILTER_ITEMS || providers.len() > MAX_FILTER_ITEMS {
        let why = "credential_ids and providers hold at most 1,000 names each";
        return Err(ApiError::invalid("credential_ids", why));
    }
    let provider = |name: &String| {
        ProviderName::parse(name).map_err(|why| ApiError::invalid("providers", why.to_string()))
    };
    let filter = Filter {
        tenant: if tenant_id == "*" {
            None
        } else {
            Some(tenant(&tenant_id)?)
        },
        credentials: credential_ids
            .iter()
            .map(|id| credential_id_of(id))
            .collect::<Result<_, _>>()?,
        providers: providers.iter().map(provider).collect::<Result<_, _>>()?,
        kinds: types
            .into_iter()
            .map(event::kind)
            .collect::<Result<_, _>>()?,
    };
    Ok(Wanted {
        filter,
        after,
        skip_snapshot,
        heartbeat,
    })
}

#[cfg(test)]
mod tests;
