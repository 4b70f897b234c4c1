//! Integrations: what tenants run on credentials, and the status derived from facts.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::grant::InvalidationReason;
use crate::ids::{CredentialId, IntegrationKey};

/// The status of an integration. It is never set, always derived: see [`Facts::status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntegrationStatus {
    /// It can run.
    Enabled,
    /// Its owner paused it.
    Disabled,
    /// A credential that it needs is invalid.
    Error,
    /// A run is in progress.
    Processing,
    /// Required configuration is missing.
    NeedsConfig,
}

/// A credential that an integration needs, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The credential.
    pub credential: CredentialId,
    /// What is wrong with it; `None` while it is active.
    pub fault: Option<Fault>,
}

/// Why an integration cannot use a credential that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Its grant is dead; the provider's own error code, or else the reason in words.
    Invalidated(String),
    /// There is no such credential any more.
    Deleted,
}

impl Fault {
    /// The fault of a credential whose grant died so: the provider's error code, e.g. `token_revoked`, or
    /// else the reason in words, e.g. `refresh token expired`.
    pub fn invalidated(reason: InvalidationReason, provider_error: &str) -> Self {
        Self::Invalidated(if provider_error.is_empty() {
            reason.as_str().to_ascii_lowercase().replace('_', " ")
        } else {
            provider_error.to_owned()
        })
    }
}

/// The facts that decide an integration's status. Each has one owner: the first three are the tenant's, the
/// needs are ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Switched off by its owner, settings kept.
    pub paused: bool,
    /// Required configuration is missing.
    pub needs_config: bool,
    /// A run is in progress.
    pub processing: bool,
    /// The credentials that it needs, all of them, by id.
    pub needs: Vec<Need>,
}

impl Facts {
    /// Paused gives `Disabled`; missing configuration gives `NeedsConfig`; an invalidated
    /// or a deleted credential gives `Error`, unless a run is in progress; a run gives `Processing`; else `Enabled`.
    pub fn status(&self) -> IntegrationStatus {
        if self.paused {
            IntegrationStatus::Disabled
        } else if self.needs_config {
            IntegrationStatus::NeedsConfig
        } else if self.processing {
            IntegrationStatus::Processing
        } else if self.needs.iter().any(|need| need.fault.is_some()) {
            IntegrationStatus::Error
        } else {
            IntegrationStatus::Enabled
        }
    }

    /// Why it is in `Error`, naming the first credential that is invalid; empty in any other status.
    pub fn cause(&self) -> String {
        if self.status() != IntegrationStatus::Error {
            return String::new();
        }
        self.needs
            .iter()
            .find_map(|need| {
                let credential = &need.credential;
                Some(match need.fault.as_ref()? {
                    Fault::Invalidated(why) => {
                        format!("credential {credential} was invalidated: {why}")
                    }
                    Fault::Deleted => format!("credential {credential} was deleted"),
                })
            })
            .unwrap_or_default()
    }
}

/// Something that a tenant's service runs on one or more credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integration {
    /// Its name.
    pub key: IntegrationKey,
    /// What its status is derived from.
    pub facts: Facts,
    /// The tenant's own notes.
    pub labels: BTreeMap<String, String>,
    /// The status last stored, and so last told.
    pub status: IntegrationStatus,
    /// Why it is in `Error`; empty otherwise.
    pub cause: String,
    /// When the status last changed.
    pub status_changed_at: Timestamp,
    /// Raised by every change of this row; its etag.
    pub version: u64,
}
