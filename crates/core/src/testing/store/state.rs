//! The rows in memory, and what the refresh protocol does with them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Orphan;
use super::log::Log;
use crate::ageing::Dates;
use crate::attempts::{AttemptRecord, REMEMBERED};
use crate::brake::{Brake, Refusals, WINDOW};
use crate::change::ClientHealth;
use crate::clock::Timestamp;
use crate::grant::{
    Attempts, Grant, GrantFacts, GrantState, GrantType, Invalidation, Lease, PassingFailure,
    TokenSet,
};
use crate::ids::{
    ClientKey, CredentialKey, Epoch, Generation, GrantId, IntegrationKey, KillId, OwnerToken,
    ProviderName,
};
use crate::integration::Integration;
use crate::kill::Killed;
use crate::report::DeliveryId;
use crate::store::{AttemptEnd, Claimed, Credential, DueGrant, GrantVersion, ProbeTurn};

#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) instant: Instant,
}

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) grants: BTreeMap<GrantId, GrantRow>,
    pub(super) credentials: BTreeMap<CredentialKey, Credential>,
    /// Their needs carry no faults: those are found when they are read.
    pub(super) integrations: BTreeMap<IntegrationKey, Integration>,
    pub(super) clients: BTreeMap<ClientKey, ClientHealth>,
    /// When each rejected client was last probed.
    pub(super) probed: BTreeMap<ClientKey, Timestamp>,
    /// When each grant of a client was last refused.
    pub(super) refusals: BTreeMap<(ClientKey, GrantId), Timestamp>,
    pub(super) brakes: BTreeMap<ClientKey, Brake>,
    pub(super) orphans: Vec<Orphan>,
    pub(super) attempts: Vec<AttemptRecord>,
    pub(super) killed: BTreeMap<(KillId, GrantId), Killed>,
    /// With the time at which each was remembered.
    pub(super) deliveries: BTreeMap<DeliveryId, Timestamp>,
    /// When each grant was deleted.
    pub(super) deleted: BTreeMap<GrantId, Instant>,
    pub(super) log: Log,
}

#[derive(Clone)]
pub(super) struct GrantRow {
    /// Without its lease, which is found when it is read.
    pub(super) grant: Grant,
    pub(super) epoch: Epoch,
    pub(super) lease: Option<(OwnerToken, Instant)>,
    /// The refresh token may be spent.
    pub(super) intent: bool,
    /// It may have been before the latest claim.
    pub(super) takeover: bool,
    pub(super) changed: Instant,
}

impl GrantRow {
    pub(super) fn view(&self, now: Now) -> Grant {
        let mut grant = self.grant.clone();
        grant.facts.in_doubt = self.takeover || self.intent && !self.is_leased(now);
        grant.facts.lease = self.lease.as_ref().map(|(owner, until)| Lease {
            owner: owner.clone(),
            epoch: self.epoch,
            left: until.saturating_duration_since(now.instant),
        });
        grant
    }

    pub(super) fn is_active(&self) -> bool {
        self.grant.facts.state.invalidation().is_none()
    }

    /// Whether no attempt holds it, or may have spent its refresh token.
    pub(super) fn is_idle(&self) -> bool {
        self.lease.is_none() && !self.intent && !self.takeover
    }

    pub(super) fn is_suspect_of(&self, client: &ClientKey) -> bool {
        self.grant.facts.client == *client && self.grant.facts.state.suspicion().is_some()
    }

    fn is_leased(&self, now: Now) -> bool {
        let lease = self.lease.as_ref();
        lease.is_some_and(|(_, until)| *until > now.instant)
    }

    pub(super) fn claim(
        &mut self,
        generation: Generation,
        owner: &OwnerToken,
        lease: Duration,
        now: Now,
    ) -> Option<Claimed> {
        let free = self.is_active() && !self.is_leased(now);
        if !free || self.grant.facts.generation != generation {
            return None;
        }
        self.epoch.0 += 1;
        self.lease = Some((owner.clone(), now.instant + lease));
        self.takeover = self.intent;
        self.intent = true;
        Some(Claimed {
            epoch: self.epoch,
            takeover: self.takeover,
        })
    }

