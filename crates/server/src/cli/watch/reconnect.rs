//! What to do when a stream ends, and how long to wait before it.

use std::time::Duration;

use tonic::{Code, Status};

use crate::cli::status_line::reason;

const BASE: Duration = Duration::from_millis(200);
const CAP: Duration = Duration::from_secs(30);
/// A stream that had a message after this long was a good one.
const PROVEN: Duration = Duration::from_mins(1);

/// What the end of a stream asks of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Connect again with the last cursor.
    Reconnect,
    /// What the reader showed has ended. If it was good before, connect again with what is good now.
    Renew,
    /// Connect again without a cursor and take the snapshot.
    Snapshot,
    /// The request itself is refused.
    GiveUp,
}

/// Reads the end of a stream as `event_service.proto` lays it down. A status without a reason of ours comes from
/// the transport, whatever its code; an unknown reason is judged by its code.
pub fn step(status: &Status) -> Step {
    match reason(status).as_deref() {
        Some("CURSOR_EXPIRED" | "CURSOR_EPOCH_MISMATCH" | "FILTER_CHANGED") => Step::Snapshot,
        Some("SLOW_CONSUMER") => Step::Reconnect,
        Some("UNAUTHENTICATED") => Step::Renew,
        Some(_) => match status.code() {
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::DeadlineExceeded => Step::Reconnect,
            _ => Step::GiveUp,
        },
        None => match status.code() {
            Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented => Step::GiveUp,
            _ => Step::Reconnect,
        },
    }
}

/// Full jitter: any time up to 200 ms, doubled with each failure in a row up to 30 s.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after a stream whose last message came when it was `lived` old, if one came at all.
    /// `hint` is what the server asked for. It is enough after a stream that worked; after one that did not,
    /// the wait is not shorter than the back-off.
    pub fn delay(&mut self, hint: Option<Duration>, lived: Option<Duration>) -> Duration {
        if lived.is_some_and(|lived| lived >= PROVEN) {
            self.failures = 0;
        }
        if let (Some(hint), true) = (hint, lived.is_some()) {
            return hint;
        }
        let most = BASE.saturating_mul(1 << self.failures.min(10)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(fastrand::f64()).max(hint.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn refused(code: Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(
            reason,
            "evergrant.v1",
            std::collections::HashMap::<String, String>::new(),
        );
        Status::with_error_details(code, "", details)
    }

    #[test]
    fn each_reason_has_the_step_that_the_contract_names() {
        for (code, reason, expected) in [
            (Code::Unavailable, "STREAM_ROTATED", Step::Reconnect),
            (Code::Unavailable, "SHUTTING_DOWN", Step::Reconnect),
            (Code::Unavailable, "EVENT_LOG_UNREACHABLE", Step::Reconnect),
            (Code::Aborted, "SLOW_CONSUMER", Step::Reconnect),
            (Code::ResourceExhausted, "STREAM_LIMIT", Step::Reconnect),
            (
                Code::ResourceExhausted,
                "CALLER_RATE_LIMITED",
                Step::Reconnect,
            ),
            (Code::OutOfRange, "CURSOR_EXPIRED", Step::Snapshot),
            (
                Code::FailedPrecondition,
                "CURSOR_EPOCH_MISMATCH",
                Step::Snapshot,
            ),
            (Code::FailedPrecondition, "FILTER_CHANGED", Step::Snapshot),
            (Code::InvalidArgument, "INVALID_REQUEST", Step::GiveUp),
            (Code::Unauthenticated, "UNAUTHENTICATED", Step::Renew),
            (Code::Unavailable, "ISSUER_UNAVAILABLE", Step::Reconnect),
            (Code::PermissionDenied, "PERMISSION_DENIED", Step::GiveUp),
        ] {
            assert_eq!(step(&refused(code, reason)), expected, "{reason}");
        }
    }

    #[test]
    fn an_error_of_the_transport_means_connect_again() {
        for code in [
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::Cancelled,
        ] {
            assert_eq!(
                step(&Status::new(code, "h2 protocol error")),
                Step::Reconnect
            );
        }
        assert_eq!(step(&Status::unimplemented("")), Step::GiveUp);
    }

    #[test]
    fn the_wait_grows_with_failures_to_its_cap_and_begins_anew_after_a_good_stream() {
        let longest = |backoff: &mut Backoff| {
            let failures = backoff.failures;
            let delays = (0..200).map(|_| {
                backoff.failures = failures;
                backoff.delay(None, None)
            });
            delays.max().unwrap()
        };
        let mut backoff = Backoff::default();
        let ranges = [(100, 200), (200, 400), (400, 800)];
        for (least, most) in
            ranges.map(|(a, b)| (Duration::from_millis(a), Duration::from_millis(b)))
        {
            let longest = longest(&mut backoff);
            assert!(least < longest && longest <= most, "{longest:?}");
        }
        backoff.failures = u32::MAX;
        assert!(longest(&mut backoff) <= CAP);
        assert!(backoff.delay(None, Some(PROVEN)) <= BASE);
    }

    #[test]
    fn a_hint_is_enough_after_a_stream_that_worked_and_a_floor_after_one_that_did_not() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::default();
        assert_eq!(
            backoff.delay(Some(Duration::ZERO), Some(second)),
            Duration::ZERO
        );
        assert!(backoff.delay(Some(second), None) >= second);
        assert_eq!(backoff.failures, 1);
    }
}
