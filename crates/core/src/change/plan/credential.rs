//! Credentials come, are reconnected, and go.

use std::collections::BTreeMap;

use thiserror::Error;

use super::grant::{dependants, find, restored, tell_restored, users, uses};
use super::integration::{restatus, restatus_with};
use crate::change::{ChangeSet, NewGrant, Snapshot, Write};
use crate::clock::Timestamp;
use crate::events::{CredentialDeleted, EventBody};
use crate::freshness::Validity;
use crate::grant::{Grant, GrantType, TokenSet};
use crate::ids::{ClientKey, CredentialKey, Generation, GrantId, IntegrationKey};
use crate::integration::{Facts, Fault, Integration};
use crate::store::Credential;

/// A credential to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateCredential {
    /// Its name.
    pub key: CredentialKey,
    /// The client that its grant was given to.
    pub client: ClientKey,
    /// How its tokens are obtained.
    pub grant_type: GrantType,
    /// The account at the provider, if known.
    pub account: Option<String>,
    /// The tenant's own notes.
    pub labels: BTreeMap<String, String>,
    /// The tokens of the finished consent.
    pub tokens: TokenSet,
    /// When they were brought.
    pub issued_at: Timestamp,
}

/// Why a credential cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CreateError {
    /// There is one of that name.
    #[error("credential {0} exists already")]
    Exists(CredentialKey),
}

/// A new credential. If the account has a grant already, the new tokens become that grant's next generation,
/// and whatever waited for it is healed.
pub fn create_credential(
    snapshot: &Snapshot,
    new: &CreateCredential,
) -> Result<ChangeSet, CreateError> {
    if snapshot
        .credentials
        .iter()
        .any(|known| known.key == new.key)
    {
        return Err(CreateError::Exists(new.key.clone()));
    }
    let (mut writes, mut events) = (Vec::new(), Vec::new());
    let shared = grant_of_account(snapshot, &new.key, &new.client, new.account.as_deref());
    let grant = match shared {
        Some(grant) => {
            let next = grant.facts.generation.next();
            writes.push(store(grant, next, &new.tokens, new.issued_at, None));
            tell_restored(snapshot, grant, next, &mut events);
            grant.facts.id.clone()
        }
        None => {
            let id = GrantId::random();
            writes.push(Write::InsertGrant(Box::new(NewGrant {
                due_at: due_at(&id, &new.tokens, new.issued_at),
                id: id.clone(),
                tenant: new.key.tenant.clone(),
                client: new.client.clone(),
                account: new.account.clone(),
                grant_type: new.grant_type,
                generation: Generation::FIRST,
                tokens: new.tokens.clone(),
                issued_at: new.issued_at,
            })));
            id
        }
    };
    // Integrations may still name a deleted credential of this name.
    restatus(
        snapshot,
        |credential| (*credential == new.key || uses(snapshot, credential, &grant)).then_some(None),
        &mut writes,
        &mut events,
    );
    writes.push(Write::InsertCredential(Credential {
        key: new.key.clone(),
        grant,
        labels: new.labels.clone(),
        created_at: snapshot.now,
        version: 1,
    }));
    Ok(ChangeSet {
        revision: snapshot.revision,
        writes,
        events,
    })
}

/// A credential whose user connected again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    /// The credential.
    pub key: CredentialKey,
    /// The account that was connected now, if known.
    pub account: Option<String>,
    /// Whether it may be another account than before.
    pub allow_account_change: bool,
    /// Whether integrations that their owner paused are resumed too.
    pub resume_paused: bool,
    /// The tokens of the finished consent.
    pub tokens: TokenSet,
    /// When they were brought.
    pub issued_at: Timestamp,
}

/// Why a credential cannot be reconnected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReconnectError {
    /// There is none of that name.
    #[error("credential {0} does not exist")]
    NotFound(CredentialKey),
    /// Another account was connected, and that is not allowed.
    #[error("credential {credential} belongs to another account than the one connected now")]
    AccountMismatch {
        /// The credential.
        credential: CredentialKey,
    },
}

