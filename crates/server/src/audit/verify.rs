//! Reading the trail from end to end, to find what somebody altered, removed or cut off.

use std::fmt;

use super::chain::{ChainKey, End, Link};
use super::record::{RECORDS_LOST, Record, TRAIL_ALTERED};
use crate::store::{AuditLog, AuditState};
use evergrant_core::store::StoreError;

const PAGE: u32 = 5_000;

/// What is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Records are not there.
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// The record of this number is not the one that was written there.
    Altered(u64),
    /// What is said of the end of the trail was not said by Evergrant.
    HeadAltered(u64),
    /// What is said of its beginning was not said by Evergrant.
    FloorAltered(u64),
    /// Records lie above the end of the trail, where Evergrant wrote none.
    Beyond {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// A record says that the trail was found altered when it was written.
    Told {
        /// Its number.
        number: u64,
        /// What was found.
        found: String,
    },
    /// Another record is in the place of the head that was expected.
    NotExpected(u64),
    /// The head that was expected is not kept any more, so that nothing shows whether it was there.
    ExpectedGone(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { first, last } if first == last => {
                write!(f, "record {first} is missing")
            }
            Self::Missing { first, last } => write!(f, "records {first} to {last} are missing"),
            Self::Altered(number) => write!(
                f,
                "record {number} was altered, or is another that was put in its place"
            ),
            Self::HeadAltered(number) => write!(
                f,
                "the end of the trail was altered: nothing shows that record {number} is the last"
            ),
            Self::FloorAltered(number) => write!(
                f,
                "the beginning of the trail was altered: nothing shows that it was pruned up to record {number}"
            ),
            Self::Beyond { first, last } => write!(
                f,
                "above the end of the trail are records, from {first} to {last}, that evergrant did not write"
            ),
            Self::Told { number, found } => write!(
                f,
                "record {number} says that the trail was altered before it: {found}"
            ),
            Self::NotExpected(number) => {
                write!(f, "record {number} is not the one that is expected there")
            }
            Self::ExpectedGone(number) => write!(
                f,
                "record {number}, which is expected, is not kept any more: nothing shows whether it was there"
            ),
        }
    }
}

impl Fault {
    /// The number that a look should begin at.
    pub fn number(&self) -> u64 {
        match self {
            Self::Missing { first, .. } | Self::Beyond { first, .. } => *first,
            Self::Altered(number)
            | Self::HeadAltered(number)
            | Self::FloorAltered(number)
            | Self::Told { number, .. }
            | Self::NotExpected(number)
            | Self::ExpectedGone(number) => *number,
        }
    }
}

/// What a reading found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// The last record that was pruned, or that is of a chain whose key was lost.
    pub floor: u64,
    /// The last record.
    pub head: Link,
    /// Records that were read.
    pub read: u64,
    /// What is wrong, by number.
    pub faults: Vec<Fault>,
    /// Records that found no room, as the trail itself tells.
    pub lost: u64,
}

impl Findings {
    /// Whether no record was ever written, and none is there.
    pub fn is_empty(&self) -> bool {
        self.head.number == 0 && self.read == 0 && self.faults.is_empty()
    }
}

/// Faults that are listed; further ones would say no more.
const LISTED: usize = 100;

/// Walks along a chain.
#[derive(Debug)]
pub struct Walk<'a> {
    key: &'a ChainKey,
    last: Link,
    findings: Findings,
    expected: Option<Link>,
    has_met_expected: bool,
}

impl<'a> Walk<'a> {
    /// Begins where the state says that the chain begins, or behind the record `behind` if that is later. `expected` must
    /// be in the trail.
    pub fn new(
        key: &'a ChainKey,
        state: &AuditState,
        behind: Option<Link>,
        expected: Option<Link>,
    ) -> Self {
        // A chain never begins above its end. Whoever says so is not to decide where the walk begins.
        let base = match state.base > state.head.number {
            true => 0,
            false => state.base,
        };
        let mut walk = Self {
            key,
            last: key.root(base),
            findings: Findings {
                floor: state.floor.number.max(base),
                head: state.head,
                read: 0,
                faults: Vec::new(),
                lost: 0,
            },
            expected,
            has_met_expected: false,
        };
        if base != state.base {
            walk.fault(Fault::FloorAltered(state.base));
        }
        walk.begin_above(state);
        if let Some(behind) = behind.filter(|behind| behind.number > walk.last.number) {
            walk.last = behind;
            walk.findings.floor = behind.number;
        }
        if let Some((first, last)) = state.beyond {
            walk.fault(Fault::Beyond { first, last });
        }
        if key.seal(End::Head, state.head) != state.head_seal {
            walk.fault(Fault::HeadAltered(state.head.number));
        }
        for known in [behind, expected].into_iter().flatten() {
            if known.number > state.head.number {
                walk.fault(Fault::NotExpected(known.number));
            }
        }
        walk.meet(walk.last);
        walk
    }

