//! What this replica remembers of credentials and grants, and how it is kept true.
//!
//! A credential is bound to its grant; a grant is either live, with a token, or dead. Whatever changes a grant, or which
//! credentials use it, raises the grant's version; [`Memory::learn`] hears of it from the bus within milliseconds, or from
//! the poll of the store within a second, and forgets the grant. A binding is of the version at which it was read. It is
//! believed only while its grant is remembered, and only as long as nothing but this replica's own commits raised the
//! version since: after anything else the credential may be deleted, or use another grant, and is looked up again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;

use crate::cache::{LiveGrant, TokenCache};
use crate::clock::Timestamp;
use crate::failure::FailureReason;
use crate::grant::Grant;
use crate::ids::{CredentialKey, Generation, GrantId};
use crate::provider::Profile;
use crate::refresh::Failure;
use crate::scopes::ScopeSet;
use crate::terminal::{DeadGrant, TerminalCache};

/// Grants are written down under as many locks.
const LOCKS: usize = 64;

/// Remembered credentials, live grants and dead grants, each at most as many as the capacity.
#[derive(Debug)]
pub struct Memory {
    /// The grant of a credential, and the version of the grant at which that was read.
    bindings: Cache<CredentialKey, (GrantId, u64)>,
    tokens: TokenCache,
    terminal: TerminalCache,
    cooling: Cache<GrantId, (Generation, Failure)>,
    /// By grant and scopes: the version of the grant at which another was derived from it, and that other one.
    derived: Cache<(GrantId, ScopeSet), (u64, GrantId)>,
    /// Held while what is known of a grant is looked at and replaced: between the two, a read that is older could
    /// otherwise come back over news of a newer version, and stay. Who only reads takes none.
    writing: [Mutex<()>; LOCKS],
}

/// A grant as it is remembered.
#[derive(Debug, Clone)]
pub enum Known {
    /// It has a token.
    Live(Arc<LiveGrant>),
    /// It is dead.
    Dead(Arc<DeadGrant>),
}

impl Known {
    /// The earliest version of the grant since which the same credentials have used it, as far as is known.
    fn bound_since(&self) -> u64 {
        match self {
            Self::Live(live) => live.bound_since,
            Self::Dead(dead) => dead.version,
        }
    }
}

/// How this replica came to know a grant as it remembers it. By default it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The version over which this replica stored the tokens, or is about to. `None`: somebody else may have.
    pub over: Option<u64>,
    /// Whether a call that was made because a caller reported a refused token brought them.
    pub for_refusal: bool,
}

impl Memory {
    /// An empty memory for `capacity` credentials.
    pub fn new(capacity: usize) -> Self {
        Self {
            bindings: Cache::new(capacity),
            tokens: TokenCache::new(capacity),
            terminal: TerminalCache::new(capacity),
            cooling: Cache::new(capacity),
            derived: Cache::new(capacity),
            writing: [const { Mutex::new(()) }; LOCKS],
        }
    }

    /// The grant of a credential, if both are remembered.
    pub fn find(&self, key: &CredentialKey) -> Option<Known> {
        let (id, version) = self.bindings.get(key)?;
        let known = self.grant(&id)?;
        (known.bound_since() <= version).then_some(known)
    }

    /// A grant, if it is remembered.
    pub fn grant(&self, id: &GrantId) -> Option<Known> {
        if let Some(live) = self.tokens.get(id) {
            return Some(Known::Live(live));
        }
        self.terminal.get(id).map(Known::Dead)
    }

    /// Remembers that a credential used a grant when the grant was read at `version`.
    pub fn bind(&self, key: &CredentialKey, id: &GrantId, version: u64) {
        self.bindings.insert(key.clone(), (id.clone(), version));
    }

