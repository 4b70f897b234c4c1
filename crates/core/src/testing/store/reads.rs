//! What the directory reads in memory: views, listings and snapshots.

use std::collections::BTreeSet;

use super::state::{GrantRow, Now, State};
use crate::ageing::EndOf;
use crate::change::{Connecting, ELSEWHERE, Holder, Scope, Snapshot};
use crate::grant::Grant;
use crate::ids::{ClientKey, CredentialId, CredentialKey, GrantId, TenantId};
use crate::integration::{Fault, Integration, Need};
use crate::secret::RefreshToken;
use crate::store::{
    ClientStanding, Credential, CredentialQuery, CredentialView, Forecast, ForecastPlace,
    ForecastQuery, IntegrationQuery,
};

impl State {
    pub(super) fn credential_view(&self, credential: &Credential, now: Now) -> CredentialView {
        let key = &credential.key;
        CredentialView {
            credential: credential.clone(),
            grant: self.grants[&credential.grant].view(now).facts,
            integrations: self
                .integrations
                .values()
                .filter(|integration| {
                    integration.key.tenant == key.tenant && needs(integration, &key.id)
                })
                .map(|integration| integration.key.id.clone())
                .collect(),
        }
    }

    pub(super) fn list_credentials(
        &self,
        query: &CredentialQuery,
        now: Now,
    ) -> Vec<CredentialView> {
        let views = self
            .credentials
            .values()
            .map(|row| self.credential_view(row, now));
        views
            .filter(|view| {
                let CredentialQuery {
                    tenant,
                    ids,
                    providers,
                    invalidated,
                    labels,
                    after,
                    limit: _,
                } = query;
                let key = &view.credential.key;
                tenant.as_ref().is_none_or(|tenant| *tenant == key.tenant)
                    && (ids.is_empty() || ids.contains(&key.id))
                    && (providers.is_empty() || providers.contains(&view.grant.client.provider))
                    && invalidated
                        .is_none_or(|dead| dead == view.grant.state.invalidation().is_some())
                    && labels
                        .iter()
                        .all(|(name, value)| view.credential.labels.get(name) == Some(value))
                    && after.as_ref().is_none_or(|after| key > after)
            })
            .take(query.limit as usize)
            .collect()
    }

    pub(super) fn forecast(&self, query: &ForecastQuery) -> Vec<Forecast> {
        let credentials = self.credentials.values();
        let mut ends: Vec<_> = credentials
            .flat_map(|credential| self.ends_of(credential))
            .filter(|end| {
                let ForecastQuery {
                    tenants,
                    providers,
                    before,
                    after,
                    limit: _,
                } = query;
                let tenant = &end.place.key.tenant;
                tenants.as_ref().is_none_or(|own| own.contains(tenant))
                    && (providers.is_empty() || providers.contains(&end.provider))
                    && before.is_none_or(|before| end.place.at < before)
                    && after.as_ref().is_none_or(|after| end.place > *after)
            })
            .collect();
        ends.sort_by(|a, b| a.place.cmp(&b.place));
        ends.truncate(query.limit as usize);
        ends
    }

    fn ends_of(&self, credential: &Credential) -> Vec<Forecast> {
        let facts = &self.grants[&credential.grant].grant.facts;
        let forecast = |at, of: Option<EndOf>| Forecast {
            place: ForecastPlace {
                at,
                key: credential.key.clone(),
                moves: of.is_none(),
            },
            provider: facts.client.provider.clone(),
            generation: facts.generation,
            of,
            due_at: facts.dates.due_at,
            labels: credential.labels.clone(),
        };
        let end = facts.dates.end.map(|end| forecast(end.at, Some(end.of)));
        let renew_by = facts.dates.renew_by.map(|at| forecast(at, None));
        end.into_iter().chain(renew_by).collect()
    }

