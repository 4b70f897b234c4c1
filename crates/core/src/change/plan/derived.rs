//! Grants that mint with the means of another, each for its own set of scopes.

use std::time::Duration;

use thiserror::Error;

use super::grant::find;
use crate::ageing::Dates;
use crate::change::{ChangeSet, NewGrant, Snapshot, Write};
use crate::clock::Timestamp;
use crate::grant::{GrantFacts, Means, TokenSet};
use crate::ids::{Generation, GrantId};

/// How many grants may be derived from one.
pub const MAX_DERIVED: usize = 64;
/// A token without a known end counts as unused this long after it was minted.
const UNUSED_AFTER: Duration = Duration::from_secs(86_400);

/// A grant to derive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derive {
    /// The grant that has the means.
    pub parent: GrantId,
    /// The version of the parent that `means` were read at.
    pub version: u64,
    /// The parent's means, with the scopes to ask for.
    pub means: Means,
}

/// Why a grant cannot be derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeriveError {
    /// The parent is gone or dead, or may have other means than those that were read.
    #[error("the grant has moved on")]
    Moved,
    /// There are [`MAX_DERIVED`], and all of them are in use.
    #[error("tokens of {MAX_DERIVED} other sets of scopes are in use already")]
    TooMany,
}

/// A grant that mints with the means of its parent. `None` if there is one for these scopes.
///
/// Where there are as many as there may be, the one that was minted longest ago makes room, if its token has ended: a
/// derived grant is renewed only when somebody asks for it, so nobody has for as long as its token lived.
///
/// Its first generation is the time in seconds, so that scopes whose grant made room once have a newer generation when
/// they come back.
pub fn derive(snapshot: &Snapshot, new: &Derive) -> Result<Option<ChangeSet>, DeriveError> {
    let parent = find(snapshot, &new.parent).ok_or(DeriveError::Moved)?;
    if parent.state.invalidation().is_some() || parent.version != new.version {
        return Err(DeriveError::Moved);
    }
    let derived: Vec<_> = derived_from(snapshot, &parent.id).collect();
    let mut known = derived.iter();
    if known.any(|grant| grant.requested_scopes == new.means.scopes) {
        return Ok(None);
    }
    let mut writes = Vec::new();
    if derived.len() >= MAX_DERIVED {
        let unused = derived
            .into_iter()
            .filter(|grant| is_unused(grant, snapshot.now))
            .min_by_key(|grant| grant.issued_at);
        let unused = unused.ok_or(DeriveError::TooMany)?;
        writes.push(Write::DeleteGrant(unused.id.clone()));
    }
    writes.push(Write::InsertGrant(Box::new(NewGrant {
        id: GrantId::random(),
        tenant: parent.tenant.clone(),
        client: parent.client.clone(),
        account: None,
        grant_type: parent.grant_type,
        parent: Some(parent.id.clone()),
        generation: seconds(snapshot.now),
        tokens: TokenSet::to_mint(new.means.clone()),
        issued_at: snapshot.now,
        dates: Dates::default(),
    })));
    Ok(Some(ChangeSet {
        revision: snapshot.revision,
        writes,
        events: Vec::new(),
    }))
}

/// Those that are derived from `parent` and whose token may still be used, or is being minted.
pub fn derived_alive(snapshot: &Snapshot, parent: &GrantId) -> Vec<GrantId> {
    let derived = derived_from(snapshot, parent);
    let alive = derived.filter(|grant| is_alive(grant, snapshot.now));
    alive.map(|grant| grant.id.clone()).collect()
}

/// A derived grant whose token of that generation was revoked is forgotten. Its parent is told of as changed, since who
/// remembers the one remembers what was derived from it. `None` if it is gone or moved on.
pub fn forget_revoked(
    snapshot: &Snapshot,
    id: &GrantId,
    generation: Generation,
) -> Option<ChangeSet> {
    let grant = find(snapshot, id).filter(|grant| grant.generation == generation)?;
    let touched = grant.parent.clone().map(Write::TouchGrant);
    let forgotten = Write::DeleteGrant(id.clone());
    Some(ChangeSet {
        revision: snapshot.revision,
        writes: touched.into_iter().chain([forgotten]).collect(),
        events: Vec::new(),
    })
}

/// What was derived from `parent` goes with its means.
pub(super) fn forget_derived(snapshot: &Snapshot, parent: &GrantId, writes: &mut Vec<Write>) {
    let derived = derived_from(snapshot, parent);
    writes.extend(derived.map(|grant| Write::DeleteGrant(grant.id.clone())));
}

pub(super) fn derived_from<'a>(
    snapshot: &'a Snapshot,
    parent: &'a GrantId,
) -> impl Iterator<Item = &'a GrantFacts> {
    let grants = snapshot.grants.iter();
    grants.filter(move |grant| grant.parent.as_ref() == Some(parent))
}

fn is_alive(grant: &GrantFacts, now: Timestamp) -> bool {
    is_leased(grant) || grant.has_token() && grant.expires_at.is_none_or(|end| end > now)
}

fn is_leased(grant: &GrantFacts) -> bool {
    let lease = grant.lease.as_ref();
    lease.is_some_and(|lease| !lease.left.is_zero())
}

fn is_unused(grant: &GrantFacts, now: Timestamp) -> bool {
    if is_leased(grant) {
        return false;
    }
    let end = grant.expires_at;
    end.unwrap_or_else(|| grant.issued_at.plus(UNUSED_AFTER)) <= now
}

fn seconds(now: Timestamp) -> Generation {
    Generation(
        u64::try_from(now.as_millis() / 1_000)
            .unwrap_or_default()
            .max(1),
    )
}

#[cfg(test)]
mod tests;
