//! A grant dies, or turns out to live.

use super::derived::forget_derived;
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
/// that need one of them follow. What was derived from it is deleted. If it was dead already and somebody reports it now,
/// that is noted, and told to nobody.
///
/// `None` if the grant is gone, already dead as far as that goes, no longer of `generation`, or was claimed again since
/// the attempt of `epoch` (invariant R6).
pub fn invalidate(
    snapshot: &Snapshot,
    id: &GrantId,
    generation: Generation,
    epoch: Option<Epoch>,
    invalidation: Invalidation,
) -> Option<ChangeSet> {
    let grant = find(snapshot, id)?;
    if grant.generation != generation {
        return None;
    }
    if is_dead(grant) {
        let is_news = invalidation.reported && !grant.state.is_reported_dead();
        return is_news.then(|| ChangeSet {
            revision: snapshot.revision,
            writes: vec![report_death(grant)],
            events: Vec::new(),
        });
    }
    let latest = grant.lease.as_ref().map(|lease| lease.epoch);
    if epoch.is_some() && epoch != latest {
        return None;
    }
    let mut change = invalidate_all(snapshot, &[grant], epoch, &invalidation);
    forget_derived(snapshot, id, &mut change.writes);
    Some(change)
}

pub(super) fn is_dead(grant: &GrantFacts) -> bool {
    grant.state.invalidation().is_some()
}

/// That a dead grant, which nobody reported dead so far, is.
pub(super) fn report_death(dead: &GrantFacts) -> Write {
    Write::ReportDeath {
        grant: dead.id.clone(),
        generation: dead.generation,
    }
}

/// All of `grants`, which are active, are found dead of the same. What was derived from them is left to the caller.
pub(super) fn invalidate_all(
    snapshot: &Snapshot,
    grants: &[&GrantFacts],
    epoch: Option<Epoch>,
    invalidation: &Invalidation,
) -> ChangeSet {
    let fault = Fault::invalidated(invalidation.reason, &invalidation.provider_error);
    let (mut writes, mut events) = (Vec::new(), Vec::new());
    for grant in grants {
        let users = users(snapshot, &grant.id);
        events.extend(users.map(|credential| died(snapshot, grant, credential, invalidation)));
        writes.push(Write::InvalidateGrant {
            grant: grant.id.clone(),
            generation: grant.generation,
            epoch,
            invalidation: invalidation.clone(),
        });
    }
    restatus(
        snapshot,
        |credential| {
            let mut grants = grants.iter();
            let dead = grants.any(|grant| uses(snapshot, credential, &grant.id));
            dead.then(|| Some(fault.clone()))
        },
        &mut writes,
        &mut events,
    );
    ChangeSet {
        revision: snapshot.revision,
        writes,
        events,
    }
}

fn died(
    snapshot: &Snapshot,
    grant: &GrantFacts,
    credential: &Credential,
    invalidation: &Invalidation,
) -> EventBody {
    EventBody::CredentialInvalidated(CredentialInvalidated {
        credential: credential.key.clone(),
        provider: grant.client.provider.clone(),
        generation: grant.generation,
        reason: invalidation.reason,
        provider_error: invalidation.provider_error.clone(),
        message: invalidation.message.clone(),
        integrations: dependants(snapshot, credential),
        at: invalidation.at,
        labels: credential.labels.clone(),
    })
}

/// A token set was obtained for a grant that had been taken for dead (invariant R7): it is stored, and the
/// credentials are restored.
///
/// `None` if the grant is gone, no longer of generation `base`, or reported dead.
pub fn heal(
    snapshot: &Snapshot,
    id: &GrantId,
    base: Generation,
    tokens: TokenSet,
    issued_at: Timestamp,
    dates: Dates,
) -> Option<ChangeSet> {
    let grant = find(snapshot, id)?;
    if grant.generation != base || grant.state.is_reported_dead() {
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
        idle: false,
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
