//! Which grant the tokens of a consent go to: a consent takes nothing from another credential.
//!
//! They may replace those of a grant that others use only if nothing is lost by it. Otherwise they go to a grant of their
//! own, of the same account. Where several would do, it is the one with the most scopes, of those the oldest, of those
//! the first by id.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::credential::CreateCredential;
use super::grant::{find, users};
use super::reconnect::Reconnect;
use crate::change::{Holder, Snapshot};
use crate::grant::{GrantFacts, GrantType, TokenSet};
use crate::ids::{ClientKey, CredentialKey, TenantId};
use crate::store::Credential;

/// Where the tokens of a credential go that is there already.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination<'a> {
    /// To the grant that it uses.
    Stays,
    /// To another one that is there.
    Joins(&'a GrantFacts),
    /// To a new one.
    Own,
    /// Nowhere: this grant, its own or another, works and holds their refresh token, so its tokens stay.
    Keeps(&'a GrantFacts),
    /// Nowhere: this grant works and holds their refresh token, so its tokens stay, which are these. But it becomes a later
    /// generation than the one that is left.
    Raises(&'a GrantFacts, &'a TokenSet),
    /// Nowhere yet: the grant of this credential would be that one, but it is of no later generation than the one that
    /// is left, and its refresh token may be about to be spent.
    Busy(CredentialKey),
}

/// Their refresh token is that of this credential, which is of another account.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OtherAccount(pub(super) CredentialKey);

/// Whether these tokens leave those of `grant` alone: it works, and holds their refresh token. To store it again would
/// lose the successor that an attempt is bringing, and put a copy, perhaps an old one, in the place of its access token.
pub(super) fn keeps_tokens(snapshot: &Snapshot, grant: &GrantFacts) -> bool {
    grant.state.invalidation().is_none() && snapshot.holder(&grant.id).is_some()
}

/// The grant that a new credential shares. `None`: it gets one of its own.
pub(super) fn for_new<'a>(
    snapshot: &'a Snapshot,
    new: &CreateCredential,
) -> Result<Option<&'a GrantFacts>, OtherAccount> {
    let brought = Brought {
        tenant: &new.key.tenant,
        client: &new.client,
        grant_type: new.grant_type,
        account: new.account.as_deref(),
        tokens: &new.tokens,
        single_active_token: new.renewal.single_active_token,
    };
    if let Some(holder) = brought.holder(snapshot)? {
        return Ok(Some(holder));
    }
    Ok(first(brought.harmless(snapshot)))
}

/// Where the tokens of `credential` go, which uses `current`. Another account has been allowed by now.
pub(super) fn for_known<'a>(
    snapshot: &'a Snapshot,
    ask: &Reconnect,
    credential: &Credential,
    current: &'a GrantFacts,
) -> Result<Destination<'a>, OtherAccount> {
    let account = ask.account.as_deref().or(current.account.as_deref());
    let brought = Brought {
        tenant: &ask.key.tenant,
        client: &current.client,
        grant_type: current.grant_type,
        account,
        tokens: &ask.tokens,
        single_active_token: ask.renewal.single_active_token,
    };
    let is_alone = users(snapshot, &current.id).all(|user| user.key == credential.key);
    if snapshot.holder(&current.id).is_some() {
        let is_replaced = !keeps_tokens(snapshot, current) || is_alone && is_idle(current);
        return Ok(if is_replaced {
            Destination::Stays
        } else {
            Destination::Keeps(current)
        });
    }
    if let Some(holder) = brought.holder(snapshot)? {
        return Ok(joined(snapshot, holder, current));
    }
    let is_home = ask.account.is_none() || account == current.account.as_deref();
    let stays = match (is_home, is_alone) {
        (true, true) => true,
        // Without the name of an account nobody knows whether the others are of the one that is connected now.
        (true, false) => account.is_some() && brought.may_replace(current),
        (false, _) => false,
    };
    if stays {
        return Ok(Destination::Stays);
    }
    let others = brought.harmless(snapshot);
    let others = others.filter(|grant| grant.id != current.id);
    Ok(match first(others) {
        Some(target) => Destination::Joins(target),
        None if is_alone => Destination::Stays,
        None => Destination::Own,
    })
}

