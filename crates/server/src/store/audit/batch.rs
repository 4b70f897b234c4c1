//! A batch on its way into the store.

use crate::audit::chain::Link;
use crate::audit::record::{Entry, Record};

/// Entries that become records together. It remembers what an earlier try may have written although no answer came, so
/// that nothing is written twice.
#[derive(Debug)]
pub struct AuditBatch {
    pub(super) entries: Vec<Entry>,
    /// Whether the credentials of grants were looked up.
    pub(super) named: bool,
    /// What was sent to the database without an answer.
    pub(super) doubtful: Vec<Vec<Record>>,
}

impl AuditBatch {
    /// A batch that was not tried yet.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            named: false,
            doubtful: Vec::new(),
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Remembers that these records were sent, and nobody knows whether they were written.
    pub fn doubt(&mut self, records: Vec<Record>) {
        self.doubtful.push(records);
    }

    /// The last records of tries that may have taken place, by number up to `last`.
    pub(super) fn doubts(&self, last: u64) -> impl Iterator<Item = Link> {
        let lasts = self.doubtful.iter().filter_map(|records| records.last());
        lasts
            .map(|last| Link {
                number: last.number,
                mac: last.mac,
            })
            .filter(move |link| link.number <= last)
    }
}
