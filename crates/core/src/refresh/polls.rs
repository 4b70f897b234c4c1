//! How long who waits for another's attempt goes without a look when no notice comes.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(1);
/// Keeps a lock that is about to end from being asked for again and again.
const SHORTEST: Duration = Duration::from_millis(10);

/// Waits of one flight, each twice as long as the one before, up to a second.
pub(super) struct Polls(Duration);

impl Polls {
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    /// How long to wait now. `left`: for how long somebody else may still hold the lock, if somebody does.
    pub(super) fn next(&mut self, left: Option<Duration>) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LAST);
        left.map_or(wait, |left| wait.min(left.max(SHORTEST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_second_and_none_is_longer_than_the_lock() {
        let mut polls = Polls::new();
        let waits = [100, 200, 400, 800, 1_000, 1_000].map(Duration::from_millis);
        assert_eq!(waits.map(|_| polls.next(None)), waits);
        let left = Duration::from_millis(300);
        assert_eq!(polls.next(Some(left)), left);
        assert_eq!(polls.next(Some(Duration::ZERO)), SHORTEST);
        assert_eq!(polls.next(Some(LAST * 9)), LAST);
    }
}
