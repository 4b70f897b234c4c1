//! One stream: snapshot, events, heartbeats, closing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::events::filter::Fingerprint;
use evergrant_core::events::reader::{ReadError, Reader};
use evergrant_core::events::{CredentialInvalidated, Event};
use evergrant_proto::encoded::Encoded;
use evergrant_proto::v1::watch_response::Event as Wire;
use evergrant_proto::v1::{self, ErrorReason};
use futures_util::stream::{self, Stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use super::snapshot::Snapshot;
use super::{Shared, Wanted, message};
use crate::grpc::call::Ending;
use crate::grpc::convert::event::to_invalidated;
use crate::grpc::standing::Standing;
use crate::grpc::status::{ApiError, store_error};
use crate::grpc::transport::Leash;

/// Before the log is read again after an error.
const RETRY: Duration = Duration::from_millis(250);

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With a snapshot.
    Snapshot,
    /// With what happens from now on.
    Now,
    /// Right after this event.
    After(u64),
}

/// The state of one stream between two messages.
pub(super) struct WatchStream {
    shared: Arc<Shared>,
    standing: Standing,
    wanted: Wanted,
    /// Of the wanted filter.
    filter: Fingerprint,
    reader: Reader,
    phase: Phase,
    /// The place that the last message covered up to.
    covered: u64,
    /// When the last message was taken from here.
    sent_at: Instant,
    heartbeat_at: Instant,
    ends_at: Instant,
    /// Never later than what is waited for, and seldom set: ten thousand streams that each set a timer for each
    /// message would wait for each other.
    timer: Pin<Box<Sleep>>,
    permits: Vec<OwnedSemaphorePermit>,
    /// Goes on record when the stream is dropped.
    ending: Ending,
    _open: OpenGauge,
}

enum Phase {
    Snapshot(Box<SnapshotPhase>),
    /// A first heartbeat gives the client a cursor before anything happens.
    Greet,
    Events(VecDeque<Arc<Event>>),
    /// Closing is next, without a cursor inside of the snapshot.
    Closing {
        error: Box<ApiError>,
        in_snapshot: bool,
    },
    /// Closing was sent; the error follows.
    Ending(Box<ApiError>),
    Ended,
}

struct SnapshotPhase {
    pages: Snapshot,
    page: VecDeque<CredentialInvalidated>,
}

impl WatchStream {
    pub(super) fn new(
        shared: Arc<Shared>,
        standing: Standing,
        wanted: Wanted,
        begin: Begin,
        reader: Reader,
        permits: Vec<OwnedSemaphorePermit>,
        ending: Ending,
    ) -> Self {
        let now = Instant::now();
        let phase = match begin {
            Begin::Snapshot => Phase::Snapshot(Box::new(SnapshotPhase {
                pages: Snapshot::new(&wanted.filter),
                page: VecDeque::new(),
            })),
            Begin::Now | Begin::After(_) => Phase::Greet,
        };
        if let Some(leash) = Leash::current() {
            leash.shorten(shared.limits.cut_after);
        }
        let age = shared.limits.max_age.mul_f64(0.8 + 0.4 * fastrand::f64());
        Self {
            covered: reader.position(),
            heartbeat_at: now + wanted.heartbeat,
            ends_at: now + age,
            timer: Box::pin(sleep_until(now + wanted.heartbeat)),
            _open: OpenGauge::raise(),
            sent_at: now,
            filter: wanted.filter.fingerprint(),
            shared,
            standing,
            wanted,
            reader,
            phase,
            permits,
            ending,
        }
    }