    pub(super) fn end_attempt(&mut self, epoch: Epoch, end: AttemptEnd) -> bool {
        if self.epoch != epoch || self.lease.take().is_none() {
            return false;
        }
        self.intent = self.takeover;
        if let AttemptEnd::Deferred {
            next_at,
            failure,
            ambiguous,
        } = end
        {
            self.intent |= ambiguous;
            let attempts = &mut self.grant.facts.attempts;
            attempts.failed += 1;
            attempts.next_at = Some(next_at);
            attempts.last_failure = Some(failure);
        }
        true
    }

    pub(super) fn hold(
        &mut self,
        invalidation: &Invalidation,
        failure: &PassingFailure,
        next_at: Timestamp,
        now: Now,
    ) {
        self.grant.facts.state = GrantState::Suspect(invalidation.clone());
        let attempts = &mut self.grant.facts.attempts;
        attempts.failed += 1;
        attempts.next_at = Some(next_at);
        attempts.last_failure = Some(failure.clone());
        self.grant.facts.dates.due_at = Some(next_at);
        self.lease = None;
        self.intent = self.takeover;
        self.raise(now);
    }

    pub(super) fn release(&mut self, spread: Duration, now: Now) {
        let next_at = now.wall.plus(spread.mul_f64(fastrand::f64()));
        self.grant.facts.state = GrantState::Active;
        self.grant.facts.attempts.next_at = Some(next_at);
        self.grant.facts.dates.due_at = Some(next_at);
        self.raise(now);
    }

    pub(super) fn store(
        &mut self,
        next: Generation,
        tokens: TokenSet,
        issued_at: Timestamp,
        dates: Dates,
        now: Now,
    ) {
        let facts = &mut self.grant.facts;
        facts.generation = next;
        facts.state = GrantState::Active;
        facts.issued_at = issued_at;
        facts.expires_at = tokens.expires_at;
        facts.refresh_expires_at = tokens.refresh_expires_at;
        facts.requested_scopes = tokens.means.scopes.clone();
        facts.refreshable = tokens.refresh_token.is_some() || facts.grant_type.is_minted();
        facts.dates = dates;
        facts.scopes = tokens.scopes.clone();
        facts.attempts = Attempts::default();
        self.grant.tokens = tokens;
        self.end_lease();
        self.raise(now);
    }

    pub(super) fn keep(&mut self, account: Option<&String>, now: Now) {
        let facts = &mut self.grant.facts;
        if facts.state == GrantState::Active {
            facts.attempts = Attempts::default();
        }
        facts.account = account.cloned().or(facts.account.take());
        self.raise(now);
    }

    pub(super) fn end_lease(&mut self) {
        self.lease = None;
        self.intent = false;
        self.takeover = false;
    }

    pub(super) fn raise(&mut self, now: Now) {
        self.grant.facts.version += 1;
        self.changed = now.instant;
    }
}

impl State {
    /// The grants that mint with the means of `parent`.
    pub(super) fn derived(&self, parent: &GrantId) -> impl Iterator<Item = &GrantRow> {
        let rows = self.grants.values();
        rows.filter(move |row| row.grant.facts.parent.as_ref() == Some(parent))
    }

    pub(super) fn due(&self, now: Timestamp, clock: Now) -> Vec<DueGrant> {
        let mut due: Vec<_> = self
            .grants
            .values()
            .filter(|row| row.is_active() && !row.is_leased(clock))
            .filter(|row| row.grant.facts.attempts.next_at.is_none_or(|at| at <= now))
            .filter_map(|row| {
                Some(DueGrant {
                    id: row.grant.facts.id.clone(),
                    generation: row.grant.facts.generation,
                    client: row.grant.facts.client.clone(),
                    grant_type: row.grant.facts.grant_type,
                    due_at: row.grant.facts.dates.due_at.filter(|at| *at <= now)?,
                })
            })
            .collect();
        due.sort_by(|a, b| (a.due_at, &a.id).cmp(&(b.due_at, &b.id)));
        due
    }

