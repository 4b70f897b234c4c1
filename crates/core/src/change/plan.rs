//! The rules of change: pure functions from a snapshot to writes and events.
//!
//! None of them reads a clock or a database; `Snapshot::now` is the store's time. An `Ok(None)` means that the
//! snapshot already is as wanted, so that there is nothing to write and nothing to tell.

mod announce;
mod brake;
mod client;
mod credential;
mod derived;
mod grant;
mod integration;
mod kill;
mod reconnect;
mod report;
#[cfg(test)]
mod sample;
mod share;

pub use announce::announce;
pub use brake::{Refused, RefusedMeans, believe, refuse, refuse_derived, release};
pub use client::{client_recovered, client_rejected};
pub use credential::{
    CreateCredential, CreateError, UpdateLabelsError, create_credential, delete_credential,
    delete_revoked, leave_shared_grant, update_labels,
};
pub use derived::{Derive, DeriveError, MAX_DERIVED, derive, derived_alive, forget_revoked};
pub use grant::{heal, invalidate};
pub use integration::{
    CreateIntegrationError, IntegrationUpdate, UpdateIntegrationError, create_integration,
    delete_integration, update_integration,
};
pub use kill::{KilledBatch, kill};
pub use reconnect::{Reconnect, ReconnectError, reconnect};
pub use report::{Reported, report};
