//! Grants in memory, as the refresh protocol sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryStore, Op, Orphan};
use crate::ageing::Dates;
use crate::attempts::AttemptRecord;
use crate::clock::Timestamp;
use crate::grant::{Grant, GrantFacts, TokenSet};
use crate::ids::{ClientKey, CredentialKey, Epoch, Generation, GrantId, OwnerToken, ProviderName};
use crate::scopes::ScopeSet;
use crate::store::{AttemptEnd, Backlog, Claimed, DueGrant, GrantStore, GrantVersion, StoreError};

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
    ) -> Result<Option<u64>, StoreError> {
        self.call(Op::Commit, |state, now| {
            let row = state.grants.get_mut(id);
            let row = row.filter(|row| row.is_active() && row.grant.facts.generation == base)?;
            row.store(base.next(), tokens.clone(), issued_at, *dates, now);
            Some(row.grant.facts.version)
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
