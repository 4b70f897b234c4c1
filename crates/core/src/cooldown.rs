//! Passing failures: how long a grant waits for its next attempt, and how long a rejected client waits for its
//! next probe.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::ClientKey;

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
/// 300 s, and never less than the provider asked for (up to an hour).
pub fn backoff(failed: u32, retry_after: Option<Duration>) -> Duration {
    let index = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
    let cap = STEPS[index.min(STEPS.len() - 1)];
    let jittered = SHORTEST + (cap - SHORTEST).mul_f64(fastrand::f64());
    match retry_after {
        Some(asked) => asked.min(LONGEST_RETRY_AFTER) + jittered.min(STEPS[0]),
        None => jittered,
    }
}

const FIRST_PROBE: Duration = Duration::from_secs(5);
const LAST_PROBE: Duration = Duration::from_secs(60);
/// When to come again while a probe is under way.
const PROBING: Duration = Duration::from_secs(1);

/// Which OAuth clients their providers reject, as far as this process has seen.
///
/// A rejected client makes every refresh fail before its call, but for one probe at a time: after 5 s, then after
/// twice as long each time up to a minute. No grant is touched by it, so all of them work again as soon as one probe
/// succeeds.
///
/// It also knows what remains to be told: whoever learns a news that it then cannot tell, says so with
/// [`untold`](Self::untold), and the next one hears of it as news again.
#[derive(Debug, Default)]
pub struct ClientBreaker(Mutex<Clients>);

#[derive(Debug, Default)]
struct Clients {
    rejected: HashMap<ClientKey, Rejection>,
    /// Clients that are known to have been accepted since they were last rejected by anybody.
    accepted: HashSet<ClientKey>,
    probes: u64,
}

#[derive(Debug)]
struct Rejection {
    told: bool,
    code: String,
    message: String,
    wait: Duration,
    probe_at: Instant,
    /// The probe that is under way.
    probing: Option<u64>,
}

/// Whether refreshes of a client are held up because its provider rejects the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It is accepted, as far as is known.
    Closed,
    /// It is rejected, and a probe is under way.
    HalfOpen,
    /// It is rejected.
    Open,
}

/// A call that finds out whether a rejected client is still rejected. Dropped without an outcome, the next one is due
/// after the same wait.
#[derive(Debug)]
pub struct Probe<'a> {
    breaker: &'a ClientBreaker,
    client: ClientKey,
    number: u64,
}

/// A client is rejected, and the next probe is not due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The provider's own error code.
    pub code: String,
    /// For people.
    pub message: String,
    /// When the next probe is due.
    pub retry_after: Duration,
}

impl ClientBreaker {
    /// Admits a call, or a probe if one is due and none is under way. `None` for a call of a client that is not
    /// rejected.
    pub fn admit(&self, client: &ClientKey) -> Result<Option<Probe<'_>>, Refusal> {
        let mut clients = self.lock();
        let number = clients.probes + 1;
        let Some(rejection) = clients.rejected.get_mut(client) else {
            return Ok(None);
        };
        if let Some(refusal) = rejection.refusal() {
            return Err(refusal);
        }
        rejection.probing = Some(number);
        clients.probes = number;
        Ok(Some(Probe {
            breaker: self,
            client: client.clone(),
            number,
        }))
    }

    /// How a client stands.
    pub fn state(&self, client: &ClientKey) -> BreakerState {
        match self.lock().rejected.get(client) {
            None => BreakerState::Closed,
            Some(rejection) if rejection.probing.is_some() => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        }
    }

    /// What a call would be refused with now; changes nothing.
    pub fn refusal(&self, client: &ClientKey) -> Option<Refusal> {
        self.lock().rejected.get(client)?.refusal()
    }

    /// The provider rejected the client. Answers whether that is news to this process.
    pub fn reject(&self, client: &ClientKey, code: &str, message: &str) -> bool {
        let mut clients = self.lock();
        clients.accepted.remove(client);
        let rejected = &mut clients.rejected;
        let was_told = rejected.get(client).is_some_and(|known| known.told);
        // Calls that were under way when the first rejection came say nothing new: only a failed probe
        // lengthens the wait.
        let wait = match rejected.get(client) {
            None => FIRST_PROBE,
            Some(known) if known.probing.is_some() => (known.wait * 2).min(LAST_PROBE),
            Some(_) => return false,
        };
        let rejection = Rejection {
            told: true,
            code: code.to_owned(),
            message: message.to_owned(),
            wait,
            probe_at: Instant::now() + wait.mul_f64(0.9 + 0.2 * fastrand::f64()),
            probing: None,
        };
        rejected.insert(client.clone(), rejection);
        !was_told
    }

    /// The provider accepted the client. Answers whether that may be news: it had been rejected, or this is
    /// the first that this process hears of it.
    pub fn accept(&self, client: &ClientKey) -> bool {
        let mut clients = self.lock();
        clients.rejected.remove(client);
        clients.accepted.insert(client.clone())
    }

    /// The last news of the client could not be told.
    pub fn untold(&self, client: &ClientKey) {
        let mut clients = self.lock();
        clients.accepted.remove(client);
        if let Some(rejection) = clients.rejected.get_mut(client) {
            rejection.told = false;
        }
    }

    /// The clients that are rejected now.
    pub fn rejected(&self) -> Vec<ClientKey> {
        self.lock().rejected.keys().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Clients> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let mut clients = self.breaker.lock();
        if let Some(rejection) = clients.rejected.get_mut(&self.client)
            && rejection.probing == Some(self.number)
        {
            rejection.probing = None;
            rejection.probe_at = Instant::now() + rejection.wait;
        }
    }
}

