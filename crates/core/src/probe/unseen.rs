//! When clients are probed whose rejection is stored, and was told before this process began.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::{FIRST_PROBE, jittered, longer};
use crate::ids::ClientKey;

/// The clients that are rejected by what is stored, and not by what this process has seen.
///
/// The first is probed at once, and then as the breaker waits: what such a probe comes to need not be a verdict on the
/// client, and each costs a grant something.
#[derive(Debug, Default)]
pub(super) struct Unseen(HashMap<ClientKey, Wait>);

#[derive(Debug)]
struct Wait {
    length: Duration,
    until: Instant,
}

impl Unseen {
    /// Those of `stored` whose next probe is due, which is made now, and how long each has waited for it. The others that
    /// were known are forgotten: they are rejected no more, or seen.
    pub(super) fn due(&mut self, stored: Vec<ClientKey>) -> Vec<(ClientKey, Duration)> {
        let now = Instant::now();
        let mut known = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        for client in stored {
            let (waited, next) = match known.remove(&client) {
                Some(wait) if wait.until > now => {
                    self.0.insert(client, wait);
                    continue;
                }
                Some(wait) => (wait.length, longer(wait.length)),
                None => (FIRST_PROBE, FIRST_PROBE),
            };
            due.push((client.clone(), waited));
            self.0.insert(client, Wait::of(next));
        }
        due
    }
}

impl Wait {
    fn of(length: Duration) -> Self {
        Self {
            length,
            until: Instant::now() + jittered(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClientName, ProviderName};

    fn client(name: &str) -> ClientKey {
        ClientKey {
            provider: ProviderName::parse("acme").unwrap(),
            client: ClientName::parse(name).unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_waits_for_longer_each_time_until_it_is_rejected_no_more() {
        let mut unseen = Unseen::default();
        let stored = || vec![client("a")];
        let after = |seconds| vec![(client("a"), Duration::from_secs(seconds))];
        assert_eq!(unseen.due(stored()), after(5), "at once");
        for wait in [5, 10, 20, 40, 60, 60] {
            tokio::time::advance(Duration::from_secs(wait).mul_f64(0.85)).await;
            assert_eq!(unseen.due(stored()), []);
            tokio::time::advance(Duration::from_secs(wait).mul_f64(0.3)).await;
            assert_eq!(unseen.due(stored()), after(wait));
        }
        assert_eq!(unseen.due(vec![client("b")]).len(), 1, "each by itself");
        assert_eq!(unseen.due(stored()), after(5), "it begins anew");
    }
}
