//! The broker: the one place where the order of the steps of a `GetToken` is written.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Span;

use self::scoped::NoGrant;
use self::subject::Trail;
use crate::announce::Announcer;
use crate::budget::Budgets;
use crate::cache::LiveGrant;
use crate::change::plan::MAX_DERIVED;
use crate::clock::Timestamp;
use crate::cooldown::ClientBreaker;
use crate::events::{Event, EventBody};
use crate::failure::FailureReason;
use crate::freshness::Freshness;
use crate::grant::{GrantType, Invalidation};
use crate::ids::{CredentialKey, Generation, GrantId};
use crate::memory::{Known, Memory};
use crate::refresh::{
    Cause, Failure, Limits, Outcome, Ports, Refresher, Subject, Trigger, flight_span, no_place,
};
use crate::registry::Registry;
use crate::revocation::Revoker;
use crate::scopes::ScopeSet;
use crate::singleflight::{Flight, FlightLost, Flights};
use crate::store::{DueGrant, GrantVersion, StoreError};

mod health;
mod scoped;
mod subject;

/// How often a call joins another flight when the last one brought nothing newer than what it refuses.
const FLIGHTS_PER_CALL: u32 = 3;
/// A token that was obtained because its predecessor was refused, and is refused itself, is not renewed again
/// for this long: the next one would be refused as well (a missing scope, say).
const REFUSAL_QUIET: Duration = Duration::from_secs(30);

/// What a caller wants of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ask {
    /// How long it must still be valid.
    pub min_validity: Duration,
    /// Exactly of which scopes it is to be, where tokens are minted. `None`: of those that the credential has.
    pub scopes: Option<ScopeSet>,
    /// The token that the provider's API refused.
    pub refused: Option<Refused>,
    /// When the caller stops waiting; the work goes on. `None`: it waits for as long as a flight takes.
    pub deadline: Option<Instant>,
}

/// How a caller names a token that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// By the generation that it came with.
    Generation(Generation),
    /// By the SHA-256 of its text.
    Sha256([u8; 32]),
}

/// A token to hand out.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The grant with the token.
    pub live: Arc<LiveGrant>,
    /// The time at which it was judged good.
    pub now: Timestamp,
    /// Whether a provider call made for this or a concurrent request brought it.
    pub refreshed: bool,
    /// Why it was not renewed although that was due.
    pub failure: Option<Failure>,
}

/// Why there is no token to hand out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// There is no such credential.
    #[error("credential {0} does not exist")]
    NotFound(CredentialKey),
    /// Its grant is dead; its user must connect again.
    #[error("credential {key} is invalidated: {}", .invalidation.words())]
    Invalidated {
        /// The credential.
        key: CredentialKey,
        /// The generation that died.
        generation: Generation,
        /// Why and when.
        invalidation: Invalidation,
    },
    /// It could not be renewed, and the token at hand is no good.
    #[error("credential {key}: {}", .failure.message)]
    Failed {
        /// The credential.
        key: CredentialKey,
        /// Why.
        failure: Failure,
    },
    /// It has no tokens of the scopes that were asked for.
    #[error("credential {key} has no tokens of other scopes: {why}")]
    Scopes {
        /// The credential.
        key: CredentialKey,
        /// Why it has none.
        why: &'static str,
    },
    /// Tokens of too many sets of scopes are in use.
    #[error(
        "credential {0} has tokens of {MAX_DERIVED} sets of scopes in use; no other may be asked for now"
    )]
    TooManyScopeSets(CredentialKey),
    /// The caller's deadline passed; the refresh goes on, and the next call profits.
    #[error("credential {0} is still being refreshed")]
    InProgress(CredentialKey),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hands out tokens.
#[derive(Debug)]
pub struct Broker {
    ports: Ports,
    memory: Arc<Memory>,
    breaker: Arc<ClientBreaker>,
    budgets: Arc<Budgets>,
    refresher: Arc<Refresher>,
    lookups: Flights<CredentialKey, Result<Option<Known>, Failure>>,
    derivations: Flights<(GrantId, ScopeSet), Result<Arc<LiveGrant>, NoGrant>>,
    flights: Flights<GrantId, Outcome>,
    tracker: TaskTracker,
}

