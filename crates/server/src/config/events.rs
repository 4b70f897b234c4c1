//! `[events]`: how long events are kept, and what streams cost at most.

use std::time::Duration;

use super::defaults;
use super::error::ConfigError;
use super::print::Printer;
use super::section::Section;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Events and their streams.
#[derive(Debug, Clone)]
pub struct Events {
    /// How long an event is kept; at least 24 h.
    pub retention: Duration,
    /// Longest silence on a stream whose caller names none: 1 s to 5 min.
    pub heartbeat: Duration,
    /// After about this long a stream ends, so that callers spread over the replicas anew.
    pub stream_lifetime: Duration,
    /// Most streams of one replica.
    pub max_streams: u32,
    /// Most streams of one caller on one replica.
    pub max_streams_per_caller: u32,
    /// Most snapshots that one replica sends at once.
    pub max_snapshots: u32,
}

impl Events {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let day = 24 * HOUR;
        let events = Self {
            retention: section.bounded("retention", defaults::RETENTION, &(day..=3_650 * day))?,
            heartbeat: section.bounded("heartbeat", defaults::HEARTBEAT, &(SECOND..=5 * MINUTE))?,
            stream_lifetime: section.bounded(
                "stream_lifetime",
                defaults::STREAM_LIFETIME,
                &(MINUTE..=day),
            )?,
            max_streams: section.count("max_streams", defaults::MAX_STREAMS, 1..=1_000_000)?,
            max_streams_per_caller: section.count(
                "max_streams_per_caller",
                defaults::MAX_STREAMS_PER_CALLER,
                1..=1_000_000,
            )?,
            max_snapshots: section.count("max_snapshots", defaults::MAX_SNAPSHOTS, 1..=1_000)?,
        };
        section.finish()?;
        Ok(events)
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            retention,
            heartbeat,
            stream_lifetime,
            max_streams,
            max_streams_per_caller,
            max_snapshots,
        } = self;
        out.section("[events]");
        out.duration("retention", *retention);
        out.duration("heartbeat", *heartbeat);
        out.duration("stream_lifetime", *stream_lifetime);
        out.raw("max_streams", max_streams);
        out.raw("max_streams_per_caller", max_streams_per_caller);
        out.raw("max_snapshots", max_snapshots);
    }
}
