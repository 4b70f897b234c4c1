//! Applying a change in memory: every expectation is checked first, then everything is written.

use super::state::{GrantRow, Now, State};
use crate::ageing::Dates;
use crate::brake::WINDOW;
use crate::change::{ChangeSet, NewGrant, Write};
use crate::grant::{Attempts, Grant, GrantFacts, GrantState};
use crate::ids::Epoch;
use crate::integration::Integration;
use crate::store::Credential;

impl State {
    /// The new head of the log, or `None` if the change conflicts.
    pub(super) fn apply(&mut self, change: &ChangeSet, now: Now) -> Option<u64> {
        let writes = change.distinct_writes()?;
        if change.revision != self.log.revision || !writes.iter().all(|write| self.expects(write)) {
            return None;
        }
        let mut next = self.clone();
        for write in writes {
            next.write(write, self, now);
        }
        if !next.is_consistent() {
            return None;
        }
        let head = next.log.append(&change.events, now.wall);
        *self = next;
        Some(head)
    }

    fn expects(&self, write: &Write) -> bool {
        match write {
            Write::InsertGrant(new) => !self.grants.contains_key(&new.id),
            Write::StoreTokens {
                grant, base, idle, ..
            } => self
                .grants
                .get(grant)
                .is_some_and(|row| row.grant.facts.generation == *base && (row.is_idle() || !idle)),
            Write::KeepTokens { grant, .. } => {
                self.grants.get(grant).is_some_and(GrantRow::is_active)
            }
            Write::InvalidateGrant {
                grant,
                generation,
                epoch,
                ..
            } => self.grants.get(grant).is_some_and(|row| {
                row.is_active()
                    && row.grant.facts.generation == *generation
                    && epoch.is_none_or(|epoch| epoch == row.epoch)
            }),
            Write::ReportDeath { grant, generation } => self.grants.get(grant).is_some_and(|row| {
                let facts = &row.grant.facts;
                !row.is_active()
                    && !facts.state.is_reported_dead()
                    && facts.generation == *generation
            }),
            Write::HoldGrant {
                grant,
                generation,
                epoch,
                ..
            } => self.grants.get(grant).is_some_and(|row| {
                row.is_active() && row.grant.facts.generation == *generation && row.epoch == *epoch
            }),
            Write::NoteRefusal { .. } | Write::SetBrake(_) => true,
            Write::ReleaseBrake { client, .. } => self.brakes.contains_key(client),
            Write::DateGrant {
                grant, generation, ..
            } => self
                .grants
                .get(grant)
                .is_some_and(|row| row.is_active() && row.grant.facts.generation == *generation),
            Write::TouchGrant(id) | Write::DeleteGrant(id) => self.grants.contains_key(id),
            Write::InsertCredential(new) => !self.credentials.contains_key(&new.key),
            Write::UpdateCredentialLabels { key, version, .. } => {
                let row = self.credentials.get(key);
                row.is_some_and(|row| row.version == *version)
            }
            Write::MoveCredential { key, from, .. } => {
                let row = self.credentials.get(key);
                row.is_some_and(|row| row.grant == *from)
            }
            Write::DeleteCredential(key) => self.credentials.contains_key(key),
            Write::InsertIntegration(new) => !self.integrations.contains_key(&new.key),
            Write::UpdateIntegration(new) => {
                let row = self.integrations.get(&new.key);
                row.is_some_and(|row| row.version + 1 == new.version)
            }
            Write::DeleteIntegration(key) => self.integrations.contains_key(key),
            Write::SetClientHealth(new) => {
                let row = self.clients.get(&new.client);
                row.is_none_or(|row| row.rejected != new.rejected)
            }
            Write::RememberDelivery(id) => !self.deliveries.contains_key(id),
            Write::NoteKilled(killed) => {
                let key = (killed.kill.clone(), killed.grant.clone());
                !self.killed.contains_key(&key)
            }
        }
    }

