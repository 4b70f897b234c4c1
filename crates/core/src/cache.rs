//! Tokens in memory, bounded and coherent by version.
//!
//! One entry per grant, shared by all its credentials. An entry is immutable: a newer version replaces it, and a
//! version that was learnt from elsewhere removes it and keeps older ones from coming back.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use quick_cache::sync::Cache;

use crate::clock::Timestamp;
use crate::freshness::Validity;
use crate::grant::Grant;
use crate::ids::{Generation, GrantId};
use crate::provider::Profile;

/// A grant with a token to hand out.
#[derive(Debug)]
pub struct LiveGrant {
    /// The grant as stored.
    pub grant: Grant,
    /// What is known of its provider.
    pub profile: Profile,
    /// The dates of its token.
    pub validity: Validity,
    /// Whether a provider call of this process, made because a caller reported a refused token, brought it.
    /// If it is refused too, another refresh would not help.
    pub made_for_refusal: bool,
    /// The earliest version of the grant since which the same credentials have used it, as far as is known.
    pub(crate) bound_since: u64,
    sha256: OnceLock<[u8; 32]>,
    rendered: OnceLock<Bytes>,
}

impl LiveGrant {
    /// A grant to be remembered.
    pub fn new(grant: Grant, mut profile: Profile, made_for_refusal: bool) -> Self {
        let facts = &grant.facts;
        profile.renewal = profile.renewal.of(facts.grant_type);
        Self {
            validity: Validity::of(
                &facts.id,
                facts.issued_at,
                facts.expires_at,
                &profile.renewal,
            ),
            bound_since: facts.version,
            grant,
            profile,
            made_for_refusal,
            sha256: OnceLock::new(),
            rendered: OnceLock::new(),
        }
    }

    /// Whether it can be renewed without its user.
    pub fn is_renewable(&self) -> bool {
        let facts = &self.grant.facts;
        let renewal = &self.profile.renewal;
        renewal.can_renew(facts.grant_type, facts.refreshable)
    }

    /// SHA-256 of the access token, computed once.
    pub fn token_sha256(&self) -> &[u8; 32] {
        self.sha256
            .get_or_init(|| self.grant.tokens.access_token.sha256())
    }

    /// What does not change between two answers that carry this token, encoded once by the edge.
    pub fn rendered(&self, render: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.rendered.get_or_init(|| render(self))
    }
}

/// Live grants by id, at most as many as the capacity.
#[derive(Debug)]
pub struct TokenCache {
    live: Cache<GrantId, Arc<LiveGrant>>,
    newest: Cache<GrantId, u64>,
}

impl TokenCache {
    /// A cache of at most `capacity` grants.
    pub fn new(capacity: usize) -> Self {
        Self {
            live: Cache::new(capacity),
            newest: Cache::new(capacity),
        }
    }

    /// The grant, if it is remembered.
    pub fn get(&self, id: &GrantId) -> Option<Arc<LiveGrant>> {
        self.live.get(id)
    }

    /// Remembers a grant, unless a newer version of it is or was known. Answers the one to use. `over`: the version over
    /// which this process stored its tokens, or is about to, if it did.
    pub fn insert(&self, mut entry: LiveGrant, over: Option<u64>) -> Arc<LiveGrant> {
        let facts = &entry.grant.facts;
        let known = self.live.get(&facts.id);
        if let Some(known) = &known
            && stands(known) > stands(&entry)
            && known.grant.facts.generation >= facts.generation
        {
            return Arc::clone(known);
        }
        if self.is_outdated(&facts.id, facts.version) {
            // Somebody raised the version after this one was read: good for the call that read it, and for
            // no later one.
            return Arc::new(entry);
        }
        let base = over.unwrap_or(facts.version);
        if self.newest.get(&facts.id) <= Some(base) {
            let same = known.filter(|known| known.grant.facts.version == base);
            entry.bound_since = same.map_or(base, |known| known.bound_since);
        }
        let entry = Arc::new(entry);
        self.live
            .insert(entry.grant.facts.id.clone(), Arc::clone(&entry));
        entry
    }

    /// Whether the grant is known to have reached a newer version than this one.
    pub fn is_outdated(&self, id: &GrantId, version: u64) -> bool {
        let live = self.live.get(id).map(|live| live.grant.facts.version);
        self.newest.get(id).max(live) > Some(version)
    }

    /// Learns that the grant has reached `version`: an older entry is forgotten and none comes back.
    pub fn learn(&self, id: &GrantId, version: u64) {
        if self.newest.get(id) < Some(version) {
            self.newest.insert(id.clone(), version);
        }
        if self
            .live
            .get(id)
            .is_some_and(|entry| entry.grant.facts.version < version)
        {
            self.live.remove(id);
        }
    }

    /// Forgets the grant.
    pub fn remove(&self, id: &GrantId) {
        self.live.remove(id);
    }

    /// Forgets all grants.
    pub fn clear(&self) {
        self.live.clear();
    }

    /// Forgets grants whose tokens have expired, so that secrets do not stay in memory unread.
    pub fn purge_expired(&self, now: Timestamp) {
        self.live.retain(|_, entry| entry.validity.is_valid(now));
    }

    /// How many grants are remembered.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which of two entries is newer. Tokens that are not stored yet have the version of those that they replace.
fn stands(entry: &LiveGrant) -> (u64, Generation) {
    (entry.grant.facts.version, entry.grant.facts.generation)
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