impl Rejection {
    fn refusal(&self) -> Option<Refusal> {
        let mut retry_after = self.probe_at.saturating_duration_since(Instant::now());
        if self.probing.is_some() {
            retry_after = retry_after.max(PROBING);
        }
        (retry_after > Duration::ZERO).then(|| Refusal {
            code: self.code.clone(),
            message: self.message.clone(),
            retry_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClientName, ProviderName};

    fn client() -> ClientKey {
        ClientKey {
            provider: ProviderName::parse("acme").unwrap(),
            client: ClientName::parse("main").unwrap(),
        }
    }

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

    // R31, W12
    #[tokio::test(start_paused = true)]
    async fn a_rejected_client_is_probed_once_at_a_time_until_it_is_accepted() {
        let breaker = ClientBreaker::default();
        assert!(breaker.admit(&client()).is_ok());
        assert!(breaker.reject(&client(), "invalid_client", "no"));
        assert!(
            !breaker.reject(&client(), "invalid_client", "no"),
            "told once"
        );
        assert_eq!(breaker.admit(&client()).unwrap_err().code, "invalid_client");
        assert_eq!(breaker.state(&client()), BreakerState::Open);
        tokio::time::advance(Duration::from_secs(12)).await;
        let probe = breaker.admit(&client()).unwrap();
        assert!(probe.is_some());
        assert_eq!(breaker.state(&client()), BreakerState::HalfOpen);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(breaker.admit(&client()).is_err(), "however long it takes");
        assert!(breaker.accept(&client()));
        assert!(!breaker.accept(&client()));
        drop(probe);
        assert_eq!(breaker.state(&client()), BreakerState::Closed);
        assert!(breaker.admit(&client()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_rejections_does_not_put_off_the_probe() {
        let breaker = ClientBreaker::default();
        for _ in 0..1_000 {
            breaker.reject(&client(), "invalid_client", "no");
        }
        tokio::time::advance(Duration::from_secs(6)).await;
        let probe = breaker.admit(&client()).unwrap();
        breaker.reject(&client(), "invalid_client", "no");
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(
            breaker.refusal(&client()).is_some(),
            "a failed probe doubles the wait"
        );
        drop(probe);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_ends_without_an_outcome_is_followed_by_another() {
        let breaker = ClientBreaker::default();
        breaker.reject(&client(), "invalid_client", "no");
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(6)).await;
            let probe = breaker.admit(&client()).unwrap();
            assert!(probe.is_some());
            drop(probe);
            assert!(breaker.admit(&client()).is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_ends_late_says_nothing_of_the_next_one() {
        let breaker = ClientBreaker::default();
        breaker.reject(&client(), "invalid_client", "no");
        tokio::time::advance(Duration::from_secs(6)).await;
        let late = breaker.admit(&client()).unwrap();
        breaker.reject(&client(), "invalid_client", "no");
        tokio::time::advance(Duration::from_secs(12)).await;
        let next = breaker.admit(&client()).unwrap();
        drop(late);
        assert!(breaker.admit(&client()).is_err());
        drop(next);
    }
}
