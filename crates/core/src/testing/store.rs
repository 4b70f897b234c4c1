//! The store in memory: every port of [`crate::store`] over one mutex, with faults on order.

mod apply;
mod faults;
mod log;
mod reads;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

pub use faults::{Faults, Op};
use state::{Now, State};

pub use super::held::Held;

use crate::ageing::Dates;
use crate::attempts::AttemptRecord;
use crate::change::{ChangeSet, Scope, Snapshot};
use crate::clock::{Clock, Timestamp};
use crate::events::{Event, LogPosition};
use crate::grant::{Grant, GrantFacts, TokenSet};
use crate::ids::{
    ClientKey, CredentialKey, Epoch, Generation, GrantId, IntegrationKey, OwnerToken, ProviderName,
};
use crate::integration::Integration;
use crate::scopes::ScopeSet;
use crate::store::{
    ApplyError, AttemptEnd, Backlog, Claimed, ClientStanding, CredentialQuery, CredentialView,
    Directory, DueGrant, EventLog, Forecast, ForecastQuery, GrantStore, GrantVersion,
    IntegrationQuery, ProbeTurn, Store, StoreError,
};

/// A token set that was kept by [`GrantStore::keep_orphan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The grant that it was meant for.
    pub grant: GrantId,
    /// The generation whose refresh token bought it.
    pub base: Generation,
    /// The token set.
    pub tokens: TokenSet,
    /// Why it was kept.
    pub reason: String,
    /// When.
    pub kept_at: Timestamp,
}

/// A store that forgets everything when it is dropped.
///
/// Leases and the window of [`GrantStore::changed_within`] run by [`tokio::time::Instant`], so paused time
/// holds them; every timestamp is of the clock that it was made with.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    faults: Faults,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::new(State::default()),
            faults: Faults::default(),
        }
    }

    /// To order faults and to count calls.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The token sets that came too late, in the order in which they were kept.
    pub fn orphans(&self) -> Vec<Orphan> {
        self.with(|state, _| state.orphans.clone())
    }

    /// Gives the event log a new epoch, as an operator does after a restore.
    pub fn renew_epoch(&self) {
        self.with(|state, _| state.log.renew_epoch());
    }

    /// Loses an event, which makes a hole in the log.
    pub fn lose_event(&self, seq: u64) {
        self.with(|state, _| state.log.lose(seq));
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, Now) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Now {
            wall: self.clock.now(),
            instant: Instant::now(),
        };
        work(&mut state, now)
    }

    async fn call<T>(
        &self,
        op: Op,
        work: impl FnOnce(&mut State, Now) -> T,
    ) -> Result<T, StoreError> {
        self.faults.strike(op, || Ok(self.with(work))).await
    }
}

#[async_trait]
impl GrantStore for MemoryStore {
    async fn grant_of(&self, key: &CredentialKey) -> Result<Option<Grant>, StoreError> {
        self.call(Op::GrantOf, |state, now| {
            let credential = state.credentials.get(key)?;
            Some(state.grants.get(&credential.grant)?.view(now))
        })
        .await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        self.call(Op::Grant, |state, now| {
            Some(state.grants.get(id)?.view(now))
        })
        .await
    }

    async fn derived(
        &self,
        parent: &GrantId,
        scopes: &ScopeSet,
    ) -> Result<Option<Grant>, StoreError> {
        self.call(Op::Derived, |state, now| {
            let mut rows = state.derived(parent);
            let row = rows.find(|row| row.grant.facts.requested_scopes == *scopes);
            row.map(|row| row.view(now))
        })
        .await
    }

    async fn claim(
        &self,
        id: &GrantId,
        generation: Generation,
        owner: &OwnerToken,
        lease: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        self.call(Op::Claim, |state, now| {
            let row = state.grants.get_mut(id)?;
            row.claim(generation, owner, lease, now)
        })
        .await
    }

