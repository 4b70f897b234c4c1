//! Kills: durable orders, who works on them, and what became of each grant.

mod held;
mod known;
mod prune;
mod read;
mod revocations;
mod row;

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{Generation, GrantId, KillId, TenantId};
use evergrant_core::kill::KillTarget;

pub(super) use self::row::taken;

/// A kill that is to begin.
#[derive(Debug, Clone)]
pub struct NewKill {
    /// Its id.
    pub id: KillId,
    /// What it takes.
    pub target: KillTarget,
    /// Why, for people.
    pub reason: String,
    /// Who began it; empty where everyone is trusted.
    pub by: String,
    /// Whether grants are revoked at their providers.
    pub revoke: bool,
}

/// A kill as it stands.
#[derive(Debug, Clone)]
pub struct Kill {
    /// What was ordered.
    pub order: NewKill,
    /// When, by the store's clock.
    pub begun_at: Timestamp,
    /// When it was done with; what could not be revoked may be tried again.
    pub finished_at: Option<Timestamp>,
    /// When its caller was let in again.
    pub lifted_at: Option<Timestamp>,
    /// The replica that works on it.
    pub worker: Option<String>,
    /// How far it is.
    pub tally: Tally,
    /// How the latest try to revoke a grant failed that is to be tried again.
    pub waits_for: Option<String>,
}

/// Which kills to list.
#[derive(Debug, Clone, Default)]
pub struct KillQuery {
    /// Only of these tenants; `None` means all.
    pub tenants: Option<Vec<TenantId>>,
    /// Only those that lock a caller out.
    pub locking_out: bool,
    /// Only those that come before this one.
    pub before: Option<KillId>,
    /// At most this many.
    pub limit: u32,
}

/// How far a kill is, in grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Invalidated, or found dead before and to be revoked.
    pub grants: u64,
    /// Credentials that died.
    pub credentials: u64,
    /// To be revoked still.
    pub pending: u64,
    /// Revoked, as their providers confirmed.
    pub revoked: u64,
    /// Whose providers cannot revoke.
    pub not_supported: u64,
    /// Deleted or connected again before their turn.
    pub superseded: u64,
    /// Given up after many tries.
    pub failed: u64,
}

/// A grant whose revocation is due.
#[derive(Debug, Clone)]
pub struct Due {
    /// The grant.
    pub grant: GrantId,
    /// The generation that died.
    pub generation: Generation,
    /// How often it was tried.
    pub tries: u32,
}

/// What became of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The provider confirmed it.
    Revoked,
    /// The provider cannot.
    NotSupported,
    /// There is nothing to revoke any more.
    Superseded,
    /// Not yet: again after a while.
    Again {
        /// How long.
        after: Duration,
        /// Why.
        error: String,
        /// Whether that was a try.
        counts: bool,
    },
    /// It was tried often enough.
    Failed(String),
}

/// What a kill would take.
#[derive(Debug, Clone, Default)]
pub struct Forecast {
    /// Grants that work.
    pub grants: u64,
    /// Credentials that use them.
    pub credentials: u64,
    /// Some of the credentials, as tenant, name and provider.
    pub sample: Vec<(String, String, String)>,
}
