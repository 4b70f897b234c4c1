//! The messages of a stream, encoded from parts.

use std::time::Duration;

use bytes::Bytes;
use evergrant_core::clock::Timestamp;
use evergrant_core::events::{Event, LogEpoch};
use evergrant_proto::encoded::Encoded;
use evergrant_proto::v1::watch_response::Event as Wire;
use evergrant_proto::v1::{self, ErrorReason};
use prost::Message as _;

use super::delivery::Delivery;
use crate::grpc::convert::event::to_event;
use crate::grpc::convert::{to_duration, to_timestamp};
use crate::grpc::status::reason_name;

/// How long a client is asked to wait before it connects again: full jitter over 5 s, so that the streams of a
/// replica that goes do not all arrive at the next one at once.
pub fn reconnect_after() -> Duration {
    Duration::from_millis(fastrand::u64(0..5_000))
}

/// What the message of an event has in common on all streams.
pub fn shared(epoch: &LogEpoch, event: &Event) -> Bytes {
    let message = v1::WatchResponse {
        event_id: format!("{}-{}", epoch.0, event.seq),
        event_time: Some(to_timestamp(event.at)),
        event: Some(to_event(&event.body)),
        ..v1::WatchResponse::default()
    };
    Bytes::from(message.encode_to_vec())
}

/// The message of an event on one stream.
pub fn of_event(delivery: &Delivery, covers: (u64, u64)) -> Encoded {
    Encoded {
        shared: delivery.event.clone(),
        own: place(delivery.cursor.clone(), covers).encode_to_vec(),
    }
}

/// A message that is no event of the log.
pub fn of_stream(event: Wire, cursor: String, covers: (u64, u64), at: Timestamp) -> Encoded {
    Encoded::whole(&v1::WatchResponse {
        event: Some(event),
        event_time: Some(to_timestamp(at)),
        ..place(cursor, covers)
    })
}

/// The message before a stream ends.
pub fn closing(reason: ErrorReason, wait: Duration) -> Wire {
    Wire::Closing(v1::Closing {
        reason: reason_name(reason).to_owned(),
        reconnect_after: Some(to_duration(wait)),
    })
}

fn place(cursor: String, (covers_after, covers_to): (u64, u64)) -> v1::WatchResponse {
    v1::WatchResponse {
        cursor,
        covers_after,
        covers_to,
        ..v1::WatchResponse::default()
    }
}
