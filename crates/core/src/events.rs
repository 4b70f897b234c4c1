//! What is told to watchers: events, numbered densely in the order in which they were committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::grant::InvalidationReason;
use crate::ids::{
    ClientKey, CredentialId, CredentialKey, Generation, IntegrationId, IntegrationKey,
    ProviderName, TenantId,
};
use crate::integration::IntegrationStatus;

pub mod filter;
mod page;
pub mod reader;
pub mod tail;

/// Names one life of an event log. It changes when a store is restored from a backup, since numbers that
/// were already handed out may then be given to other events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogEpoch(pub Arc<str>);

/// Where an event log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPosition {
    /// The life of the log.
    pub epoch: LogEpoch,
    /// Number of the last event; 0 in an empty log.
    pub head: u64,
    /// Events up to and including this number are no longer kept.
    pub floor: u64,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number: the first event has 1, each later one has one more.
    pub seq: u64,
    /// When it happened, by the store's clock.
    pub at: Timestamp,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventBody {
    /// The grant behind a credential is dead.
    CredentialInvalidated(CredentialInvalidated),
    /// A credential that was invalid has a working grant again.
    CredentialRestored(CredentialRestored),
    /// A credential was forgotten.
    CredentialDeleted(CredentialDeleted),
    /// The derived status of an integration changed.
    IntegrationStatusChanged(IntegrationStatusChanged),
    /// A grant will end at a known time unless its user connects again.
    ReauthorizationDue(ReauthorizationDue),
    /// A provider rejects an OAuth client.
    ClientRejected(ClientRejected),
    /// A provider accepts an OAuth client again.
    ClientRecovered(ClientRecovered),
    /// A provider refuses so many grants of a client at once that its refusals are held.
    ClientBraked(ClientBraked),
    /// Refusals of a client's grants are believed again.
    ClientReleased(ClientReleased),
}

/// Kinds of event, for filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// [`EventBody::CredentialInvalidated`]
    CredentialInvalidated,
    /// [`EventBody::CredentialRestored`]
    CredentialRestored,
    /// [`EventBody::CredentialDeleted`]
    CredentialDeleted,
    /// [`EventBody::IntegrationStatusChanged`]
    IntegrationStatusChanged,
    /// [`EventBody::ReauthorizationDue`]
    ReauthorizationDue,
    /// [`EventBody::ClientRejected`]
    ClientRejected,
    /// [`EventBody::ClientRecovered`]
    ClientRecovered,
    /// [`EventBody::ClientBraked`]
    ClientBraked,
    /// [`EventBody::ClientReleased`]
    ClientReleased,
}

/// The grant behind a credential is dead, and only its user can mend it. Told once per dead generation for
/// each credential that uses the grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialInvalidated {
    /// The credential.
    pub credential: CredentialKey,
    /// Its provider.
    pub provider: ProviderName,
    /// The generation that died.
    pub generation: Generation,
    /// Why.
    pub reason: InvalidationReason,
    /// The provider's own error code; empty if none.
    pub provider_error: String,
    /// For people.
    pub message: String,
    /// Integrations that depend on it.
    pub integrations: Vec<IntegrationId>,
    /// When it was found dead.
    pub at: Timestamp,
    /// The credential's labels.
    pub labels: BTreeMap<String, String>,
}

/// A credential that was invalid has a working grant again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRestored {
    /// The credential.
    pub credential: CredentialKey,
    /// Its provider.
    pub provider: ProviderName,
    /// The generation that works.
    pub generation: Generation,
    /// Integrations that depend on it.
    pub integrations: Vec<IntegrationId>,
    /// When it was restored.
    pub at: Timestamp,
    /// The credential's labels.
    pub labels: BTreeMap<String, String>,
}

/// A credential was forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialDeleted {
    /// The credential.
    pub credential: CredentialKey,
    /// Its provider.
    pub provider: ProviderName,
    /// Integrations that depended on it.
    pub integrations: Vec<IntegrationId>,
    /// The credential's labels.
    pub labels: BTreeMap<String, String>,
}

/// The derived status of an integration changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationStatusChanged {
    /// The integration.
    pub integration: IntegrationKey,
    /// Its status before.
    pub from: IntegrationStatus,
    /// Its status now.
    pub to: IntegrationStatus,
    /// What caused it, e.g. `credential slack-7 was invalidated: token_revoked`.
    pub cause: String,
}