    pub(super) fn to_probe(&self, client: &ClientKey, now: Timestamp, clock: Now) -> Vec<GrantId> {
        let rows = self.grants.values();
        let mut found: Vec<_> = rows
            .filter(|row| row.is_active() && !row.is_leased(clock))
            .map(|row| row.view(clock).facts)
            .filter(|facts| facts.client == *client && facts.state.suspicion().is_none())
            .filter(|facts| facts.attempts.next_at.is_none_or(|at| at <= now))
            .filter(|facts| match facts.grant_type {
                GrantType::AuthorizationCode => facts.dates.due_at.is_some(),
                GrantType::Static => false,
                _ => true,
            })
            .filter(|facts| {
                let parent = facts.parent.as_ref();
                parent.is_none_or(|id| self.grants.get(id).is_some_and(GrantRow::is_active))
            })
            .map(|facts| {
                let is_exchange = facts.grant_type == GrantType::TokenExchange;
                let end = (facts.expires_at.is_none(), facts.expires_at);
                let failed = facts.attempts.failed;
                let last = (!facts.refreshable, facts.in_doubt, is_exchange);
                ((last, failed, end), facts.id)
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn claim_probe(
        &mut self,
        client: &ClientKey,
        wait: Duration,
        now: Timestamp,
    ) -> ProbeTurn {
        let rejected = self.clients.get(client).filter(|known| known.rejected);
        let Some(rejected) = rejected else {
            return ProbeTurn::NotRejected;
        };
        let probed = self.probed.get(client);
        let last = probed.map_or(rejected.since, |at| rejected.since.max(*at));
        if last > now.minus(wait) {
            return ProbeTurn::Taken;
        }
        self.probed.insert(client.clone(), now);
        ProbeTurn::Ours
    }

    /// How refreshes of a client ended lately, but for that of `without`.
    pub(super) fn refusals(
        &self,
        client: &ClientKey,
        without: Option<&GrantId>,
        now: Timestamp,
    ) -> Refusals {
        let since = now.minus(WINDOW);
        let refused = self
            .refusals
            .iter()
            .filter(|((of, grant), at)| of == client && Some(grant) != without && **at > since);
        let refreshed = self.grants.values().filter(|row| {
            let facts = &row.grant.facts;
            facts.client == *client
                && facts.state == GrantState::Active
                && facts.generation > Generation::FIRST
                && facts.issued_at > since
        });
        Refusals {
            client: client.clone(),
            refused: refused.count() as u64,
            refreshed: refreshed.count() as u64,
            brake: self.brakes.get(client).cloned(),
            held: self.held(client),
        }
    }

    pub(super) fn held(&self, client: &ClientKey) -> u64 {
        let rows = self.grants.values();
        rows.filter(|row| row.is_suspect_of(client)).count() as u64
    }

    pub(super) fn to_announce(&self, now: Timestamp) -> Vec<GrantId> {
        let active = self.grants.values().filter(|row| row.is_active());
        let mut due: Vec<_> = active
            .map(|row| &row.grant.facts)
            .filter_map(|facts| Some((facts.dates.announce_at?, &facts.id)))
            .filter(|(at, _)| *at <= now)
            .collect();
        due.sort();
        due.into_iter().map(|(_, id)| id.clone()).collect()
    }

    pub(super) fn changed_within(&self, window: Duration, now: Now) -> Vec<GrantVersion> {
        let is_recent = |at: Instant| now.instant.saturating_duration_since(at) < window;
        let rows = self.grants.values();
        let changed = rows
            .filter(|row| is_recent(row.changed))
            .map(|row| GrantVersion {
                id: row.grant.facts.id.clone(),
                generation: row.grant.facts.generation,
                version: row.grant.facts.version,
            });
        let deleted = self.deleted.iter().filter(|(_, at)| is_recent(**at));
        let deleted = deleted.map(|(id, _)| GrantVersion::deleted(id.clone()));
        changed.chain(deleted).collect()
    }

    pub(super) fn forget_deleted(&mut self, older_than: Duration, limit: u32, now: Now) -> u64 {
        let is_old = |at: Instant| now.instant.saturating_duration_since(at) > older_than;
        let old = self.deleted.iter().filter(|(_, at)| is_old(**at));
        let old: Vec<_> = old.map(|(id, _)| id.clone()).take(limit as usize).collect();
        for id in &old {
            self.deleted.remove(id);
        }
        old.len() as u64
    }

    pub(super) fn forget_deliveries(&mut self, before: Timestamp, limit: u32) -> u64 {
        let old = self.deliveries.iter().filter(|(_, at)| **at < before);
        let old: Vec<_> = old.map(|(id, _)| id.clone()).take(limit as usize).collect();
        for id in &old {
            self.deliveries.remove(id);
        }
        old.len() as u64
    }

    pub(super) fn orphans_of(&self, grant: &GrantFacts) -> Vec<TokenSet> {
        let of_grant =
            |orphan: &&Orphan| orphan.grant == grant.id && orphan.base == grant.generation;
        let tokens = |orphan: &Orphan| TokenSet {
            expires_at: grant.expires_at,
            refresh_expires_at: grant.refresh_expires_at,
            scopes: grant.scopes.clone(),
            ..orphan.tokens.clone()
        };
        self.orphans.iter().filter(of_grant).map(tokens).collect()
    }

    pub(super) fn prune_orphans(&mut self, older_than: Timestamp, limit: u32) -> u64 {
        let before = self.orphans.len();
        let mut left = limit;
        self.orphans.retain(|orphan| {
            let pruned = orphan.kept_at < older_than && left > 0;
            left -= u32::from(pruned);
            !pruned
        });
        (before - self.orphans.len()) as u64
    }

    pub(super) fn note_attempt(&mut self, record: &AttemptRecord) {
        self.attempts
            .retain(|known| known.grant != record.grant || known.epoch != record.epoch);
        self.attempts.push(record.clone());
        let newest = self.attempts_of(&record.grant);
        if let Some(last) = newest.last().filter(|_| newest.len() == REMEMBERED) {
            let (grant, oldest) = (last.grant.clone(), last.epoch);
            self.attempts
                .retain(|known| known.grant != grant || known.epoch >= oldest);
        }
    }

    pub(super) fn attempts_of(&self, grant: &GrantId) -> Vec<AttemptRecord> {
        let mut known: Vec<_> = self
            .attempts
            .iter()
            .filter(|known| known.grant == *grant)
            .cloned()
            .collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.epoch));
        known.truncate(REMEMBERED);
        known
    }

    pub(super) fn prune_attempts(&mut self, older_than: Timestamp, limit: u32) -> u64 {
        let before = self.attempts.len();
        let mut left = limit;
        self.attempts.retain(|known| {
            let pruned = known.began_at < older_than && left > 0;
            left -= u32::from(pruned);
            !pruned
        });
        (before - self.attempts.len()) as u64
    }

    pub(super) fn count_by_state(&self) -> Vec<(ProviderName, bool, u64)> {
        let rows = self.grants.values();
        counted(rows.filter(|row| row.grant.facts.parent.is_none()))
    }

    pub(super) fn count_credentials(&self) -> Vec<(ProviderName, bool, u64)> {
        let credentials = self.credentials.values();
        counted(credentials.filter_map(|credential| self.grants.get(&credential.grant)))
    }
}

fn counted<'a>(rows: impl Iterator<Item = &'a GrantRow>) -> Vec<(ProviderName, bool, u64)> {
    let mut counts = BTreeMap::new();
    for row in rows {
        let provider = row.grant.facts.client.provider.clone();
        *counts.entry((provider, row.is_active())).or_insert(0) += 1;
    }
    let counts = counts.into_iter();
    counts
        .map(|((provider, active), n)| (provider, active, n))
        .collect()
}
