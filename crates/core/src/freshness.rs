//! How long a token is good for: margins, the caller's minimum validity, and when a refresh is due.
//!
//! A token within its *hard* margin of expiry is not handed out without an attempt to renew it. Within the wider
//! *soft* margin it is handed out while a refresh runs in the background. The soft margin differs from grant to
//! grant by up to a tenth, so that grants issued together do not become due together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::GrantId;
use crate::provider::Renewal;

const HARD_MARGIN_MAX: Duration = Duration::from_secs(30);
const SOFT_MARGIN_MIN: Duration = Duration::from_secs(120);

/// What to do with a token that is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Hand it out.
    Fresh,
    /// Hand it out, and renew it in the background.
    DueSoon,
    /// Renew it first; hand it out if that fails and it has not expired.
    Due,
}

/// The dates of one token, reckoned once when it is stored or loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    expires_at: Option<Timestamp>,
    hard_from: Timestamp,
    soft_from: Timestamp,
    longest_promise: Duration,
}

impl Validity {
    /// The dates of a token of `grant` that was issued at `issued_at`, by a provider that renews as usual.
    ///
    /// The hard margin is 30 s, or a fifth of a shorter lifetime; the soft margin is 15 % of the lifetime, at
    /// least 120 s, at most half the lifetime, ± 10 % by the grant's id.
    pub fn new(grant: &GrantId, issued_at: Timestamp, expires_at: Option<Timestamp>) -> Self {
        Self::of(grant, issued_at, expires_at, &Renewal::default())
    }

    /// The dates of a token under the rules of its provider: the soft margin is wider where an expired token
    /// cannot be renewed, and does not begin while the token is too young to be.
    pub fn of(
        grant: &GrantId,
        issued_at: Timestamp,
        expires_at: Option<Timestamp>,
        renewal: &Renewal,
    ) -> Self {
        let Some(end) = expires_at else {
            return Self {
                expires_at,
                hard_from: Timestamp::from_millis(i64::MAX),
                soft_from: Timestamp::from_millis(i64::MAX),
                longest_promise: Duration::MAX,
            };
        };
        let lifetime = end.since(issued_at);
        let hard = HARD_MARGIN_MAX.min(lifetime / 5);
        let soft = (lifetime / 2)
            .min(SOFT_MARGIN_MIN.max(lifetime * 15 / 100))
            .mul_f64(0.9 + 0.2 * fraction(grant));
        let window = renewal.window(lifetime);
        let soft = soft.max(window.mul_f64(1.0 - 0.25 * fraction(grant)));
        let soft_from = end.minus(soft.max(hard));
        let young_until = renewal.young_until(issued_at, expires_at);
        Self {
            expires_at,
            hard_from: end.minus(hard),
            soft_from: young_until.map_or(soft_from, |until| soft_from.max(until)),
            longest_promise: lifetime.saturating_sub(hard),
        }
    }

    /// What to do with the token at `now` for a caller that wants it to stay valid for `min_validity`.
    ///
    /// A demand that no token of this lifetime could meet does not cause a refresh per call: it counts as the
    /// soft margin, so the caller gets the longest-lived token that can be had.
    pub fn assess(&self, now: Timestamp, min_validity: Duration) -> Freshness {
        let Some(end) = self.expires_at else {
            return Freshness::Fresh;
        };
        let unmet = if min_validity > self.longest_promise {
            now >= self.soft_from
        } else {
            now.plus(min_validity) > end
        };
        if now >= self.hard_from || unmet {
            Freshness::Due
        } else if now >= self.soft_from {
            Freshness::DueSoon
        } else {
            Freshness::Fresh
        }
    }

    /// Whether the token may still be used at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// When the token is to be renewed in the background; the far end of time if it does not expire.
    pub(crate) fn soft_from(&self) -> Timestamp {
        self.soft_from
    }
}

/// A number in [0, 1) that depends on the grant alone.
pub(crate) fn fraction(grant: &GrantId) -> f64 {
    let mut hasher = DefaultHasher::new();
    grant.hash(&mut hasher);
    share(u32::try_from(hasher.finish() >> 32).unwrap_or_default())
}

/// A number in [0, 1), the greater the greater `of`.
fn share(of: u32) -> f64 {
    f64::from(of) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_less_than_the_whole() {
        assert_eq!(share(0), 0.0);
        assert!(share(u32::MAX) < 1.0);
    }

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn hour(grant: &GrantId) -> Validity {
        Validity::new(grant, START, Some(START.plus(Duration::from_secs(3600))))
    }

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn an_hour_has_a_hard_margin_of_30_s_and_a_soft_one_around_9_min() {
        for _ in 0..100 {
            let validity = hour(&GrantId::random());
            let none = Duration::ZERO;
            assert_eq!(validity.assess(at(3600 - 595), none), Freshness::Fresh);
            assert_eq!(validity.assess(at(3600 - 485), none), Freshness::DueSoon);
            assert_eq!(validity.assess(at(3600 - 31), none), Freshness::DueSoon);
            assert_eq!(validity.assess(at(3600 - 30), none), Freshness::Due);
            assert!(validity.is_valid(at(3599)));
            assert!(!validity.is_valid(at(3600)));
        }
    }

    #[test]
    fn grants_issued_together_become_due_apart() {
        let due: std::collections::BTreeSet<_> = (0..100)
            .map(|_| hour(&GrantId::random()).soft_from)
            .collect();
        assert!(due.len() > 90);
    }

    #[test]
    fn minimum_validity_is_honoured_where_a_token_can_meet_it() {
        let validity = hour(&GrantId::random());
        let half = Duration::from_secs(1800);
        assert_eq!(validity.assess(at(1800), half), Freshness::Fresh);
        assert_eq!(validity.assess(at(1801), half), Freshness::Due);
    }

    #[test]
    fn a_demand_that_no_token_can_meet_does_not_refresh_at_every_call() {
        let validity = hour(&GrantId::random());
        let day = Duration::from_secs(86_400);
        assert_eq!(validity.assess(at(0), day), Freshness::Fresh);
        assert_eq!(validity.assess(at(1800), day), Freshness::Fresh);
        assert_eq!(validity.assess(at(3600 - 485), day), Freshness::Due);
    }

    // R2, C84, W7, W66
    #[test]
    fn an_unknown_expiry_never_makes_a_token_due() {
        let validity = Validity::new(&GrantId::random(), START, None);
        let later = START.plus(Duration::from_secs(10_000_000));
        assert_eq!(
            validity.assess(later, Duration::from_secs(3600)),
            Freshness::Fresh
        );
        assert!(validity.is_valid(later));
    }

    #[test]
    fn a_lifetime_of_nothing_is_due_at_once_and_never_valid() {
        let validity = Validity::new(&GrantId::random(), START, Some(START));
        assert_eq!(validity.assess(START, Duration::ZERO), Freshness::Due);
        assert!(!validity.is_valid(START));
    }

    #[test]
    fn short_lifetimes_keep_most_of_their_life() {
        let validity = Validity::new(&GrantId::random(), START, Some(at(10)));
        assert_eq!(validity.assess(at(4), Duration::ZERO), Freshness::Fresh);
        assert_eq!(validity.assess(at(7), Duration::ZERO), Freshness::DueSoon);
        assert_eq!(validity.assess(at(8), Duration::ZERO), Freshness::Due);
    }
}