impl Broker {
    /// A broker that remembers `capacity` credentials and whose work is tracked by `tracker`. Once `stop` is
    /// cancelled it begins no refresh.
    pub fn new(
        ports: Ports,
        limits: Limits,
        capacity: usize,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let memory = Arc::new(Memory::new(capacity));
        let breaker = Arc::new(ClientBreaker::default());
        let budgets = Arc::new(Budgets::new(limits.per_client));
        let refresher = Refresher::new(
            ports.clone(),
            limits,
            Arc::clone(&memory),
            Arc::clone(&breaker),
            Arc::clone(&budgets),
            stop,
        );
        Self {
            ports,
            memory,
            breaker,
            budgets,
            refresher: Arc::new(refresher),
            lookups: Flights::new(tracker.clone()),
            derivations: Flights::new(tracker.clone()),
            flights: Flights::new(tracker.clone()),
            tracker: tracker.clone(),
        }
    }

    /// A token of `key` that satisfies `ask`.
    ///
    /// From memory where it can be, without I/O; else after the grant's flight. Cancelling it changes nothing
    /// for the flight or for others who wait for it.
    pub async fn get_token(&self, key: &CredentialKey, ask: &Ask) -> Result<Answer, TokenError> {
        // The hot path: no allocation, no I/O, no await that could wait.
        if let Some(live) = self.at_hand(key, ask) {
            let now = self.ports.clock.now();
            if ask.refused.is_none()
                && live.validity.assess(now, ask.min_validity) == Freshness::Fresh
            {
                metrics::counter!("evergrant_cache_hits_total").increment(1);
                return Ok(answer(live, now, false, None));
            }
        }
        let work = self.get_token_slowly(key, ask, &[]);
        match ask.deadline {
            None => work.await,
            Some(deadline) => tokio::time::timeout_at(deadline, work)
                .await
                .unwrap_or_else(|_| Err(TokenError::InProgress(key.clone()))),
        }
    }

    /// The grant that may answer, if it is remembered.
    fn at_hand(&self, key: &CredentialKey, ask: &Ask) -> Option<Arc<LiveGrant>> {
        let Known::Live(live) = self.memory.find(key)? else {
            return None;
        };
        match &ask.scopes {
            None => Some(live),
            Some(scopes) => self.memory.of_scopes(&live, scopes),
        }
    }

