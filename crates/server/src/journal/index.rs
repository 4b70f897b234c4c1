//! What is live in the journal.

use std::collections::HashMap;
use std::sync::Arc;

use evergrant_core::ids::{Generation, GrantId};

use super::record::Record;

/// The live entries: what is left when all records are applied in order.
#[derive(Debug, Default)]
pub(super) struct Index {
    live: HashMap<GrantId, Slot>,
    bytes: u64,
}

#[derive(Debug)]
struct Slot {
    base: Generation,
    sealed: Arc<[u8]>,
    inherited: bool,
}

impl Index {
    /// The live entries that an earlier life of the journal recorded.
    pub(super) fn inherit(records: Vec<Record>) -> Self {
        let mut index = Self::default();
        for record in &records {
            index.apply(record);
        }
        for slot in index.live.values_mut() {
            slot.inherited = true;
        }
        index
    }

    /// Takes a record into account. `false`: it changes nothing, and need not be written.
    pub(super) fn apply(&mut self, record: &Record) -> bool {
        match record {
            Record::Kept {
                grant,
                base,
                sealed,
            } => {
                if self.live.get(grant).is_some_and(|slot| slot.base > *base) {
                    return false;
                }
                self.forget(grant);
                self.bytes += record.encoded_len();
                self.live.insert(
                    grant.clone(),
                    Slot {
                        base: *base,
                        sealed: sealed.clone(),
                        inherited: false,
                    },
                );
                true
            }
            Record::Removed { grant, base } => {
                let removes = self.live.get(grant).is_some_and(|slot| slot.base <= *base);
                if removes {
                    self.forget(grant);
                }
                removes
            }
        }
    }

    fn forget(&mut self, grant: &GrantId) {
        if let Some(slot) = self.live.remove(grant) {
            self.bytes -= slot.record(grant).encoded_len();
        }
    }

    /// The entry of `grant` whose base is `base` or later, and its base.
    pub(super) fn sealed(
        &self,
        grant: &GrantId,
        base: Generation,
    ) -> Option<(Generation, Arc<[u8]>)> {
        let slot = self.live.get(grant).filter(|slot| slot.base >= base)?;
        Some((slot.base, slot.sealed.clone()))
    }

    /// The live entries that were there when the journal was opened.
    pub(super) fn inherited(&self) -> Vec<(GrantId, Generation, Arc<[u8]>)> {
        self.live
            .iter()
            .filter(|(_, slot)| slot.inherited)
            .map(|(grant, slot)| (grant.clone(), slot.base, slot.sealed.clone()))
            .collect()
    }

    /// All live entries, sealed.
    pub(super) fn all_sealed(&self) -> impl Iterator<Item = &[u8]> {
        self.live.values().map(|slot| &*slot.sealed)
    }

    /// The bytes of one record for each live entry.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (grant, slot) in &self.live {
            slot.record(grant).encode(&mut bytes);
        }
        bytes
    }

    /// How long the records of the live entries are together.
    pub(super) fn encoded_len(&self) -> u64 {
        self.bytes
    }
}

impl Slot {
    fn record(&self, grant: &GrantId) -> Record {
        Record::Kept {
            grant: grant.clone(),
            base: self.base,
            sealed: self.sealed.clone(),
        }
    }
}
