//! A grant dies, or turns out to live.

use super::integration::restatus;
use crate::change::{ChangeSet, Snapshot, Write};
use crate::clock::Timestamp;
use crate::events::{CredentialInvalidated, CredentialRestored, EventBody};
use crate::grant::{Grant, Invalidation, TokenSet};
use crate::ids::{Epoch, Generation, GrantId, IntegrationId};
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
    if grant.facts.generation != generation || grant.facts.state.invalidation().is_some() {
        return None;
    }
    let latest = grant.facts.lease.as_ref().map(|lease| lease.epoch);
    if epoch.is_some() && epoch != latest {
        return None;
    }
    let mut events: Vec<_> = users(snapshot, id)
        .map(|credential| {
            EventBody::CredentialInvalidated(CredentialInvalidated {
                credential: credential.key.clone(),
                provider: grant.facts.client.provider.clone(),
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
    let fault = Fault::Invalidated(fault_text(&invalidation));
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
    due_at: Option<Timestamp>,
) -> Option<ChangeSet> {
    let grant = find(snapshot, id)?;
    if grant.facts.generation != base {
        return None;
    }
    let mut writes = vec![Write::StoreTokens {
        grant: id.clone(),
        base,
        next: base.next(),
        tokens: Box::new(tokens),
        issued_at,
        due_at,
        account: None,
    }];
    let mut events = Vec::new();
    restore(snapshot, grant, base.next(), &mut writes, &mut events);
    Some(ChangeSet {
        revision: snapshot.revision,
        writes,
        events,
    })
}

/// Tells that `grant` works as `generation`, if it had been invalidated, and heals what waits for it.
pub(super) fn restore(
    snapshot: &Snapshot,
    grant: &Grant,
    generation: Generation,
    writes: &mut Vec<Write>,
    events: &mut Vec<EventBody>,
) {
    if grant.facts.state.invalidation().is_none() {
        return;
    }
    let id = &grant.facts.id;
    for credential in users(snapshot, id) {
        events.push(EventBody::CredentialRestored(CredentialRestored {
            credential: credential.key.clone(),
            provider: grant.facts.client.provider.clone(),
            generation,
            integrations: dependants(snapshot, credential),
            at: snapshot.now,
            labels: credential.labels.clone(),
        }));
    }
    restatus(
        snapshot,
        |credential| uses(snapshot, credential, id).then_some(None),
        writes,
        events,
    );
}

/// What an integration shows as the cause: the provider's code, or else the reason in words.
pub fn fault_text(invalidation: &Invalidation) -> String {
    use crate::grant::InvalidationReason as Reason;
    if !invalidation.provider_error.is_empty() {
        return invalidation.provider_error.clone();
    }
    match invalidation.reason {
        Reason::GrantRevoked => "the grant was revoked",
        Reason::NotRefreshable => "it expired and cannot be renewed",
        Reason::RefreshTokenExpired => "its refresh token expired",
        Reason::AccessDenied => "access was denied",
        Reason::RotationLost => "its rotated refresh token was lost",
        Reason::Reported => return format!("reported: {}", invalidation.message),
    }
    .to_owned()
}

pub(super) fn find<'a>(snapshot: &'a Snapshot, id: &GrantId) -> Option<&'a Grant> {
    snapshot.grants.iter().find(|grant| grant.facts.id == *id)
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

fn uses(snapshot: &Snapshot, credential: &crate::ids::CredentialKey, id: &GrantId) -> bool {
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
