//! Faults on request: what can be done to a call, and to which calls it is done.

use serde::{Deserialize, Serialize};

use super::ledger::Endpoint;

/// Before or after the moment that spends and issues tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// The request has arrived, and nothing is done yet.
    #[default]
    BeforeProcessing,
    /// Tokens are spent and issued, and no answer is sent yet.
    AfterProcessing,
}

/// What an answer says in the place of a sound `expires_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresIn {
    /// The field is left out.
    Missing,
    /// `0`
    Zero,
    /// The right number below zero.
    Negative,
    /// The right number as a string.
    String,
    /// `18446744073709551615`
    Huge,
    /// The right number and a half.
    Float,
}

/// One thing that is done to a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The call is held for a while.
    Delay {
        /// How long.
        milliseconds: u64,
        /// When; before processing by default.
        #[serde(default)]
        at: Point,
    },
    /// The connection is closed without an answer, and nothing was done.
    DropBeforeProcessing,
    /// Everything was done, and the connection is closed without an answer.
    DropAfterProcessing,
    /// The head and half of the body are sent, then the connection is closed.
    TruncateBody,
    /// The body is sent byte by byte.
    TrickleBody {
        /// Pause between two bytes.
        milliseconds: u64,
    },
    /// Another answer than the true one.
    Status {
        /// Its HTTP status, 200 to 599.
        status: u16,
        /// Its body; empty by default.
        #[serde(default)]
        body: String,
        /// Its content type; `text/html` by default.
        #[serde(default = "html")]
        content_type: String,
        /// In place of processing (default), or in place of the answer after it.
        #[serde(default)]
        at: Point,
    },
    /// HTTP 429, and nothing is done.
    RateLimit {
        /// What `Retry-After` asks for, at most a year; without it there is no such header.
        #[serde(default)]
        retry_after_seconds: Option<u64>,
        /// Whether `Retry-After` is an HTTP date instead of seconds.
        #[serde(default)]
        http_date: bool,
    },
    /// The client is refused although its secret is right, and nothing is done.
    InvalidClient,
    /// A good refresh token is refused now and then, and nothing is done.
    FlakyInvalidGrant {
        /// How likely, 0 to 1.
        probability: f64,
        /// Seed of the generator that decides.
        seed: u64,
    },
    /// The answer's `expires_in` is not what clients like to see.
    ExpiresIn {
        /// What it is.
        value: ExpiresIn,
    },
}

fn html() -> String {
    "text/html".to_owned()
}

const MAX_RETRY_AFTER_SECONDS: u64 = 365 * 24 * 3600;

impl Fault {
    /// The name in `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Delay { .. } => "delay",
            Self::DropBeforeProcessing => "drop_before_processing",
            Self::DropAfterProcessing => "drop_after_processing",
            Self::TruncateBody => "truncate_body",
            Self::TrickleBody { .. } => "trickle_body",
            Self::Status { .. } => "status",
            Self::RateLimit { .. } => "rate_limit",
            Self::InvalidClient => "invalid_client",
            Self::FlakyInvalidGrant { .. } => "flaky_invalid_grant",
            Self::ExpiresIn { .. } => "expires_in",
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Status { status, .. } if !(200..600).contains(status) => {
                Err("a fault's status must be 200 to 599")
            }
            Self::Status { content_type, .. }
                if http::HeaderValue::from_str(content_type).is_err() =>
            {
                Err("a fault's content type must be a header value")
            }
            Self::RateLimit {
                retry_after_seconds: Some(seconds),
                ..
            } if *seconds > MAX_RETRY_AFTER_SECONDS => {
                Err("a fault's retry_after_seconds must be at most a year")
            }
            Self::FlakyInvalidGrant { probability, .. } if !(0.0..=1.0).contains(probability) => {
                Err("a fault's probability must be 0 to 1")
            }
            _ => Ok(()),
        }
    }
}

/// Faults that are done together to the calls that match. Each call takes the first rule that matches it, so
/// rules queued one after the other strike one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What is done.
    pub faults: Vec<Fault>,
    /// Only to calls about this grant; to all by default.
    #[serde(default)]
    pub family: Option<String>,
    /// Only at this endpoint; the token endpoint by default.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// To how many calls; 1 by default.
    #[serde(default = "once")]
    pub count: u64,
    /// To every call until faults are cleared, whatever `count` says.
    #[serde(default)]
    pub until_cleared: bool,
}

fn once() -> u64 {
    1
}

impl FaultRule {
    /// Strikes the next call to the token endpoint.
    pub fn once(fault: Fault) -> Self {
        Self {
            faults: vec![fault],
            family: None,
            endpoint: Endpoint::Token,
            count: 1,
            until_cleared: false,
        }
    }

    /// Strikes every call to the token endpoint until faults are cleared.
    pub fn always(fault: Fault) -> Self {
        Self {
            until_cleared: true,
            ..Self::once(fault)
        }
    }

    /// The same rule for `count` calls.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { count, ..self }
    }

    /// The same rule for one grant alone.
    #[must_use]
    pub fn for_family(self, family: &str) -> Self {
        Self {
            family: Some(family.to_owned()),
            ..self
        }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.count == 0 && !self.until_cleared {
            return Err("a fault rule's count must be at least 1");
        }
        self.faults.iter().try_for_each(Fault::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_from_json_with_defaults_and_refuses_unknown_fields() {
        let rule: FaultRule =
            serde_json::from_str(r#"{"faults":[{"kind":"truncate_body"}]}"#).unwrap();
        assert_eq!(rule, FaultRule::once(Fault::TruncateBody));
        for wrong in [
            r#"{"faults":[],"familly":"x"}"#,
            r#"{"faults":[{"kind":"delay","milliseconds":1,"when":"later"}]}"#,
            r#"{"faults":[{"kind":"nonsense"}]}"#,
        ] {
            assert!(serde_json::from_str::<FaultRule>(wrong).is_err(), "{wrong}");
        }
    }
}
