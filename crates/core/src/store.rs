//! The store port: grants, credentials, integrations and the event log, in one database.
//!
//! The database makes the protocol right. Who may call a provider is decided by [`GrantStore::claim`], who may
//! write the outcome by the generation that was read, and whatever is told of a change is committed together
//! with it by [`Directory::apply`].

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::ageing::{Dates, EndOf};
use crate::attempts::AttemptRecord;
#[cfg(doc)]
use crate::attempts::REMEMBERED;
use crate::brake::Brake;
use crate::change::{ChangeSet, ClientHealth, Scope, Snapshot};
use crate::clock::Timestamp;
use crate::events::{Event, LogPosition};
use crate::grant::{Grant, GrantFacts, GrantType, PassingFailure, TokenSet};
use crate::ids::{
    ClientKey, CredentialId, CredentialKey, Epoch, Generation, GrantId, IntegrationId,
    IntegrationKey, OwnerToken, ProviderName, TenantId,
};
use crate::integration::{Integration, IntegrationStatus};
use crate::scopes::ScopeSet;

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

/// The right to call a provider, won by [`GrantStore::claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Fencing token of the lease.
    pub epoch: Epoch,
    /// Whether an earlier attempt at the same generation began and never told its end, or told that it
    /// does not know, so that the refresh token may already be spent. The doubt lasts until a new token
    /// set is stored: a later attempt that ends well or unused does not lift it.
    pub takeover: bool,
}

/// What remains of an attempt that did not store a token set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEnd {
    /// No call was made, or one that says nothing about the grant: only the lease is given back.
    Unused,
    /// A passing failure: the next attempt is not due before `next_at`.
    Deferred {
        /// No attempt before this.
        next_at: Timestamp,
        /// What it failed of.
        failure: PassingFailure,
        /// Whether this attempt may have spent the refresh token, so that the next counts as a takeover.
        /// `false` does not lift a doubt that was there before.
        ambiguous: bool,
    },
}

/// A grant that background work should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueGrant {
    /// The grant.
    pub id: GrantId,
    /// Its generation when it was found due.
    pub generation: Generation,
    /// The client that pays for the call, for fairness and budgets.
    pub client: ClientKey,
    /// How its tokens are obtained.
    pub grant_type: GrantType,
    /// When it became due.
    pub due_at: Timestamp,
}

/// How many grants are due and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Grants whose time has come and that no attempt holds back.
    pub due: u64,
    /// When the oldest of them became due.
    pub oldest: Option<Timestamp>,
}

/// Where a grant stands, to find out whether what is remembered of it is still right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantVersion {
    /// The grant.
    pub id: GrantId,
    /// Its generation.
    pub generation: Generation,
    /// Its version.
    pub version: u64,
}

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