    pub(super) fn integration_view(&self, integration: &Integration) -> Integration {
        let mut view = integration.clone();
        for need in &mut view.facts.needs {
            need.fault = self.fault_of(&CredentialKey {
                tenant: view.key.tenant.clone(),
                id: need.credential.clone(),
            });
        }
        view
    }

    fn fault_of(&self, key: &CredentialKey) -> Option<Fault> {
        let Some(credential) = self.credentials.get(key) else {
            return Some(Fault::Deleted);
        };
        let state = &self.grants[&credential.grant].grant.facts.state;
        let dead = state.invalidation()?;
        Some(Fault::invalidated(dead.reason, &dead.provider_error))
    }

    pub(super) fn list_integrations(&self, query: &IntegrationQuery) -> Vec<Integration> {
        let IntegrationQuery {
            tenant,
            status,
            credential,
            after,
            limit,
        } = query;
        let rows = self.integrations.values();
        rows.filter(|row| row.key.tenant == *tenant)
            .filter(|row| status.is_none_or(|status| row.status == status))
            .filter(|row| credential.as_ref().is_none_or(|id| needs(row, id)))
            .filter(|row| after.as_ref().is_none_or(|after| row.key.id > *after))
            .take(*limit as usize)
            .map(|row| self.integration_view(row))
            .collect()
    }

    pub(super) fn snapshot(&self, scope: &Scope, now: Now) -> Snapshot {
        let mut grants = BTreeSet::new();
        let mut credentials = BTreeSet::new();
        let mut integrations = BTreeSet::new();
        let mut client = None;
        let mut delivered = false;
        let mut refusals = None;
        let (mut same_token, mut elsewhere) = (Vec::new(), Vec::new());
        match scope {
            Scope::Grant(id) => {
                grants.insert(id.clone());
            }
            Scope::Credential { key, connecting } => {
                credentials.insert(key.clone());
                grants.extend(self.credentials.get(key).map(|row| row.grant.clone()));
                if let Some(wanted) = connecting {
                    grants.extend(self.of_account(&key.tenant, wanted));
                    same_token = self.with_token(&key.tenant, wanted);
                    grants.extend(same_token.iter().map(|holder| holder.id.clone()));
                    elsewhere = self.with_token_elsewhere(&key.tenant, wanted);
                }
            }
            Scope::Integration {
                key,
                credentials: more,
            } => {
                let row = self.integrations.get(key);
                let needs = row.into_iter().flat_map(|row| &row.facts.needs);
                credentials.extend(needs.map(|need| &need.credential).chain(more).map(|id| {
                    CredentialKey {
                        tenant: key.tenant.clone(),
                        id: id.clone(),
                    }
                }));
                let rows = credentials
                    .iter()
                    .filter_map(|key| self.credentials.get(key));
                grants.extend(rows.map(|row| row.grant.clone()));
                integrations.insert(key.clone());
            }
            Scope::Client(key) => {
                client = self.clients.get(key).cloned();
                refusals = Some(self.refusals(key, None, now.wall));
            }
            Scope::Refusal { grant, client } => {
                grants.insert(grant.clone());
                refusals = Some(self.refusals(client, Some(grant), now.wall));
            }
            Scope::Report { report, limit } => {
                delivered = self.deliveries.contains_key(&report.delivery);
                let concerned = self.grants.iter().filter(|(_, row)| {
                    let Grant { facts, tokens } = &row.grant;
                    !facts.state.is_reported_dead()
                        && report.concerns(facts, tokens.refresh_token.as_ref())
                });
                grants.extend(concerned.map(|(id, _)| id.clone()).take(*limit as usize));
            }
            Scope::Kill(batch) => {
                let taken = self.grants.iter().filter(|(id, row)| {
                    let noted = (batch.order.id.clone(), (*id).clone());
                    Some(*id) > batch.after.as_ref()
                        && batch.order.target.has(&row.grant.facts)
                        && batch.order.takes(&row.grant.facts)
                        && !self.killed.contains_key(&noted)
                });
                let taken = taken.map(|(id, _)| id.clone());
                grants.extend(taken.take(batch.limit as usize));
            }
        }
        if !matches!(scope, Scope::Integration { .. }) {
            let sharing = self
                .credentials
                .values()
                .filter(|row| grants.contains(&row.grant));
            credentials.extend(sharing.map(|row| row.key.clone()));
            let dependants = self.integrations.values().filter(|row| {
                credentials
                    .iter()
                    .any(|key| key.tenant == row.key.tenant && needs(row, &key.id))
            });
            integrations.extend(dependants.map(|row| row.key.clone()));
            let derived = grants.iter().flat_map(|id| self.derived(id));
            let derived: Vec<_> = derived.map(|row| row.grant.facts.id.clone()).collect();
            grants.extend(derived);
        }
        let integrations = integrations
            .iter()
            .filter_map(|key| self.integrations.get(key));
        Snapshot {
            revision: self.log.revision,
            now: now.wall,
            grants: grants
                .iter()
                .filter_map(|id| Some(self.grants.get(id)?.view(now).facts))
                .collect(),
            same_token,
            elsewhere,
            credentials: credentials
                .iter()
                .filter_map(|key| self.credentials.get(key).cloned())
                .collect(),
            integrations: integrations.map(|row| self.integration_view(row)).collect(),
            client,
            delivered,
            refusals,
        }
    }