/// A new generation for the credential's grant: the invalid state and every cool-down end, what waits for it is
/// healed, and an attempt of the old generation that is still in flight can no longer write.
///
/// Answers the change and the integrations whose status it changes. Where another account was connected, the
/// credential leaves a grant that others use, and joins the one that the account has already.
pub fn reconnect(
    snapshot: &Snapshot,
    ask: &Reconnect,
) -> Result<(ChangeSet, Vec<Integration>), ReconnectError> {
    let not_found = || ReconnectError::NotFound(ask.key.clone());
    let credential = snapshot
        .credentials
        .iter()
        .find(|known| known.key == ask.key)
        .ok_or_else(not_found)?;
    let current = find(snapshot, &credential.grant).ok_or_else(not_found)?;
    let account_changes = match (&current.facts.account, &ask.account) {
        (Some(before), Some(now)) => before != now,
        _ => false,
    };
    if account_changes && !ask.allow_account_change {
        return Err(ReconnectError::AccountMismatch {
            credential: ask.key.clone(),
        });
    }

    let (mut writes, mut events) = (Vec::new(), Vec::new());
    let account = ask.account.as_deref();
    let other = grant_of_account(snapshot, &ask.key, &current.facts.client, account)
        .filter(|grant| grant.facts.id != current.facts.id);
    let is_shared = users(snapshot, &current.facts.id).count() > 1;
    if let Some(target) = other {
        let next = above(current, target);
        writes.push(store(target, next, &ask.tokens, ask.issued_at, None));
        tell_restored(snapshot, target, next, &mut events);
        leave(
            snapshot,
            credential,
            current,
            &target.facts.id,
            next,
            &mut writes,
            &mut events,
        );
    } else if account_changes && is_shared {
        let new = own_grant(ask, current);
        let (id, generation) = (new.id.clone(), new.generation);
        writes.push(Write::InsertGrant(Box::new(new)));
        leave(
            snapshot,
            credential,
            current,
            &id,
            generation,
            &mut writes,
            &mut events,
        );
    } else {
        let next = current.facts.generation.next();
        let account = ask.account.clone();
        writes.push(store(current, next, &ask.tokens, ask.issued_at, account));
        tell_restored(snapshot, current, next, &mut events);
    }
    let works_now = other.unwrap_or(current);
    let moves_alone = other.is_none() && account_changes && is_shared;
    restatus_with(
        snapshot,
        |credential| {
            let uses = !moves_alone && uses(snapshot, credential, &works_now.facts.id);
            (*credential == ask.key || uses).then_some(None)
        },
        |integration, facts| {
            if ask.resume_paused && needs(integration, facts, &ask.key) {
                facts.paused = false;
            }
        },
        &mut writes,
        &mut events,
    );

    let changed = writes
        .iter()
        .filter_map(|write| match write {
            Write::UpdateIntegration(next) => {
                let before = snapshot
                    .integrations
                    .iter()
                    .find(|known| known.key == next.key)?;
                (before.status != next.status).then(|| next.clone())
            }
            _ => None,
        })
        .collect();
    let change = ChangeSet {
        revision: snapshot.revision,
        writes,
        events,
    };
    Ok((change, changed))
}

/// A grant of its own for a credential that leaves a shared one.
fn own_grant(ask: &Reconnect, left: &Grant) -> NewGrant {
    let id = GrantId::random();
    NewGrant {
        due_at: due_at(&id, &ask.tokens, ask.issued_at),
        id,
        tenant: ask.key.tenant.clone(),
        client: left.facts.client.clone(),
        account: ask.account.clone(),
        grant_type: left.facts.grant_type,
        generation: left.facts.generation.next(),
        tokens: ask.tokens.clone(),
        issued_at: ask.issued_at,
    }
}

/// Watchers compare generations per credential, so a credential that moves never goes back.
fn above(current: &Grant, target: &Grant) -> Generation {
    current.facts.generation.max(target.facts.generation).next()
}