/// A grant works today but will end at a known time unless its user connects again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReauthorizationDue {
    /// The credential.
    pub credential: CredentialKey,
    /// Its provider.
    pub provider: ProviderName,
    /// The generation that will end.
    pub generation: Generation,
    /// When it ends.
    pub due_at: Timestamp,
    /// The credential's labels.
    pub labels: BTreeMap<String, String>,
}

/// A provider rejects an OAuth client, so that no grant of it can be renewed. No credential is harmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRejected {
    /// The client.
    pub client: ClientKey,
    /// The provider's own error code; empty if none.
    pub provider_error: String,
    /// For people.
    pub message: String,
}

/// A provider accepts an OAuth client again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRecovered {
    /// The client.
    pub client: ClientKey,
}

/// A provider refuses so many grants of a client at once that its refusals are held, until an operator decides or one
/// of the held grants is accepted after all ([`crate::brake`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientBraked {
    /// The client.
    pub client: ClientKey,
    /// How many of its grants the provider refused within a minute, the first held one included.
    pub refused: u64,
    /// How many it refreshed within that time.
    pub refreshed: u64,
    /// The provider's own error code in the last refusal; empty if none.
    pub provider_error: String,
}

/// Refusals of a client's grants are believed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientReleased {
    /// The client.
    pub client: ClientKey,
    /// How many held grants are tried again.
    pub retried: u64,
}

impl EventBody {
    /// The kind of the event.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::CredentialInvalidated(_) => EventKind::CredentialInvalidated,
            Self::CredentialRestored(_) => EventKind::CredentialRestored,
            Self::CredentialDeleted(_) => EventKind::CredentialDeleted,
            Self::IntegrationStatusChanged(_) => EventKind::IntegrationStatusChanged,
            Self::ReauthorizationDue(_) => EventKind::ReauthorizationDue,
            Self::ClientRejected(_) => EventKind::ClientRejected,
            Self::ClientRecovered(_) => EventKind::ClientRecovered,
            Self::ClientBraked(_) => EventKind::ClientBraked,
            Self::ClientReleased(_) => EventKind::ClientReleased,
        }
    }

    /// The tenant that it concerns; `None` concerns all, as a client is shared by all tenants.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::CredentialInvalidated(event) => Some(&event.credential.tenant),
            Self::CredentialRestored(event) => Some(&event.credential.tenant),
            Self::CredentialDeleted(event) => Some(&event.credential.tenant),
            Self::IntegrationStatusChanged(event) => Some(&event.integration.tenant),
            Self::ReauthorizationDue(event) => Some(&event.credential.tenant),
            Self::ClientRejected(_)
            | Self::ClientRecovered(_)
            | Self::ClientBraked(_)
            | Self::ClientReleased(_) => None,
        }
    }

    /// The credential that it concerns.
    pub fn credential(&self) -> Option<&CredentialId> {
        match self {
            Self::CredentialInvalidated(event) => Some(&event.credential.id),
            Self::CredentialRestored(event) => Some(&event.credential.id),
            Self::CredentialDeleted(event) => Some(&event.credential.id),
            Self::ReauthorizationDue(event) => Some(&event.credential.id),
            Self::IntegrationStatusChanged(_)
            | Self::ClientRejected(_)
            | Self::ClientRecovered(_)
            | Self::ClientBraked(_)
            | Self::ClientReleased(_) => None,
        }
    }

    /// The provider that it concerns.
    pub fn provider(&self) -> Option<&ProviderName> {
        match self {
            Self::CredentialInvalidated(event) => Some(&event.provider),
            Self::CredentialRestored(event) => Some(&event.provider),
            Self::CredentialDeleted(event) => Some(&event.provider),
            Self::ReauthorizationDue(event) => Some(&event.provider),
            Self::ClientRejected(event) => Some(&event.client.provider),
            Self::ClientRecovered(event) => Some(&event.client.provider),
            Self::ClientBraked(event) => Some(&event.client.provider),
            Self::ClientReleased(event) => Some(&event.client.provider),
            Self::IntegrationStatusChanged(_) => None,
        }
    }
}