/// Grants as the refresh protocol sees them.
#[async_trait]
pub trait GrantStore: Send + Sync + 'static {
    /// The grant that a credential uses, with its tokens.
    async fn grant_of(&self, key: &CredentialKey) -> Result<Option<Grant>, StoreError>;

    /// A grant with its tokens.
    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError>;

    /// The grant that mints with the means of `parent` for exactly these scopes, if there is one.
    async fn derived(
        &self,
        parent: &GrantId,
        scopes: &ScopeSet,
    ) -> Result<Option<Grant>, StoreError>;

    /// Takes the lease of a grant: one statement that succeeds only while the grant is active, of exactly
    /// this generation, and no lease is live by the store's clock. Raises the epoch and records the
    /// intent to spend the refresh token. `None`: read again to learn why.
    async fn claim(
        &self,
        id: &GrantId,
        generation: Generation,
        owner: &OwnerToken,
        lease: Duration,
    ) -> Result<Option<Claimed>, StoreError>;

    /// Stores the token set that follows `base`, if the grant is active and still of that generation,
    /// whoever holds the lease. Clears lease, intent and failed attempts, raises generation and version.
    /// `false`: the generation moved or the grant is invalidated; nothing was written.
    ///
    /// Safe to repeat: a second call with the same `base` answers `false`.
    async fn commit(
        &self,
        id: &GrantId,
        base: Generation,
        tokens: &TokenSet,
        issued_at: Timestamp,
        dates: &Dates,
    ) -> Result<bool, StoreError>;

    /// Ends an attempt that stored nothing, if its lease is still the latest, even if it has run out.
    /// `false`: it is not, or the attempt has already ended (so a repeated call counts no failure twice).
    async fn end_attempt(
        &self,
        id: &GrantId,
        epoch: Epoch,
        end: AttemptEnd,
    ) -> Result<bool, StoreError>;

    /// Keeps a token set that came too late to be stored, for revocation and forensics, until it is
    /// [pruned](Self::prune_orphans). `base` is the generation with which it was bought; [`Generation::NONE`] if it is of
    /// another consent, which is not to end with this grant.
    async fn keep_orphan(
        &self,
        id: &GrantId,
        base: Generation,
        tokens: &TokenSet,
        reason: &str,
    ) -> Result<(), StoreError>;

    /// The token sets that were [kept](Self::keep_orphan) of this grant and generation: bought with the stored one, and
    /// so of the same consent. Each comes with the dates and scopes of `grant`, since its own are not kept.
    async fn orphans_of(&self, grant: &GrantFacts) -> Result<Vec<TokenSet>, StoreError>;

    /// Deletes at most `limit` token sets that were kept for longer than `retention` by the store's clock. Answers how
    /// many.
    async fn prune_orphans(&self, retention: Duration, limit: u32) -> Result<u64, StoreError>;

    /// Remembers what attempts came to: of each grant the [`REMEMBERED`] with the highest epochs or fewer, and an
    /// attempt once however often it is told. Grants that are gone do not matter.
    async fn note_attempts(&self, records: &[AttemptRecord]) -> Result<(), StoreError>;

    /// What is remembered of the attempts of a grant, the latest first.
    async fn attempts_of(&self, id: &GrantId) -> Result<Vec<AttemptRecord>, StoreError>;

    /// Forgets at most `limit` attempts that began longer ago than `older_than` by the store's clock. Answers how many.
    async fn prune_attempts(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError>;

    /// Active grants that are due at `now`, whose next attempt is not held back and whose lease is not
    /// live: the longest due first, at most `limit`, and at most `per_client` of any one client.
    async fn due(
        &self,
        now: Timestamp,
        limit: u32,
        per_client: u32,
    ) -> Result<Vec<DueGrant>, StoreError>;

    /// Grants of a client that a probe may refresh at `now`, at most `limit`: those that `due` could find once they are
    /// due and that derive from an active one, held and static ones excepted, be they due or not. First those that have a
    /// refresh token or are minted, then those of which no refresh token may be spent, then those that exchange no other credential's token, then those whose last attempt did not fail, then
    /// by the end of their access token, the soonest first, then by id.
    async fn to_probe(
        &self,
        client: &ClientKey,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError>;

    /// How much [`due`](Self::due) would find at `now` without limits.
    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError>;

    /// Active grants whose end is to be announced at `now`: the longest due first, at most `limit`.
    async fn to_announce(&self, now: Timestamp, limit: u32) -> Result<Vec<GrantId>, StoreError>;

    /// Grants whose version was raised during the last `window` by the store's clock, in no order. A write
    /// may show a little later than its time: ask for a window that overlaps the one before.
    async fn changed_within(&self, window: Duration) -> Result<Vec<GrantVersion>, StoreError>;

    /// The number of grants by provider and by whether they are active; derived ones do not count.
    async fn count_by_state(&self) -> Result<Vec<(ProviderName, bool, u64)>, StoreError>;

    /// The number of credentials by provider and by whether their grant is active.
    async fn count_credentials(&self) -> Result<Vec<(ProviderName, bool, u64)>, StoreError>;
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
