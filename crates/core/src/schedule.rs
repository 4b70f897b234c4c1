//! Background renewal: grants are refreshed ahead of their expiry, so that callers rarely wait.
//!
//! Every replica looks for what is due; the leader lock and the lease let one of them do it, and a flight of this
//! kind never waits for another. A page of due grants holds a bounded number of any one client, so that none
//! keeps the others waiting; a dead grant is not due, so it is never looked at again. One that only an operator can
//! mend stays due, and so does one whose row is damaged or whose attempt broke off: it rests for longer each time, and
//! others take its place on the page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::broker::Broker;
use crate::clock::Clock;
use crate::failure::FailureReason;
use crate::ids::{ClientKey, GrantId};
use crate::refresh::Outcome;
use crate::store::{DueGrant, Store};

/// How background renewal paces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often to look for what is due, ± 20 %.
    pub interval: Duration,
    /// How many renewals run at a time.
    pub concurrency: usize,
    /// How many due grants of one client are taken at a time.
    pub per_client: u32,
}

/// Renews what is due until it is told to stop.
pub struct Scheduler {
    broker: Arc<Broker>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    tracker: TaskTracker,
    rests: Arc<Rests>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl Scheduler {
    /// A scheduler whose renewals are tracked by `tracker`.
    pub fn new(
        broker: Arc<Broker>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        pace: Pace,
        tracker: TaskTracker,
    ) -> Self {
        Self {
            broker,
            store,
            clock,
            pace,
            tracker,
            rests: Arc::default(),
        }
    }

    /// Looks for what is due, at once and then at every interval, until `stop` is cancelled. Renewals that
    /// have begun then go on to their end.
    pub async fn run(self, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.pace.concurrency));
        loop {
            let full_page = self.round(&places, &stop).await;
            let pause = if full_page {
                Duration::from_millis(10)
            } else {
                self.pace.interval.mul_f64(0.8 + 0.4 * fastrand::f64())
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One look, and a renewal for each grant that it finds. Answers whether there is likely more.
    async fn round(&self, places: &Arc<Semaphore>, stop: &CancellationToken) -> bool {
        let limit = u32::try_from(self.pace.concurrency * 2).unwrap_or(u32::MAX);
        let resting = self.rests.count();
        let more = |bound: u32| bound.saturating_add(resting);
        let (most, per_client) = (more(limit), more(self.pace.per_client));
        let due = match self.store.due(self.clock.now(), most, per_client).await {
            Ok(due) => self.rests.pick(due, limit, self.pace.per_client),
            Err(error) => {
                warn!(%error, "cannot look for grants to renew");
                return false;
            }
        };
        let full_page = due.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let mut begun = 0;
        let mut room: HashMap<ClientKey, usize> = HashMap::new();
        for grant in shuffled(due) {
            let room = room
                .entry(grant.client.clone())
                .or_insert_with(|| self.broker.room(&grant.client));
            if *room == 0 {
                continue;
            }
            *room -= 1;
            let place = tokio::select! {
                place = Arc::clone(places).acquire_owned() => place,
                () = stop.cancelled() => return false,
            };
            let Ok(place) = place else { return false };
            let broker = Arc::clone(&self.broker);
            let rests = Arc::clone(&self.rests);
            begun += 1;
            self.tracker.spawn(async move {
                let outcome = broker.renew(&grant).await;
                rests.learn(&grant.id, &outcome);
                if let Outcome::Failed(failure) = outcome {
                    debug!(grant = %grant.id, reason = %failure.reason, "not renewed");
                }
                drop(place);
            });
        }
        full_page && begun > 0
    }
}

/// Replicas that look at the same page start at different ends of it.
fn shuffled(mut due: Vec<DueGrant>) -> Vec<DueGrant> {
    fastrand::shuffle(&mut due);
    due
}

const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// Further resting grants may fill pages that others then wait for.
const MOST_COUNTED: usize = 10_000;

/// Grants whose renewal failed, and stay due because the database knows nothing of it.
#[derive(Debug, Default)]
struct Rests(Mutex<HashMap<GrantId, Rest>>);

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    length: Duration,
}

impl Rests {
    /// How many grants may stand on a page without being tried. Forgets those of which nothing was heard for long.
    fn count(&self) -> u32 {
        let now = Instant::now();
        let mut rests = self.rests();
        rests.retain(|_, rest| now < rest.until + 2 * LONGEST_REST);
        u32::try_from(rests.len().min(MOST_COUNTED)).unwrap_or(u32::MAX)
    }