    /// Looks whether this is the record that is expected.
    fn meet(&mut self, link: Link) {
        let Some(expected) = self.expected.filter(|head| head.number == link.number) else {
            return;
        };
        self.has_met_expected = true;
        if expected.mac != link.mac {
            self.fault(Fault::NotExpected(link.number));
        }
    }

    /// Goes to the floor, if that is above the root.
    fn begin_above(&mut self, state: &AuditState) {
        if state.floor.number <= self.last.number {
            return;
        }
        if self.key.seal(End::Floor, state.floor) != state.floor_seal {
            self.fault(Fault::FloorAltered(state.floor.number));
        }
        self.last = state.floor;
        self.findings.floor = state.floor.number;
    }

    /// Where the walk is.
    pub fn place(&self) -> u64 {
        self.last.number
    }

    /// The next record.
    pub fn step(&mut self, record: &Record) {
        self.findings.read += 1;
        if record.number != self.last.number + 1 {
            self.fault(Fault::Missing {
                first: self.last.number + 1,
                last: record.number.saturating_sub(1),
            });
        } else if !self.key.admits(self.last, record) {
            self.fault(Fault::Altered(record.number));
        }
        // Behind a fault the walk goes on with what is there, so that the rest is looked at too.
        self.last = Link {
            number: record.number,
            mac: record.mac,
        };
        match record.content.action.as_str() {
            TRAIL_ALTERED => self.fault(Fault::Told {
                number: record.number,
                found: record.content.detail.clone(),
            }),
            RECORDS_LOST => {
                let lost = u64::try_from(record.content.count).unwrap_or_default();
                self.findings.lost += lost;
            }
            _ => {}
        }
        self.meet(self.last);
    }

    /// The end: `state` as it was at the beginning.
    pub fn end(mut self, state: &AuditState) -> Findings {
        if self.last.number < state.head.number {
            self.fault(Fault::Missing {
                first: self.last.number + 1,
                last: state.head.number,
            });
        } else if self.last.number == state.head.number && self.last.mac != state.head.mac {
            self.fault(Fault::HeadAltered(state.head.number));
        }
        let expected = self.expected.filter(|_| !self.has_met_expected);
        if let Some(gone) = expected.filter(|head| head.number <= state.head.number) {
            self.fault(Fault::ExpectedGone(gone.number));
        }
        self.findings
    }

    fn fault(&mut self, fault: Fault) {
        if self.findings.faults.len() < LISTED && !self.findings.faults.contains(&fault) {
            self.findings.faults.push(fault);
        }
    }
}

/// Reads all of `log` up to the head that it has now, page by page, or what is behind the record `behind`. Records may be
/// written and pruned meanwhile. `on_page` is told how far it is: the last number that was read, and the head's.
pub async fn verify(
    log: &AuditLog,
    behind: Option<Link>,
    expected: Option<Link>,
    mut on_page: impl FnMut(u64, u64),
) -> Result<Findings, StoreError> {
    let state = log.state().await?;
    let head = state.head.number;
    let key = log.key();
    let mut walk = Walk::new(&key, &state, behind, expected);
    while walk.place() < head {
        let mut page = log.records_after(walk.place(), PAGE).await?;
        page.retain(|record| record.number <= head);
        let first = page.first().map(|record| record.number);
        if first != Some(walk.place() + 1) {
            let now = log.state().await?;
            if now.floor.number > walk.place() {
                // Pruned while it was read.
                walk.begin_above(&now);
                continue;
            }
        }
        if page.is_empty() {
            break;
        }
        for record in &page {
            walk.step(record);
        }
        on_page(walk.place(), head);
    }
    Ok(walk.end(&state))
}

#[cfg(test)]
mod tests;