    pub(super) fn client_standings(&self) -> Vec<ClientStanding> {
        let known: BTreeSet<_> = self.clients.keys().chain(self.brakes.keys()).collect();
        let standing = |client: &ClientKey| ClientStanding {
            client: client.clone(),
            health: self.clients.get(client).cloned(),
            brake: self.brakes.get(client).cloned(),
            held: self.held(client),
        };
        known.into_iter().map(standing).collect()
    }

    fn of_account(&self, tenant: &TenantId, wanted: &Connecting) -> Vec<GrantId> {
        self.grants_where(tenant, wanted, |row| {
            wanted.account.is_some() && row.grant.facts.account == wanted.account
        })
    }

    fn with_token(&self, tenant: &TenantId, wanted: &Connecting) -> Vec<Holder> {
        let holders = self.grants_where(tenant, wanted, |row| holds_token(row, wanted));
        let grants = holders.into_iter().map(|id| &self.grants[&id].grant);
        grants
            .map(|grant| Holder {
                id: grant.facts.id.clone(),
                generation: grant.facts.generation,
                tokens: Some(grant.tokens.clone()),
            })
            .collect()
    }

    fn with_token_elsewhere(&self, tenant: &TenantId, wanted: &Connecting) -> Vec<CredentialKey> {
        let is_elsewhere = |credential: &&Credential| {
            self.grants.get(&credential.grant).is_some_and(|row| {
                let facts = &row.grant.facts;
                (facts.tenant != *tenant || facts.client != wanted.client)
                    && row.is_active()
                    && holds_token(row, wanted)
            })
        };
        let found = self.credentials.values().filter(is_elsewhere);
        found
            .map(|row| row.key.clone())
            .take(ELSEWHERE as usize)
            .collect()
    }

    fn grants_where(
        &self,
        tenant: &TenantId,
        wanted: &Connecting,
        is_wanted: impl Fn(&GrantRow) -> bool,
    ) -> Vec<GrantId> {
        let rows = self.grants.values();
        rows.filter(|row| {
            let facts = &row.grant.facts;
            facts.tenant == *tenant && facts.client == wanted.client && is_wanted(row)
        })
        .map(|row| row.grant.facts.id.clone())
        .collect()
    }
}

fn holds_token(row: &GrantRow, wanted: &Connecting) -> bool {
    let token = row.grant.tokens.refresh_token.as_ref();
    let hash = token.map(RefreshToken::sha512_twice);
    hash.is_some() && hash == wanted.refresh_token
}

fn needs(integration: &Integration, credential: &CredentialId) -> bool {
    let mut needs = integration.facts.needs.iter();
    needs.any(|need: &Need| need.credential == *credential)
}
