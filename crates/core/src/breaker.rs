//! The breaker of an OAuth client: how long a rejected client waits for its next probe.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::{ClientKey, GrantId};

/// How long after its rejection a client is probed first. Twice as long after each probe that fails.
pub const FIRST_PROBE: Duration = Duration::from_secs(5);
/// How long the wait between two probes gets.
pub const LAST_PROBE: Duration = Duration::from_secs(60);
/// So many grants in a row that are refused, each for what it may have brought itself, are held for a refusal of the
/// client: fewer if no grant of it was accepted within an [hour](RECENTLY).
const DOUBTS: usize = 10;
const DOUBTS_OF_AN_UNPROVEN: usize = 3;
const RECENTLY: Duration = Duration::from_secs(3600);
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
    /// When clients were accepted last that were not rejected by anybody since then.
    accepted: HashMap<ClientKey, Instant>,
    /// The grants that were refused since their client was accepted, each for what it may have brought itself.
    doubts: HashMap<ClientKey, HashSet<GrantId>>,
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

/// A call that finds out whether a rejected client is still rejected. Dropped without a verdict on the client, the next
/// one is due after a longer wait if the provider was [called](Self::called), and after the same wait if not.
#[derive(Debug)]
pub struct Probe<'a> {
    breaker: &'a ClientBreaker,
    client: ClientKey,
    number: u64,
    called: bool,
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
            called: false,
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

    /// The rejected clients whose next probe is due and not under way.
    pub fn due(&self) -> Vec<ClientKey> {
        let clients = self.lock();
        let rejected = clients.rejected.iter();
        let due = rejected.filter(|(_, rejection)| rejection.is_due());
        due.map(|(client, _)| client.clone()).collect()
    }

    /// Whether the client is rejected, and its next probe is due and not under way.
    pub fn is_due(&self, client: &ClientKey) -> bool {
        let clients = self.lock();
        let rejection = clients.rejected.get(client);
        rejection.is_some_and(Rejection::is_due)
    }

    /// How long the client waits between two probes now; [`FIRST_PROBE`] if it is not rejected.
    pub fn wait(&self, client: &ClientKey) -> Duration {
        let clients = self.lock();
        let rejection = clients.rejected.get(client);
        rejection.map_or(FIRST_PROBE, |rejection| rejection.wait)
    }

    /// No probe could be made although one is due: the next one is, after the same wait.
    pub fn put_off(&self, client: &ClientKey) {
        self.next_after(client, |wait| wait);
    }

    /// Another process probes the client. Unless its recovery is heard of, the probe failed, and the wait gets longer
    /// here as it does there.
    pub fn probed_elsewhere(&self, client: &ClientKey) {
        self.next_after(client, longer);
    }

    fn next_after(&self, client: &ClientKey, wait: fn(Duration) -> Duration) {
        let mut clients = self.lock();
        let rejection = clients.rejected.get_mut(client);
        if let Some(rejection) = rejection.filter(|rejection| rejection.is_due()) {
            rejection.wait = wait(rejection.wait);
            rejection.probe_at = Instant::now() + jittered(rejection.wait);
        }
    }

    /// The provider rejected the client. Answers whether that is news to this process.
    pub fn reject(&self, client: &ClientKey, code: &str, message: &str) -> bool {
        let mut clients = self.lock();
        clients.accepted.remove(client);
        clients.doubts.remove(client);
        let rejected = &mut clients.rejected;
        let was_told = rejected.get(client).is_some_and(|known| known.told);
        // Calls that were under way when the first rejection came say nothing new: only a failed probe
        // lengthens the wait.
        let wait = match rejected.get(client) {
            None => FIRST_PROBE,
            Some(known) if known.probing.is_some() => longer(known.wait),
            Some(_) => return false,
        };
        let rejection = Rejection {
            told: true,
            code: code.to_owned(),
            message: message.to_owned(),
            wait,
            probe_at: Instant::now() + jittered(wait),
            probing: None,
        };
        rejected.insert(client.clone(), rejection);
        !was_told
    }

    /// A grant was refused with words that are about the client, and may be about what the grant itself brought: its own
    /// endpoint, the account that a token is minted for, or a refresh token of another client. `None`: one that is not to
    /// be counted. Answers whether the client is to be held for [rejected](Self::reject): so many grants in a row cannot
    /// all be at fault.
    pub fn doubt(&self, client: &ClientKey, grant: Option<&GrantId>) -> bool {
        let mut clients = self.lock();
        let accepted_at = clients.accepted.get(client);
        let is_proven = accepted_at.is_some_and(|at| at.elapsed() < RECENTLY);
        let doubts = clients.doubts.entry(client.clone()).or_default();
        doubts.extend(grant.cloned());
        let most = if is_proven {
            DOUBTS
        } else {
            DOUBTS_OF_AN_UNPROVEN
        };
        doubts.len() >= most
    }

    /// The provider accepted the client. Answers whether that may be news: it had been rejected, or this is
    /// the first that this process hears of it.
    pub fn accept(&self, client: &ClientKey) -> bool {
        let mut clients = self.lock();
        clients.rejected.remove(client);
        clients.doubts.remove(client);
        let before = clients.accepted.insert(client.clone(), Instant::now());
        before.is_none()
    }

    /// The last news of the client could not be told.
    pub fn untold(&self, client: &ClientKey) {
        let mut clients = self.lock();
        clients.accepted.remove(client);
        if let Some(rejection) = clients.rejected.get_mut(client) {
            rejection.told = false;
        }
    }

    /// Whether the client is rejected, and that was told.
    pub fn was_told(&self, client: &ClientKey) -> bool {
        let clients = self.lock();
        clients.rejected.get(client).is_some_and(|known| known.told)
    }

    /// The clients that are rejected now.
    pub fn rejected(&self) -> Vec<ClientKey> {
        self.lock().rejected.keys().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Clients> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probe<'_> {
    /// The provider was called. Each such probe costs a grant something, whatever comes of it.
    pub fn called(&mut self) {
        self.called = true;
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let mut clients = self.breaker.lock();
        if let Some(rejection) = clients.rejected.get_mut(&self.client)
            && rejection.probing == Some(self.number)
        {
            rejection.probing = None;
            if self.called {
                rejection.wait = longer(rejection.wait);
            }
            rejection.probe_at = Instant::now() + jittered(rejection.wait);
        }
    }
}

impl Rejection {
    fn is_due(&self) -> bool {
        self.probing.is_none() && self.probe_at <= Instant::now()
    }

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

/// The wait after a probe that failed.
pub(crate) fn longer(wait: Duration) -> Duration {
    (wait * 2).min(LAST_PROBE)
}

/// A wait, a tenth more or less.
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.9 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests;