    /// The grant that mints tokens of exactly these scopes with the means of `parent`, if it is remembered: `parent`
    /// itself where it asks for them. A parent that has moved on may have other means, so nothing is known of what was
    /// derived from it then.
    pub fn of_scopes(&self, parent: &Arc<LiveGrant>, scopes: &ScopeSet) -> Option<Arc<LiveGrant>> {
        let facts = &parent.grant.facts;
        if facts.requested_scopes == *scopes {
            return Some(Arc::clone(parent));
        }
        let (version, id) = self.derived.get(&(facts.id.clone(), scopes.clone()))?;
        if version != facts.version {
            return None;
        }
        self.tokens.get(&id)
    }

    /// Remembers that `id` was derived from `parent` for these scopes.
    pub fn bind_derived(&self, parent: &LiveGrant, scopes: &ScopeSet, id: &GrantId) {
        let facts = &parent.grant.facts;
        let key = (facts.id.clone(), scopes.clone());
        self.derived.insert(key, (facts.version, id.clone()));
    }

    /// Remembers a grant as it was read or written, unless a newer version is known. Answers what to use.
    ///
    /// Tokens that are not stored yet are of the version that was read before: whatever is heard of a newer one, such as
    /// a death, takes their place.
    pub fn remember(&self, grant: Grant, profile: Profile, origin: Origin) -> Known {
        let _alone = self.write(&grant.facts.id);
        if let Some(dead) = DeadGrant::from_facts(&grant.facts) {
            let dead = Arc::new(dead);
            if self.tokens.is_outdated(&dead.id, dead.version) {
                // Somebody connected again after this was read: good for the call that read it alone.
                return Known::Dead(dead);
            }
            self.tokens.learn(&dead.id, dead.version);
            self.terminal.insert(Arc::clone(&dead));
            return Known::Dead(dead);
        }
        self.terminal.learn(&grant.facts.id, grant.facts.version);
        if let Some(dead) = self.terminal.get(&grant.facts.id) {
            return Known::Dead(dead);
        }
        let live = LiveGrant::new(grant, profile, origin.for_refusal);
        Known::Live(self.tokens.insert(live, origin.over))
    }

    /// Learns that a grant has reached `version`: what is remembered of an older one is forgotten. So is a cool-down, which
    /// may have ended without a new generation; if it has not, who looks at the row finds it.
    pub fn learn(&self, id: &GrantId, version: u64) {
        let _alone = self.write(id);
        self.tokens.learn(id, version);
        self.terminal.learn(id, version);
        self.cooling.remove(id);
    }

    /// Remembers that the refresh of `generation` failed and when the next attempt is due, so that callers in
    /// between are answered without asking the database.
    pub fn cool(&self, id: &GrantId, generation: Generation, failure: Failure) {
        self.cooling.insert(id.clone(), (generation, failure));
    }

    /// The failure that holds attempts to refresh `generation` back at `now`.
    pub fn cooling(&self, id: &GrantId, generation: Generation, now: Timestamp) -> Option<Failure> {
        let (failed, failure) = self.cooling.get(id)?;
        (failed == generation && failure.next_at > Some(now)).then_some(failure)
    }

    /// Forgets until when grants are held back that a brake held: it was released.
    pub fn thaw(&self) {
        self.cooling
            .retain(|_, (_, failure)| failure.reason != FailureReason::ClientBraked);
    }

    /// Forgets a grant whatever its version.
    pub fn forget(&self, id: &GrantId) {
        let _alone = self.write(id);
        self.tokens.remove(id);
        self.terminal.remove(id);
        self.cooling.remove(id);
    }

    /// Forgets everything, when notices may have been missed.
    pub fn forget_all(&self) {
        self.tokens.clear();
        self.terminal.clear();
        self.cooling.clear();
    }

    /// Forgets tokens that have expired, so that secrets do not stay in memory unread.
    pub fn purge_expired(&self, now: Timestamp) {
        self.tokens.purge_expired(now);
        self.cooling
            .retain(|_, (_, failure)| failure.next_at > Some(now));
    }

    fn write(&self, id: &GrantId) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let lock = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default();
        self.writing[lock]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many live and how many dead grants are remembered.
    pub fn len(&self) -> (usize, usize) {
        (self.tokens.len(), self.terminal.len())
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }
}

#[cfg(test)]
mod tests;