    async fn get_token_slowly(
        &self,
        key: &CredentialKey,
        ask: &Ask,
        trail: Trail<'_>,
    ) -> Result<Answer, TokenError> {
        let mut last: Option<Outcome> = None;
        for _ in 0..FLIGHTS_PER_CALL {
            let base = match self.find(key).await? {
                Known::Live(live) => live,
                Known::Dead(dead) => {
                    return Err(TokenError::Invalidated {
                        key: key.clone(),
                        generation: dead.generation,
                        invalidation: dead.invalidation.clone(),
                    });
                }
            };
            let Some(live) = self.of_scopes(key, base, ask).await? else {
                last = None;
                continue;
            };
            let now = self.ports.clock.now();
            let called = matches!(
                &last,
                Some(Outcome::Token { live: brought, called: true })
                    if brought.grant.facts.generation == live.grant.facts.generation
            );
            let refusal = judge_refusal(&live, ask.refused);
            if refusal == Refusal::Newer {
                // The caller has seen a newer generation than this replica remembers.
                self.memory.forget(&live.grant.facts.id);
                last = None;
                continue;
            }
            let is_refused = refusal == Refusal::Current;
            let freshness = live.validity.assess(now, ask.min_validity);
            let moved = matches!(&last, Some(Outcome::Token { .. }));
            // A flight that moved the generation has done what can be done about the expiry.
            if !is_refused
                && (moved && live.validity.is_valid(now) || freshness == Freshness::Fresh)
            {
                return Ok(answer(live, now, called, None));
            }
            if let Some(failure) = self.held_back(&live, is_refused, now) {
                return self.settle_for(key, live, now, is_refused, failure);
            }
            if !is_refused && freshness == Freshness::DueSoon {
                let (client, limits) = (&live.grant.facts.client, live.profile.limits);
                let has_room = || self.budgets.room(client, limits) > 0;
                if live.is_renewable()
                    && has_room()
                    && let Some(subject) = self.subject_at_hand(&live.grant)
                {
                    self.start_flight(&live, Cause::Renewal, subject);
                }
                return Ok(answer(live, now, called, None));
            }
            if !is_refused && !live.is_renewable() && live.validity.is_valid(now) {
                // It cannot be renewed, so no longer-lived one can be had.
                return Ok(answer(live, now, called, None));
            }
            let cause = if is_refused {
                Cause::Refusal
            } else {
                Cause::Expiry
            };
            let subject = match self.subject(&live.grant, trail).await {
                Ok(subject) => subject,
                Err(failure) => return self.settle_for(key, live, now, is_refused, failure),
            };
            match self.fly(&live, cause, subject.clone()).await {
                Outcome::Failed(failure) => {
                    self.learn_of_refusal(&live.grant, &subject, &failure, trail)
                        .await;
                    let now = self.ports.clock.now();
                    return self.settle_for(key, live, now, is_refused, failure);
                }
                outcome => {
                    if let (Outcome::Gone, Some(parent)) = (&outcome, &live.grant.facts.parent) {
                        // It went because its parent moved on.
                        self.memory.forget(parent);
                    }
                    last = Some(outcome);
                }
            }
        }
        let failure = Failure {
            reason: FailureReason::ProviderUnavailable,
            message: "no newer token could be had".into(),
            next_at: None,
            cooling: true,
        };
        Err(TokenError::Failed {
            key: key.clone(),
            failure,
        })
    }

    /// Begins to renew a grant that background work found due, without waiting for anybody else's attempt.
    /// Ends with the flight.
    pub async fn renew(&self, due: &DueGrant) -> Outcome {
        let trigger = Trigger {
            seen: due.generation,
            cause: Cause::Renewal,
        };
        let subject = match due.grant_type {
            GrantType::TokenExchange => self.subject_of_due(&due.id).await,
            _ => Ok(Subject::default()),
        };
        match subject {
            Ok(subject) => self.fly_for(&due.id, trigger, subject).await,
            Err(outcome) => outcome,
        }
    }

    async fn subject_of_due(&self, id: &GrantId) -> Result<Subject, Outcome> {
        let found = self.ports.store.grant(id).await;
        let found = found.map_err(|error| Outcome::Failed(Failure::from_store(&error)))?;
        let grant = found.ok_or(Outcome::Gone)?;
        self.subject(&grant, &[]).await.map_err(Outcome::Failed)
    }

    /// The registry whose changes this broker's memory follows at once.
    pub fn registry(&self) -> Registry {
        Registry::new(self.refresher.changes().clone())
    }

    /// What tells, every `interval`, of ends that come near.
    pub fn announcer(&self, interval: Duration) -> Announcer {
        let ports = &self.ports;
        Announcer::new(
            self.registry(),
            Arc::clone(&ports.store),
            Arc::clone(&ports.providers),
            Arc::clone(&ports.clock),
            interval,
        )
    }

    /// What deletes credentials whose grants are revoked first; its work is tracked like this broker's.
    pub fn revoker(&self) -> Revoker {
        Revoker::new(Arc::clone(&self.refresher), self.tracker.clone())
    }

    /// Learns where a grant stands: what is remembered of an older version is forgotten.
    pub fn learn(&self, version: &GrantVersion) {
        self.memory.learn(&version.id, version.version);
    }

    /// Forgets everything, when notices may have been missed.
    pub fn forget_all(&self) {
        self.memory.forget_all();
    }

    /// Forgets what has expired.
    pub fn purge_expired(&self) {
        self.memory.purge_expired(self.ports.clock.now());
    }

