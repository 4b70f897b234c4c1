//! What must hold of every ledger, whoever the clients were: checks for tests and trials.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ledger::{Endpoint, Entry, Ledger, Outcome};
use super::token::Fingerprint;

/// Something in a ledger that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "violation", rename_all = "snake_case")]
pub enum Violation {
    /// A single-use refresh token brought new tokens more than once: the sandbox itself is broken.
    SpentTwice {
        /// The refresh token.
        refresh_token: Fingerprint,
        /// Numbers of the requests that succeeded.
        requests: Vec<u64>,
    },
    /// Two requests with the same refresh token were in flight at once (R3).
    Overlap {
        /// The refresh token.
        refresh_token: Fingerprint,
        /// Number of the request that arrived first.
        first: u64,
        /// Number of the one that arrived before the first was over.
        second: u64,
    },
    /// More requests with the same single-use refresh token than allowed (R2 with a limit of 1, R4).
    TooManyCalls {
        /// The refresh token.
        refresh_token: Fingerprint,
        /// Numbers of the requests.
        requests: Vec<u64>,
        /// How many were allowed.
        limit: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpentTwice {
                refresh_token,
                requests,
            } => {
                write!(
                    f,
                    "refresh token {refresh_token} brought new tokens in requests {requests:?}"
                )
            }
            Self::Overlap {
                refresh_token,
                first,
                second,
            } => {
                write!(
                    f,
                    "requests {first} and {second} with refresh token {refresh_token} were in flight at once"
                )
            }
            Self::TooManyCalls {
                refresh_token,
                requests,
                limit,
            } => {
                write!(
                    f,
                    "refresh token {refresh_token} was presented in requests {requests:?}, {limit} allowed"
                )
            }
        }
    }
}

impl Ledger {
    /// Everything that is wrong in any run without a process paused beyond its lease: single-use tokens that
    /// brought tokens twice, and overlapping requests with one refresh token.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = self.spent_twice();
        found.extend(self.overlaps());
        found
    }

    /// Single-use refresh tokens that brought new tokens more than once.
    pub fn spent_twice(&self) -> Vec<Violation> {
        let successes = by_refresh_token(self.token_requests().filter(|entry| {
            entry.outcome == Some(Outcome::Issued)
                && entry.mode.is_some_and(|mode| mode.is_single_use())
        }));
        let mut found = Vec::new();
        for (refresh_token, entries) in successes {
            if entries.len() > 1 {
                let requests = numbers(&entries);
                found.push(Violation::SpentTwice {
                    refresh_token,
                    requests,
                });
            }
        }
        found
    }

    /// Requests with the same refresh token that were in flight at once (R3). A request is over for this purpose
    /// once it was answered or its client was gone.
    pub fn overlaps(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for (refresh_token, entries) in by_refresh_token(self.token_requests()) {
            let mut longest: Option<&Entry> = None;
            for second in entries {
                if let Some(first) = longest.filter(|first| still_on(first, second.sequence)) {
                    found.push(Violation::Overlap {
                        refresh_token: refresh_token.clone(),
                        first: first.sequence,
                        second: second.sequence,
                    });
                }
                if longest.is_none_or(|first| end(first) < end(second)) {
                    longest = Some(second);
                }
            }
        }
        found
    }

    /// Refresh tokens of single-use modes that more than `limit` requests presented (R2: 1; R4: 1 and what
    /// retries and crashes allow). In other modes the same token is rightly used again and again.
    pub fn calls_beyond(&self, limit: usize) -> Vec<Violation> {
        let mut found = Vec::new();
        for (refresh_token, requests) in self.calls_per_refresh_token() {
            if requests.len() > limit {
                found.push(Violation::TooManyCalls {
                    refresh_token,
                    requests,
                    limit,
                });
            }
        }
        found
    }

    /// Numbers of the token requests that presented each refresh token of a single-use mode.
    pub fn calls_per_refresh_token(&self) -> BTreeMap<Fingerprint, Vec<u64>> {
        let single_use = |entry: &&Entry| entry.mode.is_some_and(|mode| mode.is_single_use());
        by_refresh_token(self.token_requests().filter(single_use))
            .into_iter()
            .map(|(token, entries)| (token, numbers(&entries)))
            .collect()
    }

    /// Requests that spent a refresh token and whose answer never reached a client as a whole: after these, and
    /// only these, a client may rightly find its grant lost.
    pub fn lost_rotations(&self) -> Vec<&Entry> {
        self.token_requests()
            .filter(|entry| entry.mode.is_some_and(|mode| mode.is_single_use()))
            .filter(|entry| entry.outcome == Some(Outcome::Issued))
            .filter(|entry| {
                entry.ended.is_some() && (!entry.delivered || entry.client_left.is_some())
            })
            .collect()
    }

    /// Requests to the token endpoint, in order of arrival.
    pub fn token_requests(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.endpoint == Endpoint::Token)
    }
}

fn by_refresh_token<'a>(
    entries: impl Iterator<Item = &'a Entry>,
) -> BTreeMap<Fingerprint, Vec<&'a Entry>> {
    let mut grouped: BTreeMap<Fingerprint, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        if let Some(token) = &entry.refresh_token {
            grouped.entry(token.clone()).or_default().push(entry);
        }
    }
    grouped
}

fn numbers(entries: &[&Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.sequence).collect()
}

fn end(entry: &Entry) -> u64 {
    entry.over().unwrap_or(u64::MAX)
}

fn still_on(entry: &Entry, at: u64) -> bool {
    end(entry) > at
}

#[cfg(test)]
mod tests;
