//! The refresh protocol: one flight from "this token is due" to an outcome that all callers share.
//!
//! Redis makes it fast, the database makes it right: who may call the provider is decided by the one statement
//! behind [`GrantStore::claim`](crate::store::GrantStore::claim), and who may write the outcome by the generation
//! that was read. The steps of a flight, in order:
//!
//! 1. *look* (`flight`): read the row; a newer generation, a dead grant or a cool-down ends the flight here.
//! 2. *place* ([`crate::budget`]): wait, not for ever, until the client's budget has room.
//! 3. *lock* ([`crate::leader`]): lead, or wait for who leads and look again.
//! 4. *lease* (`attempt`): claim the grant in the database; nobody else may call the provider while it runs.
//! 5. *escrow*: a token set that a crashed leader left behind is adopted instead of calling.
//! 6. *call*, only while the lease outlasts the call and the commit.
//! 7. *settle* (`settle`): escrow and commit the tokens, or confirm that the grant is dead and tell it, or
//!    remember when to try again.
//!
//! Exactly one call cannot be promised to a provider that checks no fencing token. What holds: at most one token set
//! is stored per generation, and none is overwritten by an older one; without faults there is one call per
//! generation; after a crash or a lost answer there is one more, counted as a recovery call; and two calls are in
//! flight at once only if a process was paused for longer than its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::attempts::AttemptLog;
use crate::breaker::ClientBreaker;
use crate::budget::Budgets;
use crate::cache::LiveGrant;
use crate::change::run::Changes;
use crate::clock::{Clock, Timestamp};
use crate::coordinator::{Bus, Escrow, Locks};
use crate::failure::FailureReason;
use crate::grant::Grant;
use crate::ids::{Generation, GrantId, ReplicaName};
use crate::leader::LeaderLock;
use crate::memory::{Known, Memory, Origin};
use crate::provider::Providers;
use crate::secret::AccessToken;
use crate::store::{Store, StoreError};
use crate::terminal::DeadGrant;
pub(crate) use flight::flight_span;
pub(crate) use place::no_place;
use unsaved::Unsaved;

mod attempt;
mod flight;
mod look;
mod merge;
mod place;
mod polls;
mod record;
mod revoke;
mod settle;
mod unsaved;

/// Everything outside that the protocol speaks to.
#[derive(Clone)]
pub struct Ports {
    /// The database.
    pub store: Arc<dyn Store>,
    /// Leader locks.
    pub locks: Arc<dyn Locks>,
    /// Token sets between answer and commit.
    pub escrow: Arc<dyn Escrow>,
    /// Notices between replicas.
    pub bus: Arc<dyn Bus>,
    /// Token endpoints.
    pub providers: Arc<dyn Providers>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What attempts came to.
    pub attempts: Arc<dyn AttemptLog>,
    /// What this process is called among replicas.
    pub replica: ReplicaName,
}

impl Ports {
    /// Remembers a grant as it was read or written. A token that was minted with a configuration of before counts as
    /// one that has expired.
    pub(crate) fn remember(
        &self,
        memory: &Memory,
        mut grant: Grant,
        origin: Origin,
    ) -> Result<Known, Failure> {
        let profile = self.providers.profile(&grant.facts.client);
        let profile = profile
            .map_err(|error| Failure::new(FailureReason::UnknownClient, error.to_string()))?;
        if self.providers.is_outdated(&grant) {
            grant.facts.expires_at = Some(grant.facts.issued_at);
        }
        Ok(memory.remember(grant, profile, origin))
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// How long the steps of a refresh may take, and how many may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One provider call, body included.
    pub attempt_timeout: Duration,
    /// One commit.
    pub store_timeout: Duration,
    /// The database lease and the leader lock. At least [`Limits::shortest_lease`].
    pub lease: Duration,
    /// Refreshes of one client that run at a time in this process, where nothing else is said of the client.
    pub per_client: usize,
}

impl Limits {
    /// What the provider may still be doing with a request that was given up here.
    const QUARANTINE: Duration = Duration::from_secs(2);

    /// The shortest lease in which two calls and a commit fit.
    pub fn shortest_lease(&self) -> Duration {
        self.attempt_timeout * 2 + self.store_timeout + Self::QUARANTINE
    }

    /// How long a crashed leader may hold others up, and the call of its successor last.
    fn longest_hold(&self) -> Duration {
        self.lease + self.attempt_timeout
    }

    /// How long an earlier attempt whose lease ran out may still take to store what it obtained.
    fn confirm_window(&self) -> Duration {
        self.attempt_timeout + self.store_timeout
    }
}

/// Who wants a grant refreshed, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// The generation that is not good enough. A flight ends as soon as the grant has a newer one.
    pub seen: Generation,
    /// Why it is not.
    pub cause: Cause,
}

