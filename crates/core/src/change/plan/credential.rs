//! Credentials come and go.

use std::collections::BTreeMap;

use thiserror::Error;

use super::derived::{derived_alive, forget_derived};
use super::grant::{dependants, find, tell_restored, users, uses};
use super::integration::restatus;
use super::share::{self, OtherAccount};
use crate::ageing::Life;
use crate::change::{ChangeSet, NewGrant, Snapshot, Write};
use crate::clock::Timestamp;
use crate::events::{CredentialDeleted, EventBody};
use crate::grant::{GrantFacts, GrantType, TokenSet};
use crate::ids::{ClientKey, CredentialKey, Generation, GrantId};
use crate::integration::Fault;
use crate::provider::Renewal;
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
    /// How the provider renews them.
    pub renewal: Renewal,
}

/// Why a credential cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CreateError {
    /// There is one of that name.
    #[error("credential {0} exists already")]
    Exists(CredentialKey),
    /// The refresh token is that of a credential of another account.
    #[error("the refresh token is that of credential {0}, which belongs to another account")]
    AccountMismatch(CredentialKey),
}

/// Why a credential gets no new labels.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpdateLabelsError {
    /// There is none of that name.
    #[error("credential {0} does not exist")]
    NotFound(CredentialKey),
    /// It was changed since the caller read it.
    #[error("credential {0} was changed since it was read")]
    EtagMismatch(CredentialKey),
}

/// A new credential. If another grant of the tenant and client holds the refresh token already, it joins that grant,
/// which keeps its tokens if it works. If one is of the account and loses nothing by it, or is dead and holds the
/// refresh token, the new tokens become its next generation, and whatever waited for it is healed. Otherwise the
/// credential gets a grant of its own.
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
    let shared = share::for_new(snapshot, new)
        .map_err(|OtherAccount(of)| CreateError::AccountMismatch(of))?;
    let grant = match shared {
        Some(grant) if share::keeps_tokens(snapshot, grant) => {
            writes.push(keep(grant, new.account.clone()));
            grant.id.clone()
        }
        Some(grant) => {
            let next = grant.generation.next();
            let consent = (&new.tokens, new.issued_at, &new.renewal);
            writes.push(store(snapshot, grant, next, consent, new.account.clone()));
            forget_derived(snapshot, &grant.id, &mut writes);
            tell_restored(snapshot, grant, next, &mut events);
            grant.id.clone()
        }
        None => {
            let id = GrantId::random();
            writes.push(Write::InsertGrant(Box::new(NewGrant {
                dates: Life::begun(&id, new.grant_type, &new.tokens, new.issued_at)
                    .dates(&new.renewal),
                id: id.clone(),
                tenant: new.key.tenant.clone(),
                client: new.client.clone(),
                account: new.account.clone(),
                grant_type: new.grant_type,
                parent: None,
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

/// A credential is forgotten, and its grant when no other uses it. `None` if there is none of that name.
pub fn delete_credential(snapshot: &Snapshot, key: &CredentialKey) -> Option<ChangeSet> {
    let credential = named(snapshot, key)?;
    let grant = find(snapshot, &credential.grant)?;
    let mut writes = vec![Write::DeleteCredential(key.clone())];
    if users(snapshot, &grant.id).count() == 1 {
        writes.push(Write::DeleteGrant(grant.id.clone()));
        forget_derived(snapshot, &grant.id, &mut writes);
    } else {
        writes.push(Write::TouchGrant(grant.id.clone()));
    }
    let mut events = vec![EventBody::CredentialDeleted(CredentialDeleted {
        credential: key.clone(),
        provider: grant.client.provider.clone(),
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

/// A credential is forgotten and its grant stays; with it come those that use the grant on, by id. `None` if there is none
/// of that name, or no other uses the grant.
pub fn leave_shared_grant(
    snapshot: &Snapshot,
    key: &CredentialKey,
) -> Option<(ChangeSet, Vec<CredentialKey>)> {
    let grant = &named(snapshot, key)?.grant;
    let mut others: Vec<_> = users(snapshot, grant)
        .map(|user| user.key.clone())
        .filter(|user| user != key)
        .collect();
    others.sort();
    match others.is_empty() {
        true => None,
        false => Some((delete_credential(snapshot, key)?, others)),
    }
}

/// A credential is forgotten together with `grant`, which is revoked at the provider. `None` if it is gone, does not use
/// that grant alone or in that generation any more, or, unless `lives_on`, if tokens of other scopes were minted with its
/// means since: what was revoked is not what would be forgotten.
pub fn delete_revoked(
    snapshot: &Snapshot,
    key: &CredentialKey,
    grant: &GrantId,
    generation: Generation,
    lives_on: bool,
) -> Option<ChangeSet> {
    let credential = named(snapshot, key)?;
    if !lives_on && !derived_alive(snapshot, grant).is_empty() {
        return None;
    }
    let is_the_one = credential.grant == *grant && find(snapshot, grant)?.generation == generation;
    let is_shared = users(snapshot, grant).count() > 1;
    (is_the_one && !is_shared)
        .then(|| delete_credential(snapshot, key))
        .flatten()
}

fn named<'a>(snapshot: &'a Snapshot, key: &CredentialKey) -> Option<&'a Credential> {
    snapshot.credentials.iter().find(|known| known.key == *key)
}

/// New labels for a credential, only if it is still of `version` where one is given. It never touches the
/// grant, so it cannot lose a rotated token.
pub fn update_labels(
    snapshot: &Snapshot,
    key: &CredentialKey,
    labels: BTreeMap<String, String>,
    version: Option<u64>,
) -> Result<ChangeSet, UpdateLabelsError> {
    let credential = snapshot
        .credentials
        .iter()
        .find(|known| known.key == *key)
        .ok_or_else(|| UpdateLabelsError::NotFound(key.clone()))?;
    if version.is_some_and(|version| version != credential.version) {
        return Err(UpdateLabelsError::EtagMismatch(key.clone()));
    }
    Ok(ChangeSet {
        revision: snapshot.revision,
        writes: vec![Write::UpdateCredentialLabels {
            key: key.clone(),
            version: credential.version,
            labels,
        }],
        events: Vec::new(),
    })
}

/// A grant keeps the tokens that it has.
pub(super) fn keep(grant: &GrantFacts, account: Option<String>) -> Write {
    Write::KeepTokens {
        grant: grant.id.clone(),
        account,
    }
}

/// A grant keeps the tokens that it has, as a later generation.
pub(super) fn raise(
    grant: &GrantFacts,
    next: Generation,
    tokens: &TokenSet,
    account: Option<String>,
) -> Write {
    Write::StoreTokens {
        grant: grant.id.clone(),
        base: grant.generation,
        next,
        tokens: Box::new(tokens.clone()),
        issued_at: grant.issued_at,
        dates: grant.dates,
        consent: false,
        account,
        idle: true,
    }
}

/// The tokens of a finished consent become the next generation of a grant.
pub(super) fn store(
    snapshot: &Snapshot,
    grant: &GrantFacts,
    next: Generation,
    (tokens, issued_at, renewal): (&TokenSet, Timestamp, &Renewal),
    account: Option<String>,
) -> Write {
    Write::StoreTokens {
        dates: Life::begun(&grant.id, grant.grant_type, tokens, issued_at).dates(renewal),
        consent: true,
        grant: grant.id.clone(),
        base: grant.generation,
        next,
        tokens: Box::new(tokens.clone()),
        issued_at,
        account,
        idle: share::keeps_tokens(snapshot, grant),
    }
}

#[cfg(test)]
mod tests;
