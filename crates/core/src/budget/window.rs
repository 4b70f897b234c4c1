//! The calls of the last minute, and whether the provider wants any.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{Full, FullCause, Urgency, reserved};

const MINUTE: Duration = Duration::from_secs(60);
/// The longest that the end of a throttling is spread over, for refreshes with a caller and without.
const SPREAD: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];

/// What may be called when.
#[derive(Debug)]
pub(super) struct Window {
    per_minute: Option<u32>,
    /// When the calls of the last minute were made; empty without a limit.
    calls: VecDeque<Instant>,
    throttle: Option<Throttle>,
}

/// A provider that asked to be left alone.
#[derive(Debug)]
struct Throttle {
    callers_until: Instant,
    renewals_until: Instant,
    /// When one call may find out whether it is over; `None` once it is under way.
    probe_at: Option<Instant>,
}

/// What a call took, to be [given back](Window::give_back) if it is not made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    /// The probe of a throttle that lasted until then, and when it was due.
    probe: Option<(Instant, Instant)>,
}

impl Window {
    pub(super) fn new(per_minute: Option<u32>) -> Self {
        Self {
            per_minute,
            calls: VecDeque::new(),
            throttle: None,
        }
    }

    /// Counts a call that is about to be made, if one may be.
    pub(super) fn take(&mut self, urgency: Urgency) -> Result<Taken, Full> {
        if let Some(full) = self.full(urgency) {
            return Err(full);
        }
        let throttle = self.throttle.as_mut();
        let throttle = throttle.filter(|throttle| Instant::now() < throttle.callers_until);
        let probe = throttle.and_then(|throttle| {
            let probe_at = throttle.probe_at.take()?;
            Some((throttle.callers_until, probe_at))
        });
        self.count();
        Ok(Taken { probe })
    }

    /// Why a call for which a caller waits cannot be made within `patience`.
    pub(super) fn refusal(&mut self, patience: Duration) -> Option<Full> {
        let full = self.full(Urgency::Interactive);
        full.filter(|full| full.cause == FullCause::Throttled || full.retry_after > patience)
    }

    fn full(&mut self, urgency: Urgency) -> Option<Full> {
        if let Some(retry_after) = self.throttled(urgency) {
            let cause = FullCause::Throttled;
            return Some(Full { cause, retry_after });
        }
        let retry_after = self.spent(urgency)?;
        let cause = FullCause::Rate;
        Some(Full { cause, retry_after })
    }

    /// For how long the provider does not want this call.
    pub(super) fn throttled(&self, urgency: Urgency) -> Option<Duration> {
        let now = Instant::now();
        let throttle = self.throttle.as_ref()?;
        let until = match urgency {
            Urgency::Interactive => throttle.callers_until,
            Urgency::Background => throttle.renewals_until,
        };
        let may_probe = urgency == Urgency::Interactive
            && throttle.probe_at.is_some_and(|probe_at| probe_at <= now);
        (now < until && !may_probe).then(|| until - now)
    }

    /// How long until the minute has room for this call.
    fn spent(&mut self, urgency: Urgency) -> Option<Duration> {
        let per_minute = usize::try_from(self.per_minute?).unwrap_or(usize::MAX);
        let now = self.forget_old();
        let most = match urgency {
            Urgency::Interactive => per_minute,
            Urgency::Background => per_minute - reserved(per_minute),
        };
        let index = self.calls.len().checked_sub(most)?;
        let oldest = self.calls.get(index).copied();
        Some(oldest.map_or(MINUTE, |oldest| (oldest + MINUTE).duration_since(now)))
    }

    /// How many renewals may be made now.
    pub(super) fn room(&mut self) -> usize {
        if self.throttled(Urgency::Background).is_some() {
            return 0;
        }
        let Some(per_minute) = self.per_minute else {
            return usize::MAX;
        };
        self.forget_old();
        let most = usize::try_from(per_minute).unwrap_or(usize::MAX);
        (most - reserved(most)).saturating_sub(self.calls.len())
    }

    /// Counts a call.
    pub(super) fn count(&mut self) {
        if self.per_minute.is_some() {
            self.calls.push_back(Instant::now());
        }
    }

    /// A call that was counted is not made. If it was the probe of a throttle, another may be.
    pub(super) fn give_back(&mut self, taken: Taken) {
        self.calls.pop_back();
        if let Some((until, probe_at)) = taken.probe
            && let Some(throttle) = &mut self.throttle
            && throttle.callers_until == until
        {
            throttle.probe_at.get_or_insert(probe_at);
        }
    }

    /// The provider asked to be left alone for so long. What an earlier answer asked for stays, if it is longer.
    pub(super) fn throttle(&mut self, asked: Duration) {
        let now = Instant::now();
        let spread = |most: Duration| most.min(asked / 2).mul_f64(fastrand::f64());
        let [callers, renewals] = SPREAD.map(spread);
        let old = self.throttle.take();
        let later = |then: Instant, old: Option<Instant>| old.map_or(then, |old| old.max(then));
        self.throttle = Some(Throttle {
            callers_until: later(
                now + asked + callers,
                old.as_ref().map(|old| old.callers_until),
            ),
            renewals_until: later(
                now + asked + SPREAD[0] + renewals,
                old.as_ref().map(|old| old.renewals_until),
            ),
            probe_at: Some(now + asked / 2),
        });
    }

    /// The provider answered with tokens: callers need not wait any longer, if that was the probe.
    pub(super) fn relent(&mut self) {
        if let Some(throttle) = &mut self.throttle
            && throttle.probe_at.is_none()
        {
            throttle.callers_until = Instant::now();
        }
    }

    /// The limit, how many calls count against it, and for how long the provider is to be left alone.
    pub(super) fn usage(&mut self) -> (Option<u32>, usize, Option<Duration>) {
        let now = self.forget_old();
        let until = self
            .throttle
            .as_ref()
            .map(|throttle| throttle.callers_until);
        let throttled = until.and_then(|until| until.checked_duration_since(now));
        let throttled = throttled.filter(|left| !left.is_zero());
        (self.per_minute, self.calls.len(), throttled)
    }

    fn forget_old(&mut self) -> Instant {
        let now = Instant::now();
        while self.calls.front().is_some_and(|call| *call + MINUTE <= now) {
            self.calls.pop_front();
        }
        now
    }
}