    /// Carries out a write whose expectation holds in `before`.
    fn write(&mut self, write: &Write, before: &State, now: Now) {
        match write {
            Write::InsertGrant(new) => {
                self.grants.insert(new.id.clone(), first_row(new, now));
            }
            Write::StoreTokens {
                grant,
                next,
                tokens,
                issued_at,
                dates,
                consent,
                account,
                base: _,
                idle: _,
            } => {
                if let Some(row) = self.grants.get_mut(grant) {
                    row.store(*next, (**tokens).clone(), *issued_at, *dates, now);
                    if *consent {
                        row.grant.facts.consented_at = *issued_at;
                        row.grant.facts.announced = None;
                    }
                    if account.is_some() {
                        row.grant.facts.account.clone_from(account);
                    }
                }
            }
            Write::KeepTokens { grant, account } => {
                if let Some(row) = self.grants.get_mut(grant) {
                    row.keep(account.as_ref(), now);
                }
            }
            Write::InvalidateGrant {
                grant,
                invalidation,
                ..
            } => {
                if let Some(row) = self.grants.get_mut(grant) {
                    row.grant.facts.state = GrantState::Invalidated(invalidation.clone());
                    row.grant.facts.dates = Dates::default();
                    row.end_lease();
                    row.raise(now);
                }
            }
            Write::ReportDeath { grant, .. } => {
                if let Some(row) = self.grants.get_mut(grant)
                    && let GrantState::Invalidated(dead) = &mut row.grant.facts.state
                {
                    dead.reported = true;
                }
            }
            Write::HoldGrant {
                grant,
                invalidation,
                failure,
                next_at,
                ..
            } => {
                if let Some(row) = self.grants.get_mut(grant) {
                    row.hold(invalidation, failure, *next_at, now);
                }
            }
            Write::NoteRefusal { client, grant } => {
                let since = now.wall.minus(WINDOW);
                self.refusals
                    .retain(|(of, _), at| of != client || *at > since);
                let key = (client.clone(), grant.clone());
                self.refusals.insert(key, now.wall);
            }
            Write::SetBrake(brake) => {
                self.brakes.insert(brake.client.clone(), brake.clone());
            }
            Write::ReleaseBrake { client, spread } => {
                self.brakes.remove(client);
                self.refusals.retain(|(of, _), _| of != client);
                for row in self.grants.values_mut() {
                    if row.is_suspect_of(client) {
                        row.release(*spread, now);
                    }
                }
            }
            Write::DateGrant {
                grant,
                dates,
                announced,
                generation: _,
            } => {
                if let Some(row) = self.grants.get_mut(grant) {
                    row.grant.facts.dates = *dates;
                    row.grant.facts.announced = *announced;
                }
            }
            Write::TouchGrant(grant) => {
                if let Some(row) = self.grants.get_mut(grant) {
                    row.raise(now);
                }
            }
            Write::DeleteGrant(grant) => {
                self.grants.remove(grant);
                self.deleted.insert(grant.clone(), now.instant);
            }
            Write::InsertCredential(new) => {
                let row = Credential {
                    version: 1,
                    ..new.clone()
                };
                self.credentials.insert(new.key.clone(), row);
            }
            Write::UpdateCredentialLabels { key, labels, .. } => {
                if let Some(row) = self.credentials.get_mut(key) {
                    row.labels.clone_from(labels);
                    row.version = before.credentials[key].version + 1;
                }
            }
            Write::MoveCredential { key, to, .. } => {
                if let Some(row) = self.credentials.get_mut(key) {
                    row.grant.clone_from(to);
                    row.version = before.credentials[key].version + 1;
                }
            }
            Write::DeleteCredential(key) => {
                self.credentials.remove(key);
            }
            Write::InsertIntegration(new) => {
                let row = Integration {
                    version: 1,
                    ..sorted(new)
                };
                self.integrations.insert(new.key.clone(), row);
            }
            Write::UpdateIntegration(new) => {
                self.integrations.insert(new.key.clone(), sorted(new));
            }
            Write::DeleteIntegration(key) => {
                self.integrations.remove(key);
            }
            Write::SetClientHealth(new) => {
                self.clients.insert(new.client.clone(), new.clone());
            }
            Write::RememberDelivery(id) => {
                self.deliveries.insert(id.clone(), now.wall);
            }
            Write::NoteKilled(killed) => {
                let key = (killed.kill.clone(), killed.grant.clone());
                self.killed.insert(key, killed.clone());
            }
        }
    }

    /// Every credential has its grant, and every derived grant its parent.
    fn is_consistent(&self) -> bool {
        let mut used = self.credentials.values().map(|row| &row.grant);
        let rows = self.grants.values();
        let mut parents = rows.filter_map(|row| row.grant.facts.parent.as_ref());
        used.all(|grant| self.grants.contains_key(grant))
            && parents.all(|parent| self.grants.contains_key(parent))
    }
}

fn first_row(new: &NewGrant, now: Now) -> GrantRow {
    let NewGrant {
        id,
        tenant,
        client,
        account,
        grant_type,
        parent,
        generation,
        tokens,
        issued_at,
        dates,
    } = new.clone();
    GrantRow {
        grant: Grant {
            facts: GrantFacts {
                id,
                tenant,
                client,
                account,
                grant_type,
                parent,
                requested_scopes: tokens.means.scopes.clone(),
                generation,
                version: 1,
                state: GrantState::Active,
                consented_at: issued_at,
                issued_at,
                expires_at: tokens.expires_at,
                refresh_expires_at: tokens.refresh_expires_at,
                refreshable: tokens.refresh_token.is_some() || grant_type.is_minted(),
                dates,
                announced: None,
                scopes: tokens.scopes.clone(),
                attempts: Attempts::default(),
                lease: None,
                in_doubt: false,
                created_at: now.wall,
            },
            tokens,
        },
        epoch: Epoch(0),
        lease: None,
        intent: false,
        takeover: false,
        changed: now.instant,
    }
}

fn sorted(integration: &Integration) -> Integration {
    let mut row = integration.clone();
    row.facts
        .needs
        .sort_by(|a, b| a.credential.cmp(&b.credential));
    row.facts
        .needs
        .dedup_by(|a, b| a.credential == b.credential);
    row
}