    async fn commit(
        &self,
        id: &GrantId,
        base: Generation,
        tokens: &TokenSet,
        issued_at: Timestamp,
        dates: &Dates,
    ) -> Result<bool, StoreError> {
        self.call(Op::Commit, |state, now| {
            let row = state.grants.get_mut(id);
            match row.filter(|row| row.is_active() && row.grant.facts.generation == base) {
                Some(row) => {
                    row.store(base.next(), tokens.clone(), issued_at, *dates, now);
                    true
                }
                None => false,
            }
        })
        .await
    }

    async fn end_attempt(
        &self,
        id: &GrantId,
        epoch: Epoch,
        end: AttemptEnd,
    ) -> Result<bool, StoreError> {
        self.call(Op::EndAttempt, |state, _| {
            let row = state.grants.get_mut(id);
            row.is_some_and(|row| row.end_attempt(epoch, end))
        })
        .await
    }

    async fn keep_orphan(
        &self,
        id: &GrantId,
        base: Generation,
        tokens: &TokenSet,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.call(Op::KeepOrphan, |state, now| {
            state.orphans.push(Orphan {
                grant: id.clone(),
                base,
                tokens: tokens.clone(),
                reason: reason.to_owned(),
                kept_at: now.wall,
            });
        })
        .await
    }

    async fn orphans_of(&self, grant: &GrantFacts) -> Result<Vec<TokenSet>, StoreError> {
        self.call(Op::OrphansOf, |state, _| state.orphans_of(grant))
            .await
    }

    async fn prune_orphans(&self, retention: Duration, limit: u32) -> Result<u64, StoreError> {
        self.call(Op::PruneOrphans, |state, now| {
            state.prune_orphans(now.wall.minus(retention), limit)
        })
        .await
    }

    async fn note_attempts(&self, records: &[AttemptRecord]) -> Result<(), StoreError> {
        self.call(Op::NoteAttempts, |state, _| {
            records.iter().for_each(|record| state.note_attempt(record));
        })
        .await
    }

    async fn attempts_of(&self, id: &GrantId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.call(Op::AttemptsOf, |state, _| state.attempts_of(id))
            .await
    }

    async fn prune_attempts(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        self.call(Op::PruneAttempts, |state, now| {
            state.prune_attempts(now.wall.minus(older_than), limit)
        })
        .await
    }

    async fn due(
        &self,
        now: Timestamp,
        limit: u32,
        per_client: u32,
    ) -> Result<Vec<DueGrant>, StoreError> {
        self.call(Op::Due, |state, clock| {
            let mut taken = BTreeMap::new();
            let mut due = state.due(now, clock);
            due.retain(|grant| {
                let taken = taken.entry(grant.client.clone()).or_insert(0);
                *taken += 1;
                *taken <= per_client
            });
            due.truncate(limit as usize);
            due
        })
        .await
    }

    async fn to_probe(
        &self,
        client: &ClientKey,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError> {
        self.call(Op::ToProbe, |state, clock| {
            let mut ids = state.to_probe(client, now, clock);
            ids.truncate(limit as usize);
            ids
        })
        .await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        self.call(Op::Backlog, |state, clock| {
            let due = state.due(now, clock);
            Backlog {
                due: due.len() as u64,
                oldest: due.first().map(|grant| grant.due_at),
            }
        })
        .await
    }

    async fn to_announce(&self, now: Timestamp, limit: u32) -> Result<Vec<GrantId>, StoreError> {
        self.call(Op::ToAnnounce, |state, _| {
            let mut due = state.to_announce(now);
            due.truncate(limit as usize);
            due
        })
        .await
    }

    async fn changed_within(&self, window: Duration) -> Result<Vec<GrantVersion>, StoreError> {
        self.call(Op::ChangedWithin, |state, now| {
            state.changed_within(window, now)
        })
        .await
    }

    async fn forget_deleted(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        self.call(Op::ForgetDeleted, |state, now| {
            state.forget_deleted(older_than, limit, now)
        })
        .await
    }

    async fn count_by_state(&self) -> Result<Vec<(ProviderName, bool, u64)>, StoreError> {
        self.call(Op::CountByState, |state, _| state.count_by_state())
            .await
    }

    async fn count_credentials(&self) -> Result<Vec<(ProviderName, bool, u64)>, StoreError> {
        self.call(Op::CountCredentials, |state, _| state.count_credentials())
            .await
    }
}

#[async_trait]
impl Directory for MemoryStore {
    async fn credential(&self, key: &CredentialKey) -> Result<Option<CredentialView>, StoreError> {
        self.call(Op::Credential, |state, now| {
            Some(state.credential_view(state.credentials.get(key)?, now))
        })
        .await
    }

