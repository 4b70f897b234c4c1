//! A grant dies, or turns out to live.

use super::integration::restatus;
use crate::ageing::Dates;
use crate::change::{ChangeSet, Snapshot, Write};
use crate::clock::Timestamp;
use crate::events::{CredentialInvalidated, CredentialRestored, EventBody};
use crate::grant::{GrantFacts, Invalidation, TokenSet};
use crate::ids::{CredentialKey, Epoch, Generation, GrantId, IntegrationId};
use crate::integration::Fault;
use crate::store::Credential;

/// A grant is found dead: one `CredentialInvalidated` for each credential that uses it, and the integrations
/// that need one of them follow.
///
/// `None` if the grant is gone, already invalidated, no longer of `generation`, or was claimed again since the
/// attempt of `epoch` (invariant R6).
pub fn invalidate(
    snapshot: &Snapshot,
    id: &GrantId,
    generation: Generation,
    epoch: Option<Epoch>,
    invalidation: Invalidation,
) -> Option<ChangeSet> {
    let grant = find(snapshot, id)?;
    if grant.generation != generation || grant.state.invalidation().is_some() {
        return None;
    }
    let latest = grant.lease.as_ref().map(|lease| lease.epoch);
    if epoch.is_some() && epoch != latest {
        return None;
    }
    let mut events: Vec<_> = users(snapshot, id)
        .map(|credential| {
            EventBody::CredentialInvalidated(CredentialInvalidated {
                credential: credential.key.clone(),
                provider: grant.client.provider.clone(),
                generation,
                reason: invalidation.reason,
                provider_error: invalidation.provider_error.clone(),
                message: invalidation.message.clone(),
                integrations: dependants(snapshot, credential),
                at: invalidation.at,
                labels: credential.labels.clone(),
            })
        })
        .collect();
    let fault = Fault::invalidated(invalidation.reason, &invalidation.provider_error);
    let mut writes = vec![Write::InvalidateGrant {
        grant: id.clone(),
        generation,
        epoch,
        invalidation,
    }];
    restatus(
        snapshot,
        |credential| uses(snapshot, credential, id).then(|| Some(fault.clone())),
        &mut writes,
        &mut events,
    );
    Some(ChangeSet {
        revision: snapshot.revision,
        writes,
        events,
    })
}

/// A token set was obtained for a grant that had been taken for dead (invariant R7): it is stored, and the
/// credentials are restored.
///
/// `None` if the grant is gone or no longer of generation `base`.
pub fn heal(
    snapshot: &Snapshot,
    id: &GrantId,
    base: Generation,
    tokens: TokenSet,
    issued_at: Timestamp,
    dates: Dates,
) -> Option<ChangeSet> {
    let grant = find(snapshot, id)?;
    if grant.generation != base {
        return None;
    }
    let mut writes = vec![Write::StoreTokens {
        grant: id.clone(),
        base,
        next: base.next(),
        tokens: Box::new(tokens),
        issued_at,
        dates,
        consent: false,
        account: None,
    }];
    let mut events = Vec::new();
    tell_restored(snapshot, grant, base.next(), &mut events);
    restatus(
        snapshot,
        |credential| uses(snapshot, credential, id).then_some(None),
        &mut writes,
        &mut events,
    );
    Some(ChangeSet {
        revision: snapshot.revision,
        writes,
        events,
    })
}

/// Tells each credential of `grant` that it works as `generation`, if it had been invalidated.
pub(super) fn tell_restored(
    snapshot: &Snapshot,
    grant: &GrantFacts,
    generation: Generation,
    events: &mut Vec<EventBody>,
) {
    if grant.state.invalidation().is_some() {
        let users = users(snapshot, &grant.id);
        events.extend(users.map(|credential| restored(snapshot, credential, grant, generation)));
    }
}

/// That a credential whose `grant` was dead works as `generation`.
pub(super) fn restored(
    snapshot: &Snapshot,
    credential: &Credential,
    grant: &GrantFacts,
    generation: Generation,
) -> EventBody {
    EventBody::CredentialRestored(CredentialRestored {
        credential: credential.key.clone(),
        provider: grant.client.provider.clone(),
        generation,
        integrations: dependants(snapshot, credential),
        at: snapshot.now,
        labels: credential.labels.clone(),
    })
}

pub(super) fn find<'a>(snapshot: &'a Snapshot, id: &GrantId) -> Option<&'a GrantFacts> {
    snapshot.grants.iter().find(|grant| grant.id == *id)
}

pub(super) fn users<'a>(
    snapshot: &'a Snapshot,
    id: &'a GrantId,
) -> impl Iterator<Item = &'a Credential> {
    snapshot
        .credentials
        .iter()
        .filter(move |credential| credential.grant == *id)
}

pub(super) fn uses(snapshot: &Snapshot, credential: &CredentialKey, id: &GrantId) -> bool {
    users(snapshot, id).any(|user| user.key == *credential)
}

pub(super) fn dependants(snapshot: &Snapshot, credential: &Credential) -> Vec<IntegrationId> {
    snapshot
        .integrations
        .iter()
        .filter(|integration| {
            integration.key.tenant == credential.key.tenant
                && integration
                    .facts
                    .needs
                    .iter()
                    .any(|need| need.credential == credential.key.id)
        })
        .map(|integration| integration.key.id.clone())
        .collect()
}

#[cfg(test)]
mod tests;
