//! The terminal cache: failures that only a person can mend, bound to a generation.
//!
//! The database keeps them; this keeps callers of a dead grant from asking the database each time. An entry goes
//! when the grant is learnt to have a newer version, which is what a reconnect makes.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::grant::{GrantFacts, Invalidation};
use crate::ids::{Generation, GrantId};

/// A grant known to be dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadGrant {
    /// The grant.
    pub id: GrantId,
    /// The generation that died.
    pub generation: Generation,
    /// The version at which it was dead.
    pub version: u64,
    /// Why and when it died.
    pub invalidation: Invalidation,
}

impl DeadGrant {
    /// The dead grant that `facts` describe; `None` if it is active.
    pub fn from_facts(facts: &GrantFacts) -> Option<Self> {
        Some(Self {
            id: facts.id.clone(),
            generation: facts.generation,
            version: facts.version,
            invalidation: facts.state.invalidation()?.clone(),
        })
    }
}

/// Dead grants by id, at most as many as the capacity.
#[derive(Debug)]
pub struct TerminalCache {
    dead: Cache<GrantId, Arc<DeadGrant>>,
}

impl TerminalCache {
    /// A cache of at most `capacity` grants.
    pub fn new(capacity: usize) -> Self {
        Self {
            dead: Cache::new(capacity),
        }
    }

    /// The grant, if it is known to be dead.
    pub fn get(&self, id: &GrantId) -> Option<Arc<DeadGrant>> {
        self.dead.get(id)
    }

    /// Remembers a dead grant, unless it is known to have died at a later version.
    pub fn insert(&self, dead: Arc<DeadGrant>) {
        if self
            .dead
            .get(&dead.id)
            .is_none_or(|known| known.version <= dead.version)
        {
            self.dead.insert(dead.id.clone(), dead);
        }
    }

    /// Learns that the grant has reached `version`: what was known of an older one is forgotten.
    pub fn learn(&self, id: &GrantId, version: u64) {
        if self.dead.get(id).is_some_and(|dead| dead.version < version) {
            self.dead.remove(id);
        }
    }

    /// Forgets the grant.
    pub fn remove(&self, id: &GrantId) {
        self.dead.remove(id);
    }

    /// Forgets all grants.
    pub fn clear(&self) {
        self.dead.clear();
    }

    /// How many grants are known to be dead.
    pub fn len(&self) -> usize {
        self.dead.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
