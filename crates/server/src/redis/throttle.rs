//! Keeps a log readable while something fails all the time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(10);

/// Lets one message in ten seconds through, and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// Adds `count` happenings. If a message is due, how many happened since the last one, these included.
    pub(super) fn due(&self, count: u64) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.held_back += count;
        if state.last.is_some_and(|last| last.elapsed() < EVERY) {
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_message_in_ten_seconds_tells_of_all() {
        let throttle = Throttle::default();
        assert_eq!(throttle.due(1), Some(1));
        assert_eq!(throttle.due(1), None);
        assert_eq!(throttle.due(4), None);
        tokio::time::advance(EVERY).await;
        assert_eq!(throttle.due(1), Some(6));
        assert_eq!(throttle.due(1), None);
    }
}
