//! Kills: all grants of a tenant, a provider or an OAuth client die at once, on the word of an operator.

use std::fmt;

use crate::clock::Timestamp;
use crate::grant::GrantFacts;
use crate::ids::{ClientName, Generation, GrantId, KillId, ProviderName, TenantId};

/// Whose grants a kill takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KillTarget {
    /// All of a tenant.
    Tenant(TenantId),
    /// All of a provider, in every tenant.
    Provider(ProviderName),
    /// All that were given to an OAuth client, in every tenant.
    Client(ClientName),
    /// All of which a caller was given a token, as far as the audit trail knows.
    Caller {
        /// Its name in the configuration.
        name: String,
        /// Only those that it was given one of since then.
        since: Timestamp,
    },
}

/// What a kill takes, and what is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillOrder {
    /// The kill.
    pub id: KillId,
    /// Whose grants it takes.
    pub target: KillTarget,
    /// When it began, by the store's clock. What was created, or connected again, after that is not touched.
    pub begun_at: Timestamp,
    /// Why, for people; told to everybody who learns of a death.
    pub reason: String,
    /// Whether the grants are to be revoked at their providers afterwards.
    pub revoke: bool,
}

/// A part of a kill: the next `limit` grants by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillBatch {
    /// The kill.
    pub order: KillOrder,
    /// Only grants that come after this one.
    pub after: Option<GrantId>,
    /// Grants at most.
    pub limit: u32,
}

/// A grant that a kill took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// The kill.
    pub kill: KillId,
    /// The grant.
    pub grant: GrantId,
    /// The generation that died.
    pub generation: Generation,
    /// How many credentials died with it; none if it was dead already.
    pub credentials: u64,
    /// When it may be revoked at its provider: not before a refresh that was under way has brought what it brings.
    /// `None`: not at all.
    pub revoke_at: Option<Timestamp>,
}

impl KillTarget {
    /// Whether a grant belongs to it. What a caller was given is not told by the grant.
    pub fn has(&self, grant: &GrantFacts) -> bool {
        match self {
            Self::Tenant(tenant) => grant.tenant == *tenant,
            Self::Provider(provider) => grant.client.provider == *provider,
            Self::Client(client) => grant.client.client == *client,
            Self::Caller { .. } => false,
        }
    }
}

/// As operators name it, e.g. `provider slack`.
impl fmt::Display for KillTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
            Self::Provider(provider) => write!(f, "provider {provider}"),
            Self::Client(client) => write!(f, "client {client}"),
            Self::Caller { name, .. } => write!(f, "caller {name}"),
        }
    }
}

impl KillOrder {
    /// Whether it takes a grant of its target: one of before it began that nobody reported dead. What is derived from
    /// another goes with that one.
    pub fn takes(&self, grant: &GrantFacts) -> bool {
        grant.parent.is_none()
            && !grant.state.is_reported_dead()
            && grant.created_at <= self.begun_at
            && grant.consented_at <= self.begun_at
    }
}
