//! The broker: the one place where the order of the steps of a `GetToken` is written.

use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::refusal::Refusal;
use self::scoped::NoGrant;
use self::subject::Trail;
use crate::breaker::ClientBreaker;
use crate::budget::Budgets;
use crate::cache::LiveGrant;
use crate::clock::Timestamp;
use crate::failure::FailureReason;
use crate::freshness::Freshness;
use crate::ids::{CredentialKey, Generation, GrantId};
use crate::memory::{Known, Memory};
use crate::refresh::{Cause, Failure, Limits, Outcome, Ports, Refresher};
use crate::scopes::ScopeSet;
use crate::singleflight::Flights;
use crate::terminal::DeadGrant;

mod ask;
mod flight;
mod health;
mod hold;
mod lookup;
mod refusal;
mod scoped;
mod subject;
mod upkeep;

pub use self::ask::{Answer, Ask, Refused, TokenError};

/// How often a call joins another flight when the last one brought nothing newer than what it refuses.
const FLIGHTS_PER_CALL: u32 = 3;

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
    /// The exchanges whose subject was renewed because its token was refused, and of which generation they were.
    subjects_renewed: Cache<GrantId, Generation>,
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
            subjects_renewed: Cache::new(capacity),
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

    /// Whether nothing newer is known of a grant that a flight found dead.
    fn is_still_dead(&self, dead: &DeadGrant) -> bool {
        let known = self.memory.grant(&dead.id);
        matches!(known, Some(Known::Dead(known)) if known.version == dead.version)
    }

    async fn get_token_slowly(
        &self,
        key: &CredentialKey,
        ask: &Ask,
        trail: Trail<'_>,
    ) -> Result<Answer, TokenError> {
        let mut last: Option<Outcome> = None;
        let mut read_again = false;
        for _ in 0..FLIGHTS_PER_CALL {
            let base = match self.find(key).await? {
                Known::Live(live) => live,
                Known::Dead(dead) => return Err(invalidated(key, &dead)),
            };
            let Some(live) = self.of_scopes(key, &base, ask).await? else {
                last = None;
                continue;
            };
            let live = newest_of(live, last.as_ref());
            let now = self.ports.clock.now();
            let called = matches!(
                &last,
                Some(Outcome::Token { live: brought, called: true })
                    if brought.grant.facts.generation == live.grant.facts.generation
            );
            let refusal = refusal::judge(&live, ask.refused);
            if refusal == Refusal::Newer && !read_again {
                // Another replica may have stored what this one has not heard of. If the database has no such generation
                // either, it is of a time that a backup has undone, or never was: the token at hand is another.
                self.read_again(key, &base, &live).await?;
                read_again = true;
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
                Outcome::Dead(dead)
                    if live.grant.facts.parent.is_none() && self.is_still_dead(&dead) =>
                {
                    return Err(invalidated(key, &dead));
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
        // Whoever is asked why needs to know what became of the attempts.
        let outcome = last.as_ref().map_or("none", Outcome::as_str);
        warn!(credential = %key, outcome, "refreshes ended, and none left a token to hand out");
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
}

/// What the last flight brought, where it is newer than what the row has: it is not stored yet, and the row tells that
/// the grant lives.
fn newest_of(live: Arc<LiveGrant>, last: Option<&Outcome>) -> Arc<LiveGrant> {
    let Some(Outcome::Token { live: brought, .. }) = last else {
        return live;
    };
    let (known, new) = (&live.grant.facts, &brought.grant.facts);
    if new.id == known.id && new.generation > known.generation {
        return Arc::clone(brought);
    }
    live
}

fn invalidated(key: &CredentialKey, dead: &DeadGrant) -> TokenError {
    TokenError::Invalidated {
        key: key.clone(),
        generation: dead.generation,
        invalidation: dead.invalidation.clone(),
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
