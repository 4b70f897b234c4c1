//! Probes of rejected clients: a client whose provider rejects it is tried now and then, whether or not anybody asks for a
//! token or any is due.
//!
//! A probe is a refresh ahead of its time, through the whole protocol: with the lease, and in a place of the budget that
//! no caller wants. A client that is rejected spends no refresh token (RFC 6749 section 5.2), and one that is accepted
//! has a grant renewed a little early. Every replica looks; of those whose wait is over one takes the probe in the
//! store, so that there is one call a wait however many they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::breaker::BreakerState;
use crate::broker::Broker;
use crate::clock::Timestamp;
use crate::grant::Grant;
use crate::ids::ClientKey;
use crate::store::{DueGrant, ProbeTurn, StoreError};
use unseen::Unseen;

mod unseen;

/// The store is asked in one round of so many for rejections that this process has not seen, as of before it began.
const STORED_EVERY: usize = 5;
/// Grants that are looked at to find one that will do: so many at first, and more only while none does.
const CANDIDATES: [u32; 3] = [32, 256, 2_048];
/// How much of its wait must have gone by since the last probe of all. Waits vary by a tenth, and no probe may stand in
/// the way of the next one of the same process.
const WAITED: f64 = 0.85;

/// Probes rejected clients until it is told to stop.
#[derive(Debug, Clone)]
pub struct Prober {
    broker: Arc<Broker>,
    interval: Duration,
    tracker: TaskTracker,
}

impl Prober {
    /// A prober that looks every `interval`, ± 20 %, and whose probes are tracked by `tracker`.
    pub fn new(broker: Arc<Broker>, interval: Duration, tracker: TaskTracker) -> Self {
        Self {
            broker,
            interval,
            tracker,
        }
    }

    /// Looks at once and then at every interval, until `stop` is cancelled. Probes that have begun then go on to their
    /// end.
    pub async fn run(self, stop: CancellationToken) {
        let mut under_way: HashMap<ClientKey, JoinHandle<()>> = HashMap::new();
        let mut unseen = Unseen::default();
        for round in 0_usize.. {
            under_way.retain(|_, probe| !probe.is_finished());
            let mut due = self.due();
            if round.is_multiple_of(STORED_EVERY)
                && let Some(stored) = self.rejected_unseen().await
            {
                due.extend(unseen.due(stored));
            }
            for (client, wait) in due {
                under_way.entry(client).or_insert_with_key(|client| {
                    let (prober, client) = (self.clone(), client.clone());
                    let probe = async move { prober.probe(&client, wait).await };
                    self.tracker.spawn(probe)
                });
            }
            let pause = self.interval.mul_f64(0.8 + 0.4 * fastrand::f64());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// The clients whose next probe is due by what this process has seen, and how long each has waited for it.
    fn due(&self) -> Vec<(ClientKey, Duration)> {
        let breaker = self.broker.breaker();
        let due = breaker.due().into_iter();
        due.map(|client| {
            let wait = breaker.wait(&client);
            (client, wait)
        })
        .collect()
    }

    /// The clients that are rejected by what is stored, and not by what this process has seen. `None` if nobody can tell.
    async fn rejected_unseen(&self) -> Option<Vec<ClientKey>> {
        let standings = match self.broker.ports().store.clients().await {
            Ok(standings) => standings,
            Err(error) => {
                debug!(%error, "how clients stand cannot be read");
                return None;
            }
        };
        let is_rejected = standings.into_iter().filter(|standing| {
            let health = standing.health.as_ref();
            health.is_some_and(|health| health.rejected)
        });
        let unseen = is_rejected
            .map(|standing| standing.client)
            .filter(|client| self.broker.breaker_state(client) == BreakerState::Closed);
        Some(unseen.collect())
    }

    /// One probe of a client that waited for so long, if it is this process's turn and there is a grant for it.
    async fn probe(&self, client: &ClientKey, wait: Duration) {
        let ports = self.broker.ports();
        if ports.providers.check(client).is_err() || self.broker.room(client) == 0 {
            return;
        }
        let breaker = self.broker.breaker();
        match ports.store.claim_probe(client, wait.mul_f64(WAITED)).await {
            Ok(ProbeTurn::Ours) => {}
            Ok(ProbeTurn::Taken) => return breaker.probed_elsewhere(client),
            // Somebody told its recovery, which will be heard here as well; or its rejection is not stored, and the
            // next probe tells it.
            Ok(ProbeTurn::NotRejected) if breaker.was_told(client) => {
                breaker.untold(client);
                return breaker.put_off(client);
            }
            Ok(ProbeTurn::NotRejected) => {}
            Err(error) => {
                debug!(%client, %error, "whose turn it is to probe a client cannot be read");
                return;
            }
        }
        if let Err(error) = self.refresh_one(client).await {
            debug!(%client, %error, "no grant can be found to probe a client with");
        }
        // Unless a call was made, whose outcome says when the next one is due.
        breaker.put_off(client);
    }

    /// Refreshes the first grant that will do ahead of its time.
    async fn refresh_one(&self, client: &ClientKey) -> Result<(), StoreError> {
        let ports = self.broker.ports();
        let was_seen = self.broker.breaker().is_due(client);
        let now = ports.clock.now();
        let mut looked_at = HashSet::new();
        for limit in CANDIDATES {
            let found = ports.store.to_probe(client, now, limit).await?;
            let is_all = found.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            for id in found {
                if !looked_at.insert(id.clone()) {
                    continue;
                }
                let grant = match ports.store.grant(&id).await {
                    Ok(Some(grant)) if self.will_do(&grant, now) => grant,
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    // One that cannot be opened is of no use here.
                    _ => continue,
                };
                self.refresh(grant, now).await;
                // Where something else came in the way of a call, another grant may do.
                if !was_seen || !self.broker.breaker().is_due(client) {
                    return Ok(());
                }
            }
            if is_all {
                break;
            }
        }
        Ok(())
    }

    async fn refresh(&self, grant: Grant, now: Timestamp) {
        let facts = grant.facts;
        let client = facts.client.clone();
        info!(%client, grant = %facts.id, "probing a rejected client with a refresh ahead of time");
        let due = DueGrant {
            id: facts.id,
            generation: facts.generation,
            client: facts.client,
            grant_type: facts.grant_type,
            due_at: now,
        };
        let outcome = self.broker.renew(&due).await;
        debug!(%client, outcome = outcome.as_str(), "a client was probed");
    }

    /// Whether a refresh of the grant would make a call now, and one that tells how the client stands.
    fn will_do(&self, grant: &Grant, now: Timestamp) -> bool {
        let facts = &grant.facts;
        let ports = self.broker.ports();
        let Ok(profile) = ports.providers.profile(&facts.client) else {
            return false;
        };
        let renewal = &profile.renewal;
        let has_ended = facts.expires_at.is_some_and(|end| end <= now);
        let young_until = renewal.young_until(facts.issued_at, facts.expires_at);
        renewal.can_renew(facts.grant_type, facts.refreshable)
            && !(renewal.only_while_valid && has_ended)
            && young_until.is_none_or(|until| until <= now)
            && !grant.tokens.means.bring_client()
            && !self.broker.is_cooling(&facts.id, facts.generation)
    }
}
