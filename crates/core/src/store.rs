//! The store port: grants, credentials, integrations and the event log, in one database.
//!
//! The database makes the protocol right. Who may call a provider is decided by [`GrantStore::claim`], who may
//! write the outcome by the generation that was read, and whatever is told of a change is committed together
//! with it by [`Directory::apply`].

mod directory;
mod grants;

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

pub use directory::{
    ClientStanding, Credential, CredentialQuery, CredentialView, Directory, Forecast,
    ForecastPlace, ForecastQuery, IntegrationQuery, ProbeTurn,
};
pub use grants::{AttemptEnd, Backlog, Claimed, DueGrant, GrantStore, GrantVersion};

use crate::events::{Event, LogPosition};
use crate::ids::CredentialKey;

/// Why the store could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The database did not answer, or not in time. Whether a write took place is unknown.
    #[error("the database is out of reach: {0}")]
    Unavailable(String),
    /// The key that sealed a value is not configured.
    #[error("sealing key {0} is not configured")]
    KeyUnavailable(String),
    /// A stored value cannot be what was once written: it was altered, or there is a bug.
    #[error("a stored value is corrupt: {0}")]
    Corrupt(String),
}

/// Why a change was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// Something that the change was computed from is different now. Nothing was written; read again.
    #[error("the state that the change was computed from has moved on")]
    Conflict,
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The event log: dense, in commit order.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Where the log stands.
    async fn position(&self) -> Result<LogPosition, StoreError>;

    /// Events numbered above `after`, ascending, at most `limit`, with the position of the log read
    /// *after* them: a reader compares its floor with `after` to learn that it came too late.
    async fn events_after(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<(Vec<Event>, LogPosition), StoreError>;

    /// The last events about a credential, the latest first, at most `limit`.
    async fn events_of(&self, key: &CredentialKey, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// Raises the floor to the last event that is older than `retention` (at most `limit` events further),
    /// then deletes what lies at or below it. Answers how many were deleted.
    async fn prune(&self, retention: Duration, limit: u32) -> Result<u64, StoreError>;
}

/// All that a server needs of its database.
#[async_trait]
pub trait Store: GrantStore + Directory + EventLog {
    /// Reaches the database and comes back, within two seconds or with an error.
    async fn ping(&self) -> Result<(), StoreError>;
}