    /// Learns from an event that another replica told. A client that somebody saw rejected is probed here too,
    /// so that whoever succeeds first tells its recovery, and all go on at once.
    pub fn observe(&self, event: &Event) {
        match &event.body {
            EventBody::ClientRejected(rejected) => {
                let (code, message) = (&rejected.provider_error, &rejected.message);
                self.breaker.reject(&rejected.client, code, message);
            }
            EventBody::ClientRecovered(recovered) => {
                self.breaker.accept(&recovered.client);
            }
            EventBody::ClientReleased(_) => self.memory.thaw(),
            _ => {}
        }
    }

    /// Stores what this process left in escrow in an earlier life. To be called before serving.
    pub async fn replay_escrow(&self) -> Result<u64, StoreError> {
        self.refresher.replay_escrow().await
    }

    /// The time to shut down is over: tells, in the log and as `evergrant_rotations_lost_total`, of every token
    /// set that was got from a provider and is neither stored nor in escrow. Answers their grants. To be called
    /// right before the process ends.
    pub fn give_up(&self) -> Vec<GrantId> {
        self.refresher.give_up()
    }

    /// The grant of a credential, from memory or from one read that all concurrent callers share.
    async fn find(&self, key: &CredentialKey) -> Result<Known, TokenError> {
        if let Some(known) = self.memory.find(key) {
            return Ok(known);
        }
        metrics::counter!("evergrant_cache_misses_total").increment(1);
        let ports = self.ports.clone();
        let memory = Arc::clone(&self.memory);
        let wanted = key.clone();
        let lookup = self
            .lookups
            .join(key.clone(), Span::none, |landing| async move {
                landing.land(look_up(&ports, &memory, &wanted).await);
            });
        match lookup.outcome().await {
            Ok(Ok(Some(known))) => Ok(known),
            Ok(Ok(None)) => Err(TokenError::NotFound(key.clone())),
            Ok(Err(failure)) => Err(TokenError::Failed {
                key: key.clone(),
                failure,
            }),
            Err(FlightLost) => Err(TokenError::Failed {
                key: key.clone(),
                failure: lost(),
            }),
        }
    }

    async fn fly(&self, live: &LiveGrant, cause: Cause, subject: Subject) -> Outcome {
        let trigger = Trigger {
            seen: live.grant.facts.generation,
            cause,
        };
        self.fly_for(&live.grant.facts.id, trigger, subject).await
    }

    async fn fly_for(&self, id: &GrantId, trigger: Trigger, subject: Subject) -> Outcome {
        loop {
            let flight = self.join(id, trigger, subject.clone());
            match flight.outcome().await {
                // It was nobody's to wait in; this caller waits.
                Ok(Outcome::Busy) if trigger.cause != Cause::Renewal => {}
                // It brought what this caller has seen already, and only still tells others of it.
                Ok(Outcome::Token { live, .. })
                    if flight.joined() && live.grant.facts.generation <= trigger.seen =>
                {
                    flight.landed().await;
                }
                Ok(outcome) => return outcome,
                Err(FlightLost) => return Outcome::Failed(lost()),
            }
        }
    }

    fn start_flight(&self, live: &LiveGrant, cause: Cause, subject: Subject) {
        let trigger = Trigger {
            seen: live.grant.facts.generation,
            cause,
        };
        drop(self.join(&live.grant.facts.id, trigger, subject));
    }

    fn join(&self, id: &GrantId, trigger: Trigger, subject: Subject) -> Flight<Outcome> {
        let refresher = Arc::clone(&self.refresher);
        let grant = id.clone();
        let flight = self.flights.join(
            id.clone(),
            || flight_span(id, trigger),
            |landing| refresher.fly(grant, trigger, subject, landing),
        );
        if flight.joined() {
            metrics::counter!("evergrant_flight_joiners_total").increment(1);
        } else {
            metrics::counter!("evergrant_flights_total").increment(1);
        }
        flight
    }

