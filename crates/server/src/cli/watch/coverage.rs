//! Proof that a stream left nothing out.

use evergrant_proto::v1::WatchResponse;

use crate::cli::exit::Failure;

/// Up to which event number a watch was covered. It outlives streams: one that goes on after a cursor must go on where
/// the one before it stopped.
#[derive(Debug, Default)]
pub struct Coverage {
    covered_to: Option<u64>,
}

impl Coverage {
    /// Takes note of what `message` covers; an error if events between it and the message before are missing.
    pub fn admit(&mut self, message: &WatchResponse) -> Result<(), Failure> {
        let (after, to) = (message.covers_after, message.covers_to);
        if let Some(covered) = self.covered_to.filter(|covered| *covered != after) {
            return Err(Failure::Other(format!(
                "gap in the event stream: covered up to event {covered}, \
                 but the next message covers from after event {after} to {to}"
            )));
        }
        if to < after {
            return Err(Failure::Other(format!(
                "the event stream runs backwards: a message covers from after event {after} to {to}"
            )));
        }
        self.covered_to = Some(to);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(ranges: &[(u64, u64)]) -> Result<(), String> {
        let mut coverage = Coverage::default();
        ranges.iter().try_for_each(|(covers_after, covers_to)| {
            let message = WatchResponse {
                covers_after: *covers_after,
                covers_to: *covers_to,
                ..Default::default()
            };
            coverage
                .admit(&message)
                .map_err(|failure| failure.to_string())
        })
    }

    #[test]
    fn ranges_that_join_have_no_gap() {
        assert_eq!(admit(&[(5, 5), (5, 9), (9, 9), (9, 10)]), Ok(()));
    }

    #[test]
    fn a_range_that_begins_later_or_earlier_is_a_gap() {
        for ranges in [[(0, 5), (6, 7)], [(0, 5), (4, 7)]] {
            let why = admit(&ranges).unwrap_err();
            assert!(
                why.starts_with("gap in the event stream: covered up to event 5"),
                "{why}"
            );
        }
    }

    #[test]
    fn a_range_that_runs_backwards_is_refused() {
        assert!(admit(&[(5, 4)]).unwrap_err().contains("runs backwards"));
    }
}