    async fn list_credentials(
        &self,
        query: &CredentialQuery,
    ) -> Result<Vec<CredentialView>, StoreError> {
        self.call(Op::ListCredentials, |state, now| {
            state.list_credentials(query, now)
        })
        .await
    }

    async fn forecast(&self, query: &ForecastQuery) -> Result<Vec<Forecast>, StoreError> {
        self.call(Op::Forecast, |state, _| state.forecast(query))
            .await
    }

    async fn integration(&self, key: &IntegrationKey) -> Result<Option<Integration>, StoreError> {
        self.call(Op::Integration, |state, _| {
            Some(state.integration_view(state.integrations.get(key)?))
        })
        .await
    }

    async fn list_integrations(
        &self,
        query: &IntegrationQuery,
    ) -> Result<Vec<Integration>, StoreError> {
        self.call(Op::ListIntegrations, |state, _| {
            state.list_integrations(query)
        })
        .await
    }

    async fn clients(&self) -> Result<Vec<ClientStanding>, StoreError> {
        self.call(Op::Clients, |state, _| state.client_standings())
            .await
    }

    async fn claim_probe(
        &self,
        client: &ClientKey,
        wait: Duration,
    ) -> Result<ProbeTurn, StoreError> {
        self.call(Op::ClaimProbe, |state, now| {
            state.claim_probe(client, wait, now.wall)
        })
        .await
    }

    async fn held(
        &self,
        client: &ClientKey,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError> {
        self.call(Op::Held, |state, _| {
            let rows = state.grants.iter();
            rows.filter(|(id, row)| row.is_suspect_of(client) && Some(*id) > after)
                .map(|(id, _)| id.clone())
                .take(limit as usize)
                .collect()
        })
        .await
    }

    async fn snapshot(&self, scope: &Scope) -> Result<Snapshot, StoreError> {
        self.call(Op::Snapshot, |state, now| state.snapshot(scope, now))
            .await
    }

    async fn forget_deliveries(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        self.call(Op::ForgetDeliveries, |state, now| {
            state.forget_deliveries(now.wall.minus(older_than), limit)
        })
        .await
    }

    async fn apply(&self, change: &ChangeSet) -> Result<u64, ApplyError> {
        self.faults
            .strike(Op::Apply, || {
                self.with(|state, now| state.apply(change, now))
                    .ok_or(ApplyError::Conflict)
            })
            .await
    }
}

#[async_trait]
impl EventLog for MemoryStore {
    async fn position(&self) -> Result<LogPosition, StoreError> {
        self.call(Op::Position, |state, _| state.log.position())
            .await
    }

    async fn events_after(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<(Vec<Event>, LogPosition), StoreError> {
        self.call(Op::EventsAfter, |state, _| {
            (state.log.after(after, limit), state.log.position())
        })
        .await
    }

    async fn events_of(&self, key: &CredentialKey, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.call(Op::EventsOf, |state, _| state.log.of(key, limit))
            .await
    }

    async fn prune(&self, retention: Duration, limit: u32) -> Result<u64, StoreError> {
        self.call(Op::Prune, |state, now| {
            state.log.prune(now.wall.minus(retention), limit)
        })
        .await
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.call(Op::Ping, |_, _| ()).await
    }
}
