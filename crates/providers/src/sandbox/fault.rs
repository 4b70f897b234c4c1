//! Faults on request: what can be done to a call, and to which calls it is done.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::ledger::Endpoint;
use super::refusal::Refusal;

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
        /// What `Retry-After` asks for; without it there is no such header.
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
}

/// Rules in the order in which they were queued.
#[derive(Default)]
pub(super) struct FaultQueue(Vec<Queued>);

struct Queued {
    rule: FaultRule,
    dice: Vec<Rng>,
}

impl FaultQueue {
    pub(super) fn push(&mut self, rule: FaultRule) -> Result<(), &'static str> {
        rule.faults.iter().try_for_each(Fault::check)?;
        let dice = rule.faults.iter().map(|fault| match fault {
            Fault::FlakyInvalidGrant { seed, .. } => Rng::with_seed(*seed),
            _ => Rng::with_seed(0),
        });
        let dice = dice.collect();
        self.0.push(Queued { rule, dice });
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The rules that still wait for calls, with what is left of their counts.
    pub(super) fn rules(&self) -> Vec<FaultRule> {
        self.0.iter().map(|queued| queued.rule.clone()).collect()
    }

    /// What is to be done to a call, taken off the first rule that matches it.
    pub(super) fn take(&mut self, endpoint: Endpoint, family: Option<&str>) -> Effects {
        let mut effects = Effects::default();
        let matching = self.0.iter().position(|queued| {
            queued.rule.endpoint == endpoint
                && (queued.rule.until_cleared || queued.rule.count > 0)
                && (queued.rule.family.is_none() || queued.rule.family.as_deref() == family)
        });
        let Some(index) = matching else {
            return effects;
        };
        let Queued { rule, dice } = &mut self.0[index];
        for (fault, dice) in rule.faults.iter().zip(dice) {
            effects.add(fault, dice);
        }
        rule.count = rule.count.saturating_sub(1);
        if rule.count == 0 && !rule.until_cleared {
            self.0.remove(index);
        }
        effects
    }
}

/// How the body of an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Delivery {
    #[default]
    Whole,
    Truncated,
    Trickled(Duration),
}

/// An answer that stands in for the true one.
#[derive(Debug, Clone)]
pub(super) struct Canned {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) content_type: String,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum RetryAfter {
    Seconds(u64),
    Date(u64),
}

/// What is to be done to one call.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) kinds: Vec<&'static str>,
    pub(super) delay_before: Duration,
    pub(super) delay_after: Duration,
    pub(super) drop_before: bool,
    pub(super) drop_after: bool,
    pub(super) delivery: Delivery,
    pub(super) instead_of_processing: Option<Canned>,
    pub(super) instead_of_answer: Option<Canned>,
    pub(super) refusal: Option<Refusal>,
    pub(super) retry_after: Option<RetryAfter>,
    pub(super) expires_in: Option<ExpiresIn>,
}

impl Effects {
    fn add(&mut self, fault: &Fault, dice: &mut Rng) {
        match fault {
            Fault::Delay { milliseconds, at } => {
                let delay = match at {
                    Point::BeforeProcessing => &mut self.delay_before,
                    Point::AfterProcessing => &mut self.delay_after,
                };
                *delay = delay.saturating_add(Duration::from_millis(*milliseconds));
            }
            Fault::DropBeforeProcessing => self.drop_before = true,
            Fault::DropAfterProcessing => self.drop_after = true,
            Fault::TruncateBody => self.delivery = Delivery::Truncated,
            Fault::TrickleBody { milliseconds } => {
                self.delivery = Delivery::Trickled(Duration::from_millis(*milliseconds));
            }
            Fault::Status {
                status,
                body,
                content_type,
                at,
            } => {
                let canned = Some(Canned {
                    status: *status,
                    body: body.clone(),
                    content_type: content_type.clone(),
                });
                match at {
                    Point::BeforeProcessing => self.instead_of_processing = canned,
                    Point::AfterProcessing => self.instead_of_answer = canned,
                }
            }
            Fault::RateLimit {
                retry_after_seconds,
                http_date,
            } => {
                self.refusal = Some(Refusal::RateLimited);
                self.retry_after = retry_after_seconds.map(|seconds| match http_date {
                    true => RetryAfter::Date(seconds),
                    false => RetryAfter::Seconds(seconds),
                });
            }
            Fault::InvalidClient => self.refusal = Some(Refusal::WrongSecret),
            Fault::FlakyInvalidGrant { probability, .. } => {
                // A call that is spared bears no mark of this fault.
                if dice.f64() >= *probability {
                    return;
                }
                self.refusal = Some(Refusal::Flaky);
            }
            Fault::ExpiresIn { value } => self.expires_in = Some(*value),
        }
        self.kinds.push(fault.kind());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_strike_in_turn_and_as_often_as_they_say() {
        let mut queue = FaultQueue::default();
        queue
            .push(FaultRule::once(Fault::DropBeforeProcessing).times(2))
            .unwrap();
        queue
            .push(FaultRule::once(Fault::InvalidClient).for_family("grant-1"))
            .unwrap();
        queue.push(FaultRule::always(Fault::TruncateBody)).unwrap();
        let mut strike = |family| queue.take(Endpoint::Token, family).kinds;
        assert_eq!(strike(None), ["drop_before_processing"]);
        assert_eq!(strike(Some("grant-1")), ["drop_before_processing"]);
        assert_eq!(strike(Some("grant-2")), ["truncate_body"]);
        assert_eq!(strike(Some("grant-1")), ["invalid_client"]);
        assert_eq!(strike(Some("grant-1")), ["truncate_body"]);
        assert_eq!(queue.take(Endpoint::Revoke, None).kinds, [""; 0]);
    }

    #[test]
    fn flaky_refusals_follow_their_seed() {
        let draw = |seed| {
            let mut queue = FaultQueue::default();
            let fault = Fault::FlakyInvalidGrant {
                probability: 0.3,
                seed,
            };
            queue.push(FaultRule::always(fault)).unwrap();
            let draws = (0..1000).map(|_| queue.take(Endpoint::Token, None).refusal.is_some());
            draws.collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let refused = draw(7).into_iter().filter(|refused| *refused).count();
        assert!((200..400).contains(&refused), "{refused} of 1000");
    }

    #[test]
    fn nonsense_is_not_queued() {
        let mut queue = FaultQueue::default();
        for probability in [-0.1, 1.1, f64::NAN] {
            let fault = Fault::FlakyInvalidGrant {
                probability,
                seed: 1,
            };
            assert!(queue.push(FaultRule::once(fault)).is_err());
        }
        assert!(queue.rules().is_empty());
    }

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
