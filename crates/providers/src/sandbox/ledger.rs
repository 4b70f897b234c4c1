//! The ledger: everything that reached the sandbox, in one total order.
//!
//! One counter numbers arrivals, decisions, answers and departures alike, so any two of them can be compared.
//! It is the ground truth that checks of other systems are held against, see [`Ledger::violations`].

use std::collections::VecDeque;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::mode::RotationMode;
use super::refusal::{Dialect, Refusal};
use super::token::Fingerprint;

/// Where a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /token`, `POST /slack/token`, or a token endpoint below `/as/`.
    #[default]
    Token,
    /// `POST /revoke`.
    Revoke,
    /// `POST /introspect`.
    Introspect,
    /// `GET /resource`, or the userinfo endpoint of a provider that is played.
    Resource,
    /// `POST /device_authorization`.
    Device,
    /// The control API made or revoked a grant.
    Control,
}

/// What was decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// New tokens were issued.
    Issued,
    /// The tokens issued before were given once more (grace).
    Replayed,
    /// A grant or a token was revoked.
    Revoked,
    /// The request was answered and changed nothing.
    Answered,
    /// The request was refused, see [`Entry::refusal`].
    Refused,
    /// A fault ended the request before it was processed; it changed nothing.
    Intercepted,
}

/// One request, from its arrival to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of its arrival, and its name.
    pub sequence: u64,
    /// Number of the decision: refresh tokens are spent and issued here.
    pub processed: Option<u64>,
    /// Number of its end: its answer was handed to the connection, or the connection was closed instead.
    pub ended: Option<u64>,
    /// Number of the moment when its client was found gone before there was an answer.
    pub client_left: Option<u64>,
    /// Arrival in milliseconds since the sandbox started, by the monotonic clock.
    pub elapsed_ms: u64,
    /// Arrival in milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// Where it went.
    pub endpoint: Endpoint,
    /// How that endpoint speaks.
    pub dialect: Dialect,
    /// The provider that was played.
    #[serde(default)]
    pub provider: Option<String>,
    /// The grant that it is about, if its token is known.
    pub family: Option<String>,
    /// That grant's rotation mode.
    pub mode: Option<RotationMode>,
    /// The refresh token that was presented.
    pub refresh_token: Option<Fingerprint>,
    /// Number of the entry that issued the presented refresh token.
    pub parent: Option<u64>,
    /// What was decided; `None` while nothing is.
    pub outcome: Option<Outcome>,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
    /// The access token that was issued.
    pub issued_access_token: Option<Fingerprint>,
    /// The refresh token that was issued; the presented one where none is new.
    pub issued_refresh_token: Option<Fingerprint>,
    /// HTTP status of the answer; `None` if the connection was closed without one.
    pub status: Option<u16>,
    /// Whether a whole answer was handed to the connection.
    pub delivered: bool,
    /// Kinds of the faults that were applied to it.
    pub faults: Vec<String>,
}

impl Entry {
    /// When the request was no longer in flight, as its client sees it.
    pub fn over(&self) -> Option<u64> {
        match (self.ended, self.client_left) {
            (Some(ended), Some(left)) => Some(ended.min(left)),
            (ended, left) => ended.or(left),
        }
    }

    fn last_change(&self) -> u64 {
        [self.processed, self.ended, self.client_left]
            .into_iter()
            .flatten()
            .fold(self.sequence, u64::max)
    }
}

/// A copy of the ledger, ordered by arrival.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The highest number given so far: pass it as `since` to get what changed after it.
    pub last: u64,
    /// The requests.
    pub entries: Vec<Entry>,
    /// How many earlier requests are no longer there: of more than 100,000 the oldest that are over are forgotten, so that
    /// what is said of all of them holds for those that are left alone.
    #[serde(default)]
    pub forgotten: u64,
}

const MOST_ENTRIES: usize = 100_000;

/// Writes the ledger.
pub(super) struct Recorder {
    entries: VecDeque<Entry>,
    forgotten: u64,
    last: u64,
    started: Instant,
    started_wall_ms: i64,
}

impl Recorder {
    pub(super) fn start() -> Self {
        Self {
            entries: VecDeque::new(),
            forgotten: 0,
            last: 0,
            started: Instant::now(),
            started_wall_ms: wall_ms(),
        }
    }

    /// Opens an entry and returns its number.
    pub(super) fn open(&mut self, endpoint: Endpoint, dialect: Dialect) -> u64 {
        if self.entries.len() >= MOST_ENTRIES {
            self.forget();
        }
        let sequence = self.next();
        let elapsed = self.started.elapsed();
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.entries.push_back(Entry {
            sequence,
            processed: None,
            ended: None,
            client_left: None,
            elapsed_ms,
            wall_ms: self.wall_ms_at(elapsed_ms),
            endpoint,
            dialect,
            provider: None,
            family: None,
            mode: None,
            refresh_token: None,
            parent: None,
            outcome: None,
            refusal: None,
            issued_access_token: None,
            issued_refresh_token: None,
            status: None,
            delivered: false,
            faults: Vec::new(),
        });
        sequence
    }

    /// The next number of the total order.
    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The entry of a request that is not over.
    pub(super) fn entry(&mut self, sequence: u64) -> &mut Entry {
        self.find(sequence).expect(
            "entries are opened before they are written to, and forgotten when they are over",
        )
    }

    /// The entry of a request, unless it is forgotten.
    pub(super) fn find(&mut self, sequence: u64) -> Option<&mut Entry> {
        let place = |entry: &Entry| entry.sequence;
        let index = self.entries.binary_search_by_key(&sequence, place).ok()?;
        self.entries.get_mut(index)
    }

    /// Forgets those of the oldest eighth that are over.
    fn forget(&mut self) {
        let before = self.entries.len();
        let kept_from = self.entries[before / 8].sequence;
        self.entries
            .retain(|entry| entry.ended.is_none() || entry.sequence >= kept_from);
        self.forgotten += (before - self.entries.len()) as u64;
    }

    /// Entries that are new or have changed after number `since`.
    pub(super) fn since(&self, since: u64) -> Ledger {
        let changed = self
            .entries
            .iter()
            .filter(|entry| entry.last_change() > since);
        Ledger {
            last: self.last,
            entries: changed.cloned().collect(),
            forgotten: self.forgotten,
        }
    }

    /// Milliseconds since the Unix epoch now.
    pub(super) fn now_ms(&self) -> i64 {
        self.wall_ms_at(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn wall_ms_at(&self, elapsed_ms: u64) -> i64 {
        self.started_wall_ms.saturating_add_unsigned(elapsed_ms)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox plays another party, whose clock is its own"
)]
fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_requests_the_oldest_that_are_over_are_forgotten_and_counted() {
        let mut recorder = Recorder::start();
        let open = |recorder: &mut Recorder| recorder.open(Endpoint::Token, Dialect::Rfc6749);
        let in_flight = open(&mut recorder);
        for _ in 0..MOST_ENTRIES {
            let sequence = open(&mut recorder);
            let number = recorder.next();
            recorder.entry(sequence).ended = Some(number);
        }
        let ledger = recorder.since(0);
        assert!(ledger.entries.len() <= MOST_ENTRIES);
        let all = MOST_ENTRIES as u64 + 1;
        assert_eq!(ledger.forgotten + ledger.entries.len() as u64, all);
        assert!(recorder.find(in_flight + 1).is_none());
        recorder.entry(in_flight).delivered = true;
        assert_eq!(recorder.since(0).entries[0].sequence, in_flight);
    }
}
