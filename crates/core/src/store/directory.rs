//! Credentials and integrations, and every change that is told to watchers.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::{ApplyError, StoreError};
use crate::ageing::EndOf;
use crate::brake::Brake;
use crate::change::{ChangeSet, ClientHealth, Scope, Snapshot};
use crate::clock::Timestamp;
use crate::grant::GrantFacts;
use crate::ids::{
    ClientKey, CredentialId, CredentialKey, Generation, GrantId, IntegrationId, IntegrationKey,
    ProviderName, TenantId,
};
use crate::integration::{Integration, IntegrationStatus};

/// Whose turn it is to probe a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeTurn {
    /// That of whoever asked.
    Ours,
    /// Nobody's yet: somebody had it lately, or the rejection is young.
    Taken,
    /// The client is not stored as rejected.
    NotRejected,
}

/// A credential: a tenant's named use of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its name.
    pub key: CredentialKey,
    /// The grant that it uses.
    pub grant: GrantId,
    /// The tenant's own notes.
    pub labels: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Raised by every change of this row; its etag.
    pub version: u64,
}

/// A credential with what is known of its grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialView {
    /// The credential.
    pub credential: Credential,
    /// Its grant.
    pub grant: GrantFacts,
    /// The integrations that depend on it, by name.
    pub integrations: Vec<IntegrationId>,
}

/// What is stored of an OAuth client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientStanding {
    /// The client.
    pub client: ClientKey,
    /// Whether its provider accepts it; `None` if nothing was ever said of it.
    pub health: Option<ClientHealth>,
    /// Its brake, if it is engaged.
    pub brake: Option<Brake>,
    /// How many of its grants are suspect.
    pub held: u64,
}

/// Which credentials to list. They come by tenant and id, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialQuery {
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only these; empty means any.
    pub ids: Vec<CredentialId>,
    /// Only of these providers; empty means any.
    pub providers: Vec<ProviderName>,
    /// Only the invalidated (`true`) or the active (`false`).
    pub invalidated: Option<bool>,
    /// Only with all these labels.
    pub labels: BTreeMap<String, String>,
    /// Only those that come after this one.
    pub after: Option<CredentialKey>,
    /// At most this many.
    pub limit: u32,
}

/// Which ends to forecast. They come soonest first, then by key; a key that has two ends has that for good first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForecastQuery {
    /// Only of these tenants; `None` means any.
    pub tenants: Option<Vec<TenantId>>,
    /// Only of these providers; empty means any.
    pub providers: Vec<ProviderName>,
    /// Only what ends before this.
    pub before: Option<Timestamp>,
    /// Only what comes after this.
    pub after: Option<ForecastPlace>,
    /// At most this many.
    pub limit: u32,
}

/// Where an end stands in a forecast.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForecastPlace {
    /// When it comes.
    pub at: Timestamp,
    /// Whose it is.
    pub key: CredentialKey,
    /// Whether a refresh moves it.
    pub moves: bool,
}

/// An end of an active credential's grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// When it comes, and whose it is.
    pub place: ForecastPlace,
    /// The provider.
    pub provider: ProviderName,
    /// The generation that ends.
    pub generation: Generation,
    /// What ends for good; `None`: what renews the grant, unless it is used before.
    pub of: Option<EndOf>,
    /// When background work is to renew the grant.
    pub due_at: Option<Timestamp>,
    /// The credential's labels.
    pub labels: BTreeMap<String, String>,
}

/// Which integrations to list. They come by id, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationQuery {
    /// The tenant.
    pub tenant: TenantId,
    /// Only in this status.
    pub status: Option<IntegrationStatus>,
    /// Only those that depend on this credential.
    pub credential: Option<CredentialId>,
    /// Only those that come after this one.
    pub after: Option<IntegrationId>,
    /// At most this many.
    pub limit: u32,
}

/// Credentials and integrations, and every change that is told to watchers.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// One credential with its grant's facts.
    async fn credential(&self, key: &CredentialKey) -> Result<Option<CredentialView>, StoreError>;

    /// A page of credentials.
    async fn list_credentials(
        &self,
        query: &CredentialQuery,
    ) -> Result<Vec<CredentialView>, StoreError>;

    /// What ends when: a page of the ends of active credentials.
    async fn forecast(&self, query: &ForecastQuery) -> Result<Vec<Forecast>, StoreError>;

    /// One integration.
    async fn integration(&self, key: &IntegrationKey) -> Result<Option<Integration>, StoreError>;

    /// A page of integrations.
    async fn list_integrations(
        &self,
        query: &IntegrationQuery,
    ) -> Result<Vec<Integration>, StoreError>;

    /// Every client of which something is stored, by key: those that were ever rejected and those that are braked.
    async fn clients(&self) -> Result<Vec<ClientStanding>, StoreError>;

    /// Takes the next probe of a rejected client: one statement that succeeds only if nobody did so within `wait` by the
    /// store's clock, and the rejection was told longer ago than that.
    async fn claim_probe(
        &self,
        client: &ClientKey,
        wait: Duration,
    ) -> Result<ProbeTurn, StoreError>;

    /// Suspect grants of a client by id, ascending: at most `limit`, and only those that come after `after`.
    async fn held(
        &self,
        client: &ClientKey,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError>;

    /// Everything in `scope`, with the revision of the log that it was read at or before: the revision is
    /// read first, so a change computed from a torn read is refused by [`apply`](Self::apply).
    async fn snapshot(&self, scope: &Scope) -> Result<Snapshot, StoreError>;

    /// Forgets at most `limit` deliveries that are remembered for longer than `older_than` by the store's clock. Answers
    /// how many.
    async fn forget_deliveries(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError>;

    /// Applies all writes of `change` and appends all its events, or does nothing: one statement or one
    /// transaction that no client round trip can hold open.
    ///
    /// It conflicts if the log's revision is not the one that the change was computed at, if any write finds
    /// other than exactly the row that it expects, if a row to insert is already there, if a credential
    /// would be left without its grant or a derived grant without its parent, or if [`ChangeSet::distinct_writes`] finds none. A change that is
    /// applied raises the revision by one and the log's head by the number of its events, which are numbered
    /// densely in commit order. Answers the new head.
    async fn apply(&self, change: &ChangeSet) -> Result<u64, ApplyError>;
}
