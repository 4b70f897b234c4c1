//! Faults that wait for calls, and what they amount to for the call that takes them.

use std::time::Duration;

use fastrand::Rng;

use super::fault::{ExpiresIn, Fault, FaultRule, Point};
use super::ledger::Endpoint;
use super::refusal::Refusal;

/// Rules in the order in which they were queued.
#[derive(Default)]
pub(super) struct FaultQueue(Vec<Queued>);

struct Queued {
    rule: FaultRule,
    dice: Vec<Rng>,
}

impl FaultQueue {
    pub(super) fn push(&mut self, rule: FaultRule) -> Result<(), &'static str> {
        rule.check()?;
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
                && (queued.rule.family.is_none() || queued.rule.family.as_deref() == family)
        });
        let Some(index) = matching else {
            return effects;
        };
        let Queued { rule, dice } = &mut self.0[index];
        for (fault, dice) in rule.faults.iter().zip(dice) {
            effects.add(fault, dice);
        }
        if !rule.until_cleared {
            rule.count -= 1;
            if rule.count == 0 {
                self.0.remove(index);
            }
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
        assert!(
            queue
                .push(FaultRule::once(Fault::TruncateBody).times(0))
                .is_err()
        );
        let fault = Fault::RateLimit {
            retry_after_seconds: Some(u64::MAX),
            http_date: true,
        };
        assert!(queue.push(FaultRule::once(fault)).is_err());
        assert!(queue.rules().is_empty());
    }
}
