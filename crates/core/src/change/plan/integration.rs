//! Integrations come, change, go, and follow the credentials that they need.

use std::collections::BTreeMap;

use thiserror::Error;

use super::grant::find;
use crate::change::{ChangeSet, Snapshot, Write};
use crate::events::{EventBody, IntegrationStatusChanged};
use crate::ids::{CredentialId, CredentialKey, IntegrationKey, TenantId};
use crate::integration::{Facts, Fault, Integration, Need};

/// Why an integration cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CreateIntegrationError {
    /// There is one of that name.
    #[error("integration {0} exists already")]
    Exists(IntegrationKey),
    /// It needs a credential that is not there.
    #[error("credential {0} does not exist")]
    CredentialNotFound(CredentialKey),
}

/// Why an integration cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpdateIntegrationError {
    /// There is none of that name.
    #[error("integration {0} does not exist")]
    NotFound(IntegrationKey),
    /// It needs a credential that is not there.
    #[error("credential {0} does not exist")]
    CredentialNotFound(CredentialKey),
    /// It was changed since the caller read it.
    #[error("integration {0} was changed since it was read")]
    EtagMismatch(IntegrationKey),
}

/// What to change; `None` leaves a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntegrationUpdate {
    /// Switch it off, or on.
    pub paused: Option<bool>,
    /// Whether required configuration is missing.
    pub needs_config: Option<bool>,
    /// Whether a run is in progress.
    pub processing: Option<bool>,
    /// The credentials that it needs.
    pub credentials: Option<Vec<CredentialId>>,
    /// The tenant's own notes.
    pub labels: Option<BTreeMap<String, String>>,
    /// Only if it is still of this version.
    pub version: Option<u64>,
}

/// A new integration. Nothing is told of it: it has no status before.
pub fn create_integration(
    snapshot: &Snapshot,
    key: &IntegrationKey,
    new: &IntegrationUpdate,
) -> Result<(ChangeSet, Integration), CreateIntegrationError> {
    if snapshot.integrations.iter().any(|known| known.key == *key) {
        return Err(CreateIntegrationError::Exists(key.clone()));
    }
    let wanted = new.credentials.as_deref().unwrap_or_default();
    let needs = standing(snapshot, &key.tenant, wanted, &[])
        .map_err(CreateIntegrationError::CredentialNotFound)?;
    let facts = Facts {
        paused: new.paused.unwrap_or_default(),
        needs_config: new.needs_config.unwrap_or_default(),
        processing: new.processing.unwrap_or_default(),
        needs,
    };
    let integration = Integration {
        key: key.clone(),
        status: facts.status(),
        cause: facts.cause(),
        facts,
        labels: new.labels.clone().unwrap_or_default(),
        status_changed_at: snapshot.now,
        version: 1,
    };
    let change = ChangeSet {
        revision: snapshot.revision,
        writes: vec![Write::InsertIntegration(integration.clone())],
        events: Vec::new(),
    };
    Ok((change, integration))
}

/// An integration is changed by its owner; its status follows.
pub fn update_integration(
    snapshot: &Snapshot,
    key: &IntegrationKey,
    update: &IntegrationUpdate,
) -> Result<(ChangeSet, Integration), UpdateIntegrationError> {
    let known = snapshot
        .integrations
        .iter()
        .find(|known| known.key == *key)
        .ok_or_else(|| UpdateIntegrationError::NotFound(key.clone()))?;
    if update
        .version
        .is_some_and(|version| version != known.version)
    {
        return Err(UpdateIntegrationError::EtagMismatch(key.clone()));
    }
    let mut next = known.clone();
    if let Some(wanted) = &update.credentials {
        next.facts.needs = standing(snapshot, &key.tenant, wanted, &known.facts.needs)
            .map_err(UpdateIntegrationError::CredentialNotFound)?;
    }
    next.facts.paused = update.paused.unwrap_or(known.facts.paused);
    next.facts.needs_config = update.needs_config.unwrap_or(known.facts.needs_config);
    next.facts.processing = update.processing.unwrap_or(known.facts.processing);
    if let Some(labels) = &update.labels {
        next.labels.clone_from(labels);
    }

    let (mut writes, mut events) = (Vec::new(), Vec::new());
    let next = settle(snapshot, known, next, "its owner changed it", &mut events);
    writes.push(Write::UpdateIntegration(next.clone()));
    let change = ChangeSet {
        revision: snapshot.revision,
        writes,
        events,
    };
    Ok((change, next))
}

