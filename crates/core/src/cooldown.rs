//! Passing failures: how long a grant waits for its next attempt.

use std::time::Duration;

/// Upper bounds of the wait after the first, second, third and every later failure.
const STEPS: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
];
const SHORTEST: Duration = Duration::from_millis(500);
/// A provider that asks for more is tried again after this all the same.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How long to wait after `failed` failures in a row (1 for the first): full jitter up to 5, 15, 60 and
/// 300 s, and never less than the provider asked for (up to an hour) and a little more. One that asks for little each time
/// does not know better: the wait grows all the same.
pub fn backoff(failed: u32, retry_after: Option<Duration>) -> Duration {
    let index = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
    let cap = STEPS[index.min(STEPS.len() - 1)];
    let jittered = SHORTEST + (cap - SHORTEST).mul_f64(fastrand::f64());
    match retry_after {
        Some(asked) => {
            let as_asked = asked.min(LONGEST_RETRY_AFTER) + jittered.min(STEPS[0]);
            as_asked.max(jittered)
        }
        None => jittered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_five_minutes_and_is_never_nothing() {
        for (failed, cap) in [(1, 5), (2, 15), (3, 60), (4, 300), (400, 300)] {
            let waits: Vec<_> = (0..500).map(|_| backoff(failed, None)).collect();
            let most = *waits.iter().max().unwrap();
            assert!(waits.iter().all(|wait| *wait >= SHORTEST));
            assert!(most <= Duration::from_secs(cap), "{failed}: {most:?}");
            assert!(most > Duration::from_secs(cap) / 2, "{failed}: {most:?}");
        }
    }

    // R34, W23
    #[test]
    fn a_provider_is_never_asked_sooner_than_it_wants() {
        for _ in 0..100 {
            let wait = backoff(1, Some(Duration::from_secs(30)));
            assert!((30..=35).contains(&wait.as_secs()), "{wait:?}");
        }
        assert!(backoff(1, Some(Duration::MAX)) <= Duration::from_secs(3605));
    }

    #[test]
    fn a_provider_that_asks_for_little_each_time_is_asked_ever_less_often() {
        for asked in [Duration::ZERO, Duration::from_secs(1)] {
            for (failed, cap) in [(1, 5), (2, 15), (3, 60), (4, 300)] {
                let waits: Vec<_> = (0..500).map(|_| backoff(failed, Some(asked))).collect();
                let most = *waits.iter().max().unwrap();
                assert!(most > Duration::from_secs(cap) / 2, "{failed}: {most:?}");
                assert!(
                    most <= Duration::from_secs(cap.max(6)),
                    "{failed}: {most:?}"
                );
                assert!(waits.iter().all(|wait| *wait >= asked + SHORTEST));
            }
        }
    }
}
