//! Grants as the refresh protocol sees them.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::ageing::Dates;
use crate::attempts::AttemptRecord;
#[cfg(doc)]
use crate::attempts::REMEMBERED;
use crate::clock::Timestamp;
use crate::grant::{Grant, GrantFacts, GrantType, PassingFailure, TokenSet};
use crate::ids::{ClientKey, CredentialKey, Epoch, Generation, GrantId, OwnerToken, ProviderName};
use crate::scopes::ScopeSet;

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

/// Where a grant stands or that it is gone, to find out whether what is remembered of it is still right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantVersion {
    /// The grant.
    pub id: GrantId,
    /// Its generation.
    pub generation: Generation,
    /// Its version; one that is deleted has the highest that there is.
    pub version: u64,
}

impl GrantVersion {
    /// Where a deleted grant stands: nothing that was ever read of it is as new.
    pub fn deleted(id: GrantId) -> Self {
        Self {
            id,
            generation: Generation(u64::MAX),
            version: u64::MAX,
        }
    }
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
    /// Answers the version. `None`: the generation moved or the grant is invalidated; nothing was written.
    ///
    /// Safe to repeat: a second call with the same `base` answers `None`.
    async fn commit(
        &self,
        id: &GrantId,
        base: Generation,
        tokens: &TokenSet,
        issued_at: Timestamp,
        dates: &Dates,
    ) -> Result<Option<u64>, StoreError>;

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
    /// refresh token or are minted, then those of which no refresh token may be spent, then those that exchange no other
    /// credential's token, then by failures in a row, the fewest first, then by the end of their access token, the soonest
    /// first, then by id.
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

    /// Grants whose version was raised during the last `window` by the store's clock, and those that were
    /// [deleted](GrantVersion::deleted) during that time and are not [forgotten](Self::forget_deleted), in no order. A
    /// write may show a little later than its time: ask for a window that overlaps the one before.
    async fn changed_within(&self, window: Duration) -> Result<Vec<GrantVersion>, StoreError>;

    /// Forgets at most `limit` grants that were deleted longer ago than `older_than` by the store's clock. Answers how
    /// many.
    async fn forget_deleted(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError>;

    /// The number of grants by provider and by whether they are active; derived ones do not count.
    async fn count_by_state(&self) -> Result<Vec<(ProviderName, bool, u64)>, StoreError>;

    /// The number of credentials by provider and by whether their grant is active.
    async fn count_credentials(&self) -> Result<Vec<(ProviderName, bool, u64)>, StoreError>;
}