    /// The grants of a page that do not rest: at most `limit`, and at most `per_client` of any one client.
    fn pick(&self, page: Vec<DueGrant>, limit: u32, per_client: u32) -> Vec<DueGrant> {
        let now = Instant::now();
        let rests = self.rests();
        let mut taken: HashMap<ClientKey, u32> = HashMap::new();
        page.into_iter()
            .filter(|grant| rests.get(&grant.id).is_none_or(|rest| rest.until <= now))
            .filter(|grant| {
                let taken = taken.entry(grant.client.clone()).or_default();
                *taken += 1;
                *taken <= per_client
            })
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect()
    }

    /// Takes note of how a renewal ended.
    fn learn(&self, id: &GrantId, outcome: &Outcome) {
        let stays_due = matches!(
            outcome,
            Outcome::Failed(failure) if matches!(
                failure.reason,
                FailureReason::KeyUnavailable
                    | FailureReason::SubjectInvalid
                    | FailureReason::GrantUnusable
                    | FailureReason::UnknownClient
                    | FailureReason::Internal
            )
        );
        let mut rests = self.rests();
        if !stays_due {
            rests.remove(id);
            return;
        }
        let length = rests
            .get(id)
            .map_or(FIRST_REST, |rest| (rest.length * 2).min(LONGEST_REST));
        let until = Instant::now() + length;
        rests.insert(id.clone(), Rest { until, length });
    }

    fn rests(&self) -> MutexGuard<'_, HashMap<GrantId, Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::grant::GrantType;
    use crate::ids::{ClientName, Generation, ProviderName};
    use crate::refresh::Failure;

    fn due(client: &str) -> DueGrant {
        DueGrant {
            id: GrantId::random(),
            generation: Generation::FIRST,
            client: ClientKey {
                provider: ProviderName::parse("slack").unwrap(),
                client: ClientName::parse(client).unwrap(),
            },
            grant_type: GrantType::AuthorizationCode,
            due_at: Timestamp::from_millis(0),
        }
    }

    fn failed(reason: FailureReason) -> Outcome {
        Outcome::Failed(Failure::new(reason, ""))
    }

    fn is_tried(rests: &Rests, grant: &DueGrant) -> bool {
        !rests.pick(vec![grant.clone()], 1, 1).is_empty()
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_that_stays_due_without_a_token_rests_for_longer_each_time() {
        for reason in [
            FailureReason::Internal,
            FailureReason::KeyUnavailable,
            FailureReason::UnknownClient,
            FailureReason::GrantUnusable,
        ] {
            let (rests, grant) = (Rests::default(), due("main"));
            for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
                assert!(is_tried(&rests, &grant));
                rests.learn(&grant.id, &failed(reason));
                tokio::time::advance(Duration::from_secs(seconds - 1)).await;
                assert!(!is_tried(&rests, &grant), "{seconds}");
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            rests.learn(&grant.id, &Outcome::Busy);
            rests.learn(&grant.id, &failed(reason));
            tokio::time::advance(FIRST_REST).await;
            assert!(
                is_tried(&rests, &grant),
                "it begins anew after anything else"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_the_store_remembers_needs_no_rest() {
        let (rests, grant) = (Rests::default(), due("main"));
        rests.learn(&grant.id, &failed(FailureReason::ProviderUnavailable));
        assert!(is_tried(&rests, &grant));
    }

    #[tokio::test(start_paused = true)]
    async fn grants_that_rest_leave_their_places_to_others() {
        let rests = Rests::default();
        let unopenable = [due("main"), due("main")];
        for grant in &unopenable {
            rests.learn(&grant.id, &failed(FailureReason::KeyUnavailable));
        }
        assert_eq!(rests.count(), 2, "by so many is the page longer");
        let sound = [due("main"), due("main"), due("other"), due("other")];
        let page: Vec<_> = unopenable.iter().chain(&sound).cloned().collect();
        assert_eq!(rests.pick(page.clone(), 4, 2), sound);
        let [first, _, third, _] = sound;
        assert_eq!(rests.pick(page, 2, 1), [first, third]);
        tokio::time::advance(3 * LONGEST_REST).await;
        assert_eq!(rests.count(), 0);
    }
}
