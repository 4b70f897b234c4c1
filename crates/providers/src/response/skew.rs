//! The difference between a provider's clock and ours, from the `Date` of its answer (RFC 9110 section 6.6.1).

use std::time::Duration;

use evergrant_core::clock::Timestamp;

use crate::catalogue::Entry;
use crate::client::Answer;

/// `Date` has whole seconds, and the answer took a while: what is smaller than this is no difference.
const SMALLEST: Duration = Duration::from_secs(2);
/// Of an assertion: most providers allow for more.
const TOLERATED: Duration = Duration::from_secs(30);
/// What is larger is no clock.
const LARGEST: Duration = Duration::from_secs(86_400);

/// By how many milliseconds the provider's clock is ahead of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skew(i64);

impl Skew {
    /// Both clocks show the same, as far as anybody knows.
    pub(super) const NONE: Self = Self(0);

    /// What an answer that was there at `now` says of it; none if it has no usable date. It is told as
    /// `evergrant_provider_clock_skew_seconds`.
    pub(crate) fn of(entry: &Entry, answer: &Answer, now: Timestamp) -> Self {
        let Some(date) = answer.date.as_deref().and_then(http_date) else {
            return Self::NONE;
        };
        let ahead = date.as_millis().saturating_sub(now.as_millis());
        let size = Duration::from_millis(ahead.unsigned_abs());
        let skew = match size {
            size if size < SMALLEST || size > LARGEST => Self::NONE,
            _ => Self(ahead),
        };
        let seconds = Duration::from_millis(skew.0.unsigned_abs()).as_secs_f64();
        metrics::gauge!(
            "evergrant_provider_clock_skew_seconds",
            "provider" => entry.name.to_string()
        )
        .set(seconds.copysign(if skew.0 < 0 { -1.0 } else { 1.0 }));
        skew
    }

    /// Whether what was signed for the provider at `signed_at`, as its clock was thought to show when ours showed `at`, was
    /// signed by a wrong clock. An answer takes a while, and providers put up with a little.
    pub(crate) fn belies(self, signed_at: Timestamp, at: Timestamp) -> bool {
        let shown = self.theirs(at);
        shown.since(signed_at).max(signed_at.since(shown)) > TOLERATED
    }

    /// The time that the provider's clock shows when ours shows `at`.
    pub(crate) fn theirs(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().saturating_add(self.0))
    }

    /// The time that our clock shows when the provider's shows `at`.
    pub(super) fn ours(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().saturating_sub(self.0))
    }
}

/// The date of a header (RFC 9110 section 5.6.7).
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).plus(since_epoch))
}
