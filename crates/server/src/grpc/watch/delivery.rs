//! What the message of an event has in common on all streams of one filter, made once.

use std::sync::Arc;

use bytes::Bytes;
use evergrant_core::clock::Clock;
use evergrant_core::events::filter::Fingerprint;
use evergrant_core::events::{Event, LogEpoch};
use quick_cache::sync::Cache;

use super::message;
use crate::grpc::cursor::{Cursor, CursorCodec, epoch_hash};

/// Streams that keep up ask for the same few events within moments; the others pay for themselves.
const REMEMBERED: usize = 1_024;

/// Encodes events and makes their cursors.
pub(super) struct Deliveries {
    cursors: CursorCodec,
    clock: Arc<dyn Clock>,
    remembered: Cache<(LogEpoch, u64, Fingerprint), Arc<Delivery>>,
}

/// An event for streams of one filter.
pub(super) struct Delivery {
    /// The event, encoded.
    pub(super) event: Bytes,
    /// The place right after it.
    pub(super) cursor: String,
}

impl Deliveries {
    pub(super) fn new(cursors: CursorCodec, clock: Arc<dyn Clock>) -> Self {
        Self {
            cursors,
            clock,
            remembered: Cache::new(REMEMBERED),
        }
    }

    /// The event for a stream of this filter.
    pub(super) fn of(&self, epoch: &LogEpoch, event: &Event, filter: Fingerprint) -> Arc<Delivery> {
        let key = (epoch.clone(), event.seq, filter);
        if let Some(known) = self.remembered.get(&key) {
            return known;
        }
        let made = Arc::new(Delivery {
            event: message::shared(epoch, event),
            cursor: self.cursor(epoch, event.seq, filter),
        });
        self.remembered.insert(key, Arc::clone(&made));
        made
    }

    /// A cursor of this log, issued now.
    pub(super) fn cursor(&self, epoch: &LogEpoch, seq: u64, filter: Fingerprint) -> String {
        self.cursors.encode(&Cursor {
            epoch: epoch_hash(epoch),
            seq,
            filter,
            issued_at: self.clock.now(),
        })
    }

    /// The codec of all cursors of this store.
    pub(super) fn cursors(&self) -> &CursorCodec {
        &self.cursors
    }
}