    /// The stream as tonic pulls it. Dropping it frees its place.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Encoded, Status>> + Send {
        // Boxed, since the state is moved in and out of each future, which has room for it twice.
        stream::unfold(Box::new(self), |mut this| async move {
            let item = this.next().await?;
            Some((item.map_err(ApiError::into_status), this))
        })
    }

    async fn next(&mut self) -> Option<Result<Encoded, ApiError>> {
        let waited = self.sent_at.elapsed();
        let is_idle_wait = matches!(&self.phase, Phase::Events(batch) if batch.is_empty());
        if waited > self.shared.limits.slow_after && !is_idle_wait {
            self.close(ErrorReason::SlowConsumer, "nothing was taken for too long");
        }
        let item = loop {
            let is_over = matches!(
                self.phase,
                Phase::Closing { .. } | Phase::Ending(_) | Phase::Ended
            );
            if !is_over && let Err(error) = self.standing.check() {
                return self.fail(error);
            }
            match &mut self.phase {
                Phase::Ended => return None,
                Phase::Closing { .. } => break self.closing_message()?,
                Phase::Ending(_) => {
                    let Phase::Ending(error) = std::mem::replace(&mut self.phase, Phase::Ended)
                    else {
                        return None;
                    };
                    return Some(Err(*error));
                }
                // Boxed: most streams are past it, and would keep room for it.
                Phase::Snapshot(_) => match Box::pin(self.snapshot_message()).await {
                    Ok(Some(item)) => break item,
                    Ok(None) => {}
                    Err(error) => return self.fail(error),
                },
                Phase::Greet => {
                    self.phase = Phase::Events(VecDeque::new());
                    if self.unread_for() > self.shared.limits.stale_after {
                        // As soon as the log is read again.
                        self.heartbeat_at = Instant::now();
                        continue;
                    }
                    break self.stream_message(Wire::Heartbeat(v1::Heartbeat {}), self.covered);
                }
                Phase::Events(_) => match self.event_message().await {
                    Ok(Some(item)) => break item,
                    Ok(None) => {}
                    Err(error) => return self.fail(error),
                },
            }
        };
        self.sent_at = Instant::now();
        self.heartbeat_at =
            self.sent_at + self.wanted.heartbeat.mul_f64(0.9 + 0.1 * fastrand::f64());
        Some(Ok(item))
    }

    /// Ends the stream with an error at once.
    fn fail(&mut self, error: ApiError) -> Option<Result<Encoded, ApiError>> {
        self.phase = Phase::Ended;
        count_end(&error);
        self.ending.because(error.reason_name());
        Some(Err(error))
    }

    /// The next message of the snapshot; `None` where the phase changed without one.
    async fn snapshot_message(&mut self) -> Result<Option<Encoded>, ApiError> {
        let Phase::Snapshot(phase) = &mut self.phase else {
            return Ok(None);
        };
        while phase.page.is_empty() {
            let next = phase.pages.next_page(&*self.shared.store).await;
            match next.map_err(|error| store_error(&error))? {
                Some(page) => phase.page.extend(page),
                None => {
                    let count = phase.pages.count;
                    self.phase = Phase::Events(VecDeque::new());
                    // The permit of the snapshot is the last one taken.
                    self.permits.pop();
                    let end = Wire::SnapshotEnd(v1::SnapshotEnd {
                        invalidated_count: count,
                    });
                    return Ok(Some(self.stream_message(end, self.covered)));
                }
            }
        }
        if self.shared.stop.is_cancelled() {
            self.close(ErrorReason::ShuttingDown, "this replica is shutting down");
            return Ok(None);
        }
        let Some(dead) = phase.page.pop_front() else {
            return Ok(None);
        };
        let event = Wire::CredentialInvalidated(to_invalidated(&dead, true));
        Ok(Some(self.snapshot_message_of(event)))
    }

    /// The next event or heartbeat; `None` where there was nothing to say yet.
    async fn event_message(&mut self) -> Result<Option<Encoded>, ApiError> {
        let Phase::Events(batch) = &mut self.phase else {
            return Ok(None);
        };
        while let Some(event) = batch.pop_front() {
            if self.wanted.filter.admits(&event.body) {
                return Ok(Some(self.of_event(&event)));
            }
        }
        if self.shared.stop.is_cancelled() {
            self.close(ErrorReason::ShuttingDown, "this replica is shutting down");
            return Ok(None);
        }
        let now = Instant::now();
        if now >= self.ends_at {
            self.close(
                ErrorReason::StreamRotated,
                "the stream reached its age limit",
            );
            return Ok(None);
        }
        let events = self.reader.next_batch().await;
        match events {
            Ok(events) if !events.is_empty() => {
                if let Phase::Events(batch) = &mut self.phase {
                    batch.extend(events);
                }
                return Ok(None);
            }
            Ok(_) => {}
            Err(ReadError::Store(_)) => self.wait_until(now + RETRY).await,
            Err(error) => return Err(read_error(error)),
        }
        let unread_for = self.unread_for();
        if unread_for > self.shared.limits.unreachable_after {
            let why = "this replica cannot read the event log";
            self.close(ErrorReason::EventLogUnreachable, why);
            return Ok(None);
        }
        if now >= self.heartbeat_at && unread_for <= self.shared.limits.stale_after {
            let position = self.reader.position();
            let heartbeat = Wire::Heartbeat(v1::Heartbeat {});
            return Ok(Some(self.stream_message(heartbeat, position)));
        }
        let wake = if now >= self.heartbeat_at {
            // The heartbeat is overdue because the log is not read; look again soon.
            now + Duration::from_millis(500)
        } else {
            self.heartbeat_at
        };
        let ends_at = self.standing.ends_at().unwrap_or(self.ends_at);
        self.wait(wake.min(self.ends_at).min(ends_at)).await;
        Ok(None)
    }

    /// Waits until the tail has read further or has stopped, rights have changed, or `moment` at the latest; perhaps less
    /// long.
    async fn wait(&mut self, moment: Instant) {
        self.set_timer(moment);
        let is_due = || self.standing.has_changed();
        tokio::select! {
            () = self.reader.changed(is_due) => {}
            () = &mut self.timer => {}
        }
    }

    /// Waits until `moment`; perhaps less long.
    async fn wait_until(&mut self, moment: Instant) {
        self.set_timer(moment);
        (&mut self.timer).await;
    }

    fn set_timer(&mut self, moment: Instant) {
        if self.timer.is_elapsed() || self.timer.deadline() > moment {
            self.timer.as_mut().reset(moment);
        }
    }

    /// How long ago this replica last read the log.
    fn unread_for(&self) -> Duration {
        self.reader.head().read_at.elapsed()
    }

    fn of_event(&mut self, event: &Event) -> Encoded {
        let covers = (self.covered, event.seq);
        self.covered = event.seq;
        let deliveries = &self.shared.deliveries;
        let delivery = deliveries.of(self.reader.epoch(), event, self.filter);
        message::of_event(&delivery, covers)
    }

    fn stream_message(&mut self, event: Wire, to: u64) -> Encoded {
        let covers = (self.covered, to);
        self.covered = to;
        message::of_stream(event, self.cursor(to), covers, self.shared.clock.now())
    }

    fn cursor(&self, seq: u64) -> String {
        let deliveries = &self.shared.deliveries;
        deliveries.cursor(self.reader.epoch(), seq, self.filter)
    }

    fn close(&mut self, reason: ErrorReason, why: &str) {
        let error = ApiError::new(reason, why).retry_after(message::reconnect_after());
        count_end(&error);
        self.ending.because(error.reason_name());
        self.phase = Phase::Closing {
            error: Box::new(error),
            in_snapshot: matches!(self.phase, Phase::Snapshot(_)),
        };
    }

    /// `None` if nothing is about to be closed.
    fn closing_message(&mut self) -> Option<Encoded> {
        let Phase::Closing { error, in_snapshot } =
            std::mem::replace(&mut self.phase, Phase::Ended)
        else {
            return None;
        };
        let closing = message::closing(error.reason(), error.wait().unwrap_or_default());
        self.phase = Phase::Ending(error);
        if in_snapshot {
            return Some(self.snapshot_message_of(closing));
        }
        Some(self.stream_message(closing, self.covered))
    }

    /// No cursor before the snapshot's end: who resumes with nothing gets the snapshot again, whole.
    fn snapshot_message_of(&self, event: Wire) -> Encoded {
        let covers = (self.covered, self.covered);
        message::of_stream(event, String::new(), covers, self.shared.clock.now())
    }
}

fn read_error(error: ReadError) -> ApiError {
    let message = error.to_string();
    match error {
        ReadError::Expired { .. } => ApiError::new(ErrorReason::CursorExpired, message),
        ReadError::EpochChanged => ApiError::new(ErrorReason::CursorEpochMismatch, message),
        ReadError::Store(error) => store_error(&error),
    }
}

fn count_end(error: &ApiError) {
    metrics::counter!("evergrant_stream_ends_total", "reason" => error.reason_name()).increment(1);
}

/// Counts a stream as open for as long as it lives.
struct OpenGauge;

impl OpenGauge {
    fn raise() -> Self {
        metrics::gauge!("evergrant_streams_open").increment(1.0);
        Self
    }
}

impl Drop for OpenGauge {
    fn drop(&mut self) {
        metrics::gauge!("evergrant_streams_open").decrement(1.0);
    }
}