/// How a credential joins `holder` of its refresh token, leaving `current`. Its generation may not go back, and a grant
/// gets another one only while nobody is about to replace its tokens.
fn joined<'a>(
    snapshot: &'a Snapshot,
    holder: &'a GrantFacts,
    current: &GrantFacts,
) -> Destination<'a> {
    if !keeps_tokens(snapshot, holder) {
        return Destination::Joins(holder);
    }
    if holder.generation > current.generation {
        return Destination::Keeps(holder);
    }
    let read = snapshot.holder(&holder.id);
    let read = read.filter(|read| is_idle(holder) && read.generation == holder.generation);
    match (read, users(snapshot, &holder.id).next()) {
        (None, Some(user)) => Destination::Busy(user.key.clone()),
        (
            Some(Holder {
                tokens: Some(tokens),
                ..
            }),
            _,
        ) => Destination::Raises(holder, tokens),
        // Nobody can use what does not open, nor seal it again.
        _ => Destination::Joins(holder),
    }
}

/// Whether no attempt holds it, or may have spent its refresh token.
fn is_idle(grant: &GrantFacts) -> bool {
    grant.lease.is_none() && !grant.in_doubt
}

/// The tokens, and whose they are.
struct Brought<'a> {
    tenant: &'a TenantId,
    client: &'a ClientKey,
    grant_type: GrantType,
    account: Option<&'a str>,
    tokens: &'a TokenSet,
    single_active_token: bool,
}

impl Brought<'_> {
    /// The grant that holds the same refresh token: two would spend it twice, so nothing else counts.
    fn holder<'s>(&self, snapshot: &'s Snapshot) -> Result<Option<&'s GrantFacts>, OtherAccount> {
        let holders = snapshot.same_token.iter();
        let holders = holders.filter_map(|holder| find(snapshot, &holder.id));
        let (same, other): (Vec<_>, Vec<_>) = holders.partition(|grant| {
            let known = grant.account.as_deref().zip(self.account);
            known.is_none_or(|(theirs, ours)| theirs == ours)
        });
        if let Some(holder) = first(same.into_iter()) {
            return Ok(Some(holder));
        }
        let mut users = other.iter().flat_map(|grant| users(snapshot, &grant.id));
        match users.next() {
            Some(user) => Err(OtherAccount(user.key.clone())),
            None => Ok(None),
        }
    }

    /// The grants of the account whose tokens these may replace.
    fn harmless<'s>(&self, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s GrantFacts> {
        snapshot.grants.iter().filter(|grant| {
            grant.tenant == *self.tenant
                && grant.client == *self.client
                && grant.grant_type == self.grant_type
                && self.account.is_some()
                && grant.account.as_deref() == self.account
                && self.may_replace(grant)
        })
    }

    /// Whether those who use `grant` lose nothing: these tokens have each of its scopes, and can be renewed if its own
    /// can. Scopes that are not known can be compared only with others that are not. Where a new token ends the one
    /// before, there is nothing left to lose.
    fn may_replace(&self, grant: &GrantFacts) -> bool {
        let (new, old) = (distinct(&self.tokens.scopes), distinct(&grant.scopes));
        let has_all = new.is_superset(&old) && new.is_empty() == old.is_empty();
        let lasts = self.tokens.refresh_token.is_some() || !grant.refreshable;
        self.single_active_token || has_all && lasts
    }
}

fn first<'a>(grants: impl Iterator<Item = &'a GrantFacts>) -> Option<&'a GrantFacts> {
    grants.min_by_key(|grant| {
        let scopes = distinct(&grant.scopes).len();
        (Reverse(scopes), grant.created_at, &grant.id)
    })
}

fn distinct(scopes: &[String]) -> BTreeSet<&str> {
    scopes.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests;