/// The credential moves from `current` to a grant where it works as `generation`.
fn leave(
    snapshot: &Snapshot,
    credential: &Credential,
    current: &Grant,
    to: &GrantId,
    generation: Generation,
    writes: &mut Vec<Write>,
    events: &mut Vec<EventBody>,
) {
    let from = &current.facts.id;
    writes.push(Write::MoveCredential {
        key: credential.key.clone(),
        from: from.clone(),
        to: to.clone(),
    });
    if users(snapshot, from).count() == 1 {
        writes.push(Write::DeleteGrant(from.clone()));
    } else {
        writes.push(Write::TouchGrant(from.clone()));
    }
    if current.facts.state.invalidation().is_some() {
        events.push(restored(snapshot, credential, current, generation));
    }
}

fn needs(integration: &IntegrationKey, facts: &Facts, credential: &CredentialKey) -> bool {
    let mut needs = facts.needs.iter();
    integration.tenant == credential.tenant && needs.any(|need| need.credential == credential.id)
}

/// A credential is forgotten, and its grant when no other uses it. `None` if there is none of that name.
pub fn delete_credential(snapshot: &Snapshot, key: &CredentialKey) -> Option<ChangeSet> {
    let credential = snapshot
        .credentials
        .iter()
        .find(|known| known.key == *key)?;
    let grant = find(snapshot, &credential.grant)?;
    let mut writes = vec![Write::DeleteCredential(key.clone())];
    if users(snapshot, &grant.facts.id).count() == 1 {
        writes.push(Write::DeleteGrant(grant.facts.id.clone()));
    } else {
        writes.push(Write::TouchGrant(grant.facts.id.clone()));
    }
    let mut events = vec![EventBody::CredentialDeleted(CredentialDeleted {
        credential: key.clone(),
        provider: grant.facts.client.provider.clone(),
        integrations: dependants(snapshot, credential),
        labels: credential.labels.clone(),
    })];
    restatus(
        snapshot,
        |credential| (credential == key).then_some(Some(Fault::Deleted)),
        &mut writes,
        &mut events,
    );
    Some(ChangeSet {
        revision: snapshot.revision,
        writes,
        events,
    })
}

/// New labels for a credential. It never touches the grant, so it cannot lose a rotated token. `None` if there
/// is no such credential.
pub fn update_labels(
    snapshot: &Snapshot,
    key: &CredentialKey,
    labels: BTreeMap<String, String>,
) -> Option<ChangeSet> {
    let credential = snapshot
        .credentials
        .iter()
        .find(|known| known.key == *key)?;
    Some(ChangeSet {
        revision: snapshot.revision,
        writes: vec![Write::UpdateCredentialLabels {
            key: key.clone(),
            version: credential.version,
            labels,
        }],
        events: Vec::new(),
    })
}

fn grant_of_account<'a>(
    snapshot: &'a Snapshot,
    key: &CredentialKey,
    client: &ClientKey,
    account: Option<&str>,
) -> Option<&'a Grant> {
    let account = account?;
    snapshot.grants.iter().find(|grant| {
        grant.facts.tenant == key.tenant
            && grant.facts.client == *client
            && grant.facts.account.as_deref() == Some(account)
    })
}

fn store(
    grant: &Grant,
    next: Generation,
    tokens: &TokenSet,
    issued_at: Timestamp,
    account: Option<String>,
) -> Write {
    Write::StoreTokens {
        due_at: due_at(&grant.facts.id, tokens, issued_at),
        grant: grant.facts.id.clone(),
        base: grant.facts.generation,
        next,
        tokens: Box::new(tokens.clone()),
        issued_at,
        account,
    }
}

fn due_at(id: &GrantId, tokens: &TokenSet, issued_at: Timestamp) -> Option<Timestamp> {
    Validity::new(id, issued_at, tokens.expires_at).due_at(tokens)
}

#[cfg(test)]
mod tests;
