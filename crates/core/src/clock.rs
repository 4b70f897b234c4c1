//! The clock port: wall time is asked for, never taken.
//!
//! Wall time decides token expiry alone. How long a lease or a call still may take is measured with
//! [`tokio::time::Instant`], which no administrator sets back.

use std::fmt;
use std::time::Duration;

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This point plus `duration`; the far end of time instead of an overflow.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This point minus `duration`; the far beginning of time instead of an overflow.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How far this point lies after `earlier`; zero if it does not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Tells the time of day.
pub trait Clock: Send + Sync + 'static {
    /// The time now, by this machine's clock.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_differences_are_never_negative() {
        let t = Timestamp::from_millis(1_000);
        assert_eq!(
            t.plus(Duration::from_secs(1)),
            Timestamp::from_millis(2_000)
        );
        assert_eq!(
            t.minus(Duration::from_secs(2)),
            Timestamp::from_millis(-1_000)
        );
        assert_eq!(t.plus(Duration::MAX), Timestamp::from_millis(i64::MAX));
        assert_eq!(t.since(t.plus(Duration::from_secs(1))), Duration::ZERO);
        assert_eq!(
            t.plus(Duration::from_secs(1)).since(t),
            Duration::from_secs(1)
        );
    }
}