/// The access token that a token exchange is about to exchange (`subject_token` of RFC 8693 section 2.1); nothing for
/// grants of other types. Whoever begins a flight obtains it first, so that no flight ever waits for another grant's.
#[derive(Debug, Clone, Default)]
pub struct Subject(pub Option<AccessToken>);

/// Why a refresh is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its token expires, or will not last for as long as a caller wants.
    Expiry,
    /// The provider's API refused its token.
    Refusal,
    /// Nobody waits: it is renewed ahead of its expiry. Such a flight never waits for another leader.
    Renewal,
}

impl Cause {
    /// Its name in traces.
    fn as_str(self) -> &'static str {
        match self {
            Self::Expiry => "expiry",
            Self::Refusal => "refusal",
            Self::Renewal => "renewal",
        }
    }
}

/// How a flight ended, for all who wait for it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// There is a newer token.
    Token {
        /// The grant with it.
        live: Arc<LiveGrant>,
        /// Whether a provider call of this flight brought it.
        called: bool,
    },
    /// The grant is dead.
    Dead(Arc<DeadGrant>),
    /// No new token, for a reason that may pass.
    Failed(Failure),
    /// The grant is no longer there.
    Gone,
    /// Another process is at it, and this flight was not to wait.
    Busy,
}

impl Outcome {
    /// A grant as it is remembered now. `called`: whether a provider call of this flight brought it.
    fn of(known: Known, called: bool) -> Self {
        match known {
            Known::Live(live) => Self::Token { live, called },
            Known::Dead(dead) => Self::Dead(dead),
        }
    }

    /// Its name in traces.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Token { called: true, .. } => "refreshed",
            Self::Token { called: false, .. } => "newer",
            Self::Dead(_) => "invalidated",
            Self::Failed(failure) => failure.reason.as_str(),
            Self::Gone => "gone",
            Self::Busy => "busy",
        }
    }
}

/// Why there is no new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason.
    pub reason: FailureReason,
    /// For people; holds no secret.
    pub message: String,
    /// When the next attempt is due.
    pub next_at: Option<Timestamp>,
    /// Whether this is the memory of an earlier failure: no attempt was made now.
    pub cooling: bool,
}

impl Failure {
    pub(crate) fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            next_at: None,
            cooling: false,
        }
    }

    /// The provider renews no token that is as young as the one at hand, so it is not asked before `until`.
    pub(crate) fn too_young(until: Timestamp) -> Self {
        Self {
            reason: FailureReason::ProviderUnavailable,
            message: "the token is too young for its provider to renew it".into(),
            next_at: Some(until),
            cooling: true,
        }
    }

    pub(crate) fn from_store(error: &StoreError) -> Self {
        let reason = match error {
            StoreError::Unavailable(_) => FailureReason::StoreUnavailable,
            StoreError::KeyUnavailable(_) => FailureReason::KeyUnavailable,
            StoreError::Corrupt(_) => FailureReason::Internal,
        };
        Self::new(reason, error.to_string())
    }
}

/// Runs flights.
#[derive(Debug)]
pub struct Refresher {
    ports: Ports,
    limits: Limits,
    leader: LeaderLock,
    memory: Arc<Memory>,
    breaker: Arc<ClientBreaker>,
    changes: Changes,
    budgets: Arc<Budgets>,
    unsaved: Unsaved,
    stop: CancellationToken,
}

impl Refresher {
    /// A refresher. Once `stop` is cancelled no attempt begins, and who waits for another leader is sent
    /// away; an attempt that has begun goes on to its end.
    pub fn new(
        ports: Ports,
        limits: Limits,
        memory: Arc<Memory>,
        breaker: Arc<ClientBreaker>,
        budgets: Arc<Budgets>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            leader: LeaderLock::new(
                Arc::clone(&ports.locks),
                limits.lease,
                ports.replica.clone(),
            ),
            changes: Changes::new(
                Arc::clone(&ports.store),
                Arc::clone(&ports.bus),
                Arc::clone(&memory),
            ),
            ports,
            limits,
            memory,
            breaker,
            budgets,
            unsaved: Unsaved::default(),
            stop,
        }
    }

    /// What runs this replica's changes, one after the other.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// How long it takes at most until a grant is free, unless it is refreshed again and again.
    pub(crate) fn longest_hold(&self) -> Duration {
        self.limits.longest_hold()
    }

    /// Tells of every token set that is lost when the process ends now.
    pub(crate) fn give_up(&self) -> Vec<GrantId> {
        self.unsaved.give_up()
    }
}
