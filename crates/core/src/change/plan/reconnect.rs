//! The user of a credential connects again, perhaps with another account.

use thiserror::Error;

use super::credential::{keep, raise, store};
use super::derived::forget_derived;
use super::grant::{find, restored, tell_restored, users, uses};
use super::integration::restatus_with;
use super::share::{self, Destination, OtherAccount};
use crate::ageing::Life;
use crate::change::{ChangeSet, NewGrant, Snapshot, Write};
use crate::clock::Timestamp;
use crate::events::EventBody;
use crate::grant::{GrantFacts, TokenSet};
use crate::ids::{CredentialKey, Generation, GrantId, IntegrationKey};
use crate::integration::{Facts, Integration};
use crate::provider::Renewal;
use crate::store::Credential;

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
    /// How the provider renews them.
    pub renewal: Renewal,
}

/// Why a credential cannot be reconnected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReconnectError {
    /// There is none of that name.
    #[error("credential {0} does not exist")]
    NotFound(CredentialKey),
    /// Another account was connected, and that is not allowed; or the refresh token is that of a credential of another
    /// account.
    #[error("credential {credential} belongs to another account than the one connected now")]
    AccountMismatch {
        /// The credential.
        credential: CredentialKey,
    },
    /// The refresh token is that of this credential, whose grant may be spending it and is of no later generation than
    /// the one that would be left. It passes.
    #[error("the refresh token is that of credential {0}, which is being refreshed; try again")]
    HolderBusy(CredentialKey),
}

/// A new generation for the credential's grant: the invalid state and every cool-down end, what waits for it is
/// healed, and an attempt of the old generation that is still in flight can no longer write. What was derived from the
/// grant is deleted, since it may have other means now.
///
/// Answers the change and the integrations whose status it changes. The credential leaves a grant that others use where
/// they would lose something, or are of another account. It joins one of the account that loses nothing, or gets its own.
///
/// Where a grant that works holds the refresh token already, its tokens stay and so does its generation, since its
/// successor may be on its way and its access token may be the newer one. Only a grant that is this credential's alone
/// gets these, and only one that is not above the generation of the grant that is left becomes a later one: both only while
/// nobody refreshes it.
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
    let account_changes = match (&current.account, &ask.account) {
        (Some(before), Some(now)) => before != now,
        _ => false,
    };
    if account_changes && !ask.allow_account_change {
        return Err(ReconnectError::AccountMismatch {
            credential: ask.key.clone(),
        });
    }

    let destination = share::for_known(snapshot, ask, credential, current);
    let destination = destination
        .map_err(|OtherAccount(credential)| ReconnectError::AccountMismatch { credential })?;
    let consent = (&ask.tokens, ask.issued_at, &ask.renewal);

    let (mut writes, mut events) = (Vec::new(), Vec::new());
    let works = match destination {
        Destination::Keeps(holder) => {
            writes.push(keep(holder, ask.account.clone()));
            if holder.id != current.id {
                leave(snapshot, credential, &holder.id, &mut writes);
                let generation = holder.generation;
                tell_left(snapshot, credential, current, generation, &mut events);
            }
            holder.id.clone()
        }
        Destination::Raises(holder, tokens) => {
            let next = above(current, holder);
            writes.push(raise(holder, next, tokens, ask.account.clone()));
            leave(snapshot, credential, &holder.id, &mut writes);
            tell_left(snapshot, credential, current, next, &mut events);
            holder.id.clone()
        }
        Destination::Busy(holder) => return Err(ReconnectError::HolderBusy(holder)),
        Destination::Stays => {
            let next = current.generation.next();
            writes.push(store(snapshot, current, next, consent, ask.account.clone()));
            forget_derived(snapshot, &current.id, &mut writes);
            tell_restored(snapshot, current, next, &mut events);
            current.id.clone()
        }
        Destination::Joins(target) => {
            let next = above(current, target);
            writes.push(store(snapshot, target, next, consent, ask.account.clone()));
            forget_derived(snapshot, &target.id, &mut writes);
            tell_restored(snapshot, target, next, &mut events);
            leave(snapshot, credential, &target.id, &mut writes);
            tell_left(snapshot, credential, current, next, &mut events);
            target.id.clone()
        }
        Destination::Own => {
            let new = own_grant(ask, current);
            let (id, next) = (new.id.clone(), new.generation);
            writes.push(Write::InsertGrant(Box::new(new)));
            leave(snapshot, credential, &id, &mut writes);
            tell_left(snapshot, credential, current, next, &mut events);
            id
        }
    };
    restatus_with(
        snapshot,
        |credential| (*credential == ask.key || uses(snapshot, credential, &works)).then_some(None),
        |integration, facts| {
            facts.paused &= !(ask.resume_paused && needs(integration, facts, &ask.key));
        },
        &mut writes,
        &mut events,
    );

    let changed = changed_status(snapshot, &writes);
    let change = ChangeSet {
        revision: snapshot.revision,
        writes,
        events,
    };
    Ok((change, changed))
}

/// A grant of its own for a credential that leaves a shared one.
fn own_grant(ask: &Reconnect, left: &GrantFacts) -> NewGrant {
    let id = GrantId::random();
    NewGrant {
        dates: Life::begun(&id, left.grant_type, &ask.tokens, ask.issued_at).dates(&ask.renewal),
        id,
        tenant: ask.key.tenant.clone(),
        client: left.client.clone(),
        account: ask.account.clone().or_else(|| left.account.clone()),
        grant_type: left.grant_type,
        parent: None,
        generation: left.generation.next(),
        tokens: ask.tokens.clone(),
        issued_at: ask.issued_at,
    }
}

/// Watchers compare generations per credential, so a credential that moves never goes back.
fn above(current: &GrantFacts, target: &GrantFacts) -> Generation {
    current.generation.max(target.generation).next()
}

/// The credential moves from its grant, which goes with its last credential, to another.
fn leave(snapshot: &Snapshot, credential: &Credential, to: &GrantId, writes: &mut Vec<Write>) {
    let from = credential.grant.clone();
    writes.push(Write::MoveCredential {
        key: credential.key.clone(),
        from: from.clone(),
        to: to.clone(),
    });
    if users(snapshot, &from).count() == 1 {
        forget_derived(snapshot, &from, writes);
        writes.push(Write::DeleteGrant(from));
    } else {
        writes.push(Write::TouchGrant(from));
    }
}

/// Tells that a credential works as `generation`, if the grant that it left is dead.
fn tell_left(
    snapshot: &Snapshot,
    credential: &Credential,
    left: &GrantFacts,
    generation: Generation,
    events: &mut Vec<EventBody>,
) {
    if left.state.invalidation().is_some() {
        events.push(restored(snapshot, credential, left, generation));
    }
}

fn needs(integration: &IntegrationKey, facts: &Facts, credential: &CredentialKey) -> bool {
    let mut needs = facts.needs.iter();
    integration.tenant == credential.tenant && needs.any(|need| need.credential == credential.id)
}

/// The integrations that `writes` leave in another status.
fn changed_status(snapshot: &Snapshot, writes: &[Write]) -> Vec<Integration> {
    let updated = writes.iter().filter_map(|write| match write {
        Write::UpdateIntegration(next) => Some(next),
        _ => None,
    });
    let is_changed = |next: &&Integration| {
        let mut known = snapshot.integrations.iter();
        known.any(|known| known.key == next.key && known.status != next.status)
    };
    updated.filter(is_changed).cloned().collect()
}

#[cfg(test)]
mod tests;