    /// Why no flight would make a call now.
    fn held_back(&self, live: &LiveGrant, is_refused: bool, now: Timestamp) -> Option<Failure> {
        let facts = &live.grant.facts;
        let quiet_until = facts.issued_at.plus(REFUSAL_QUIET);
        if is_refused && live.made_for_refusal && now < quiet_until {
            metrics::counter!("evergrant_new_token_refused_total").increment(1);
            return Some(Failure {
                reason: FailureReason::ProviderUnavailable,
                message: "the token that replaced a refused one was refused too".into(),
                next_at: Some(quiet_until),
                cooling: true,
            });
        }
        if !live.is_renewable() {
            return None;
        }
        if let Err(error) = self.ports.providers.check(&facts.client) {
            return Some(Failure::new(
                FailureReason::UnknownClient,
                error.to_string(),
            ));
        }
        if !live.grant.tokens.means.bring_client()
            && let Some(refusal) = self.breaker.refusal(&facts.client)
        {
            return Some(Failure {
                reason: FailureReason::ClientRejected,
                message: refusal.message,
                next_at: Some(now.plus(refusal.retry_after)),
                cooling: true,
            });
        }
        let renewal = &live.profile.renewal;
        let young_until = renewal.young_until(facts.issued_at, facts.expires_at);
        if let Some(until) = young_until.filter(|until| now < *until) {
            return Some(Failure::too_young(until));
        }
        let cooling = self.memory.cooling(&facts.id, facts.generation, now);
        cooling.or_else(|| {
            let full = self.budgets.refusal(&facts.client)?;
            Some(no_place(full, now))
        })
    }

    /// The token at hand if it is still valid and not refused, with why it was not renewed; else the failure.
    fn settle_for(
        &self,
        key: &CredentialKey,
        live: Arc<LiveGrant>,
        now: Timestamp,
        is_refused: bool,
        failure: Failure,
    ) -> Result<Answer, TokenError> {
        if !is_refused && live.validity.is_valid(now) {
            return Ok(answer(live, now, false, Some(failure)));
        }
        Err(TokenError::Failed {
            key: key.clone(),
            failure,
        })
    }
}

fn answer(
    live: Arc<LiveGrant>,
    now: Timestamp,
    refreshed: bool,
    failure: Option<Failure>,
) -> Answer {
    Answer {
        live,
        now,
        refreshed,
        failure,
    }
}

/// How a refused token relates to the one at hand.
#[derive(PartialEq, Eq)]
enum Refusal {
    /// None was refused, or an older one: the one at hand is not known to be bad.
    NotCurrent,
    /// It is the one at hand.
    Current,
    /// It is newer than the one at hand.
    Newer,
}

fn judge_refusal(live: &LiveGrant, refused: Option<Refused>) -> Refusal {
    match refused {
        None => Refusal::NotCurrent,
        Some(Refused::Generation(refused)) => match refused.cmp(&live.grant.facts.generation) {
            std::cmp::Ordering::Less => Refusal::NotCurrent,
            std::cmp::Ordering::Equal => Refusal::Current,
            std::cmp::Ordering::Greater => Refusal::Newer,
        },
        Some(Refused::Sha256(refused)) if refused == *live.token_sha256() => Refusal::Current,
        Some(Refused::Sha256(_)) => Refusal::NotCurrent,
    }
}

async fn look_up(
    ports: &Ports,
    memory: &Memory,
    key: &CredentialKey,
) -> Result<Option<Known>, Failure> {
    let grant = ports.store.grant_of(key).await;
    let Some(grant) = grant.map_err(|error| Failure::from_store(&error))? else {
        return Ok(None);
    };
    let profile = ports
        .providers
        .profile(&grant.facts.client)
        .map_err(|error| Failure::new(FailureReason::UnknownClient, error.to_string()))?;
    let known = memory.remember(grant, profile, false);
    memory.bind(key, known.id());
    Ok(Some(known))
}

fn lost() -> Failure {
    Failure::new(
        FailureReason::Internal,
        "the attempt ended without an outcome",
    )
}
