//! What a page that was read from the log says of the log.

use super::{Event, LogEpoch, LogPosition};

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// The events that follow, none missing.
    Next,
    /// The log is another one, or was restored from a backup.
    Replaced,
    /// Events that were not read yet are no longer kept.
    Pruned,
    /// Events are missing, or the log reaches less far than it did.
    Broken,
}

impl Page {
    /// Judges the events that were read after number `after` of the log of `epoch`. `position` was read after
    /// them, so it may be ahead; `reached` is how far the log was known to reach before. `full`: whether there
    /// may be more.
    pub(super) fn judge(
        events: &[Event],
        full: bool,
        position: &LogPosition,
        epoch: &LogEpoch,
        after: u64,
        reached: u64,
    ) -> Self {
        if position.epoch != *epoch {
            return Self::Replaced;
        }
        let is_dense = (after + 1..)
            .zip(events)
            .all(|(seq, event)| event.seq == seq);
        let last = events.last().map_or(after, |event| event.seq);
        if is_dense && position.head >= last && (full || last >= reached) {
            Self::Next
        } else if position.floor > after && position.head >= position.floor {
            Self::Pruned
        } else {
            Self::Broken
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::events::{ClientRecovered, EventBody};
    use crate::ids::{ClientKey, ClientName, ProviderName};

    fn event(seq: u64) -> Event {
        Event {
            seq,
            at: Timestamp::from_millis(0),
            body: EventBody::ClientRecovered(ClientRecovered {
                client: ClientKey {
                    provider: ProviderName::parse("slack").unwrap(),
                    client: ClientName::parse("main").unwrap(),
                },
            }),
        }
    }

    fn epoch(name: &str) -> LogEpoch {
        LogEpoch(name.into())
    }

    /// Judges a page of events `seqs` after 10, read from a log that was known to reach `reached`.
    fn judge(seqs: &[u64], reached: u64, head: u64, floor: u64) -> Page {
        let events: Vec<_> = seqs.iter().map(|seq| event(*seq)).collect();
        let position = LogPosition {
            epoch: epoch("one"),
            head,
            floor,
        };
        Page::judge(&events, false, &position, &epoch("one"), 10, reached)
    }

    #[test]
    fn a_log_that_grew_after_its_page_was_read_has_no_hole() {
        assert_eq!(judge(&[11, 12], 10, 15, 0), Page::Next);
        assert_eq!(judge(&[], 10, 11, 0), Page::Next);
        assert_eq!(judge(&[11, 12], 12, 12, 12), Page::Next);
    }

    #[test]
    fn an_event_that_was_there_and_is_not_is_a_hole() {
        assert_eq!(judge(&[11, 13], 10, 13, 0), Page::Broken);
        assert_eq!(judge(&[12], 10, 12, 0), Page::Broken);
        assert_eq!(judge(&[11, 12], 15, 15, 0), Page::Broken, "at its end");
        assert_eq!(judge(&[], 10, 9, 0), Page::Broken, "the log is shorter");
        assert_eq!(judge(&[], 10, 9, 12), Page::Broken, "the log is shorter");
    }

    #[test]
    fn a_full_page_says_nothing_of_what_comes_after_it() {
        let position = LogPosition {
            epoch: epoch("one"),
            head: 99,
            floor: 0,
        };
        let judged = Page::judge(&[event(11)], true, &position, &epoch("one"), 10, 99);
        assert_eq!(judged, Page::Next);
    }

    #[test]
    fn what_was_pruned_is_no_hole() {
        assert_eq!(judge(&[14, 15], 15, 15, 13), Page::Pruned);
        assert_eq!(judge(&[], 15, 15, 15), Page::Pruned);
    }

    #[test]
    fn another_epoch_is_another_log() {
        let position = LogPosition {
            epoch: epoch("two"),
            head: 11,
            floor: 0,
        };
        let judged = Page::judge(&[event(11)], false, &position, &epoch("one"), 10, 10);
        assert_eq!(judged, Page::Replaced);
    }
}