/// An integration is forgotten. `None` if there is none.
pub fn delete_integration(snapshot: &Snapshot, key: &IntegrationKey) -> Option<ChangeSet> {
    snapshot
        .integrations
        .iter()
        .any(|known| known.key == *key)
        .then(|| ChangeSet {
            revision: snapshot.revision,
            writes: vec![Write::DeleteIntegration(key.clone())],
            events: Vec::new(),
        })
}

/// Derives every integration in the snapshot anew. `news` says of a credential how it stands from now on, or
/// `None` if nothing about it changes.
pub(super) fn restatus(
    snapshot: &Snapshot,
    news: impl Fn(&CredentialKey) -> Option<Option<Fault>>,
    writes: &mut Vec<Write>,
    events: &mut Vec<EventBody>,
) {
    restatus_with(snapshot, news, |_, _| {}, writes, events);
}

/// Like [`restatus`], with a further change of each integration's facts.
pub(super) fn restatus_with(
    snapshot: &Snapshot,
    news: impl Fn(&CredentialKey) -> Option<Option<Fault>>,
    adjust: impl Fn(&IntegrationKey, &mut Facts),
    writes: &mut Vec<Write>,
    events: &mut Vec<EventBody>,
) {
    for known in &snapshot.integrations {
        let mut next = known.clone();
        for need in &mut next.facts.needs {
            let key = CredentialKey {
                tenant: known.key.tenant.clone(),
                id: need.credential.clone(),
            };
            if let Some(fault) = news(&key) {
                need.fault = fault;
            }
        }
        adjust(&known.key, &mut next.facts);
        let next = settle(snapshot, known, next, "its credentials work", events);
        if next.status != known.status
            || next.cause != known.cause
            || next.facts.paused != known.facts.paused
        {
            writes.push(Write::UpdateIntegration(next));
        }
    }
}

/// Derives status and cause of `next`, and tells a status that differs from the one last told.
fn settle(
    snapshot: &Snapshot,
    known: &Integration,
    mut next: Integration,
    otherwise: &str,
    events: &mut Vec<EventBody>,
) -> Integration {
    next.status = next.facts.status();
    next.cause = next.facts.cause();
    next.version = known.version + 1;
    if next.status != known.status {
        next.status_changed_at = snapshot.now;
        let cause = if next.cause.is_empty() {
            otherwise.to_owned()
        } else {
            next.cause.clone()
        };
        events.push(EventBody::IntegrationStatusChanged(
            IntegrationStatusChanged {
                integration: next.key.clone(),
                from: known.status,
                to: next.status,
                cause,
            },
        ));
    }
    next
}

/// How the wanted credentials stand, by id and each once. One that is needed already may have been deleted since.
fn standing(
    snapshot: &Snapshot,
    tenant: &TenantId,
    wanted: &[CredentialId],
    already: &[Need],
) -> Result<Vec<Need>, CredentialKey> {
    let mut needs = BTreeMap::new();
    for id in wanted {
        let key = CredentialKey {
            tenant: tenant.clone(),
            id: id.clone(),
        };
        let fault = match snapshot.credentials.iter().find(|known| known.key == key) {
            Some(credential) => find(snapshot, &credential.grant)
                .and_then(|grant| grant.state.invalidation())
                .map(|dead| Fault::invalidated(dead.reason, &dead.provider_error)),
            None if already.iter().any(|need| need.credential == *id) => Some(Fault::Deleted),
            None => return Err(key),
        };
        let need = Need {
            credential: id.clone(),
            fault,
        };
        needs.insert(id.clone(), need);
    }
    Ok(needs.into_values().collect())
}

#[cfg(test)]
mod tests;
