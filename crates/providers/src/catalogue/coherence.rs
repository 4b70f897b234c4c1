//! What the keys of an entry say together: combinations that can never work, and keys that stand for nothing because of
//! what another one says.
//!
//! Whatever is inherited from a base may go unused; what an entry states itself may not.

mod grants;
mod hosts;
mod made;
mod placeholders;
mod requests;
mod tables;
mod times;

use super::entry::Entry;
use super::places::Places;
use super::section::Report;

/// Notes every mistake that no key has by itself. Where a key is a mistake already, nothing is said that may follow from
/// it alone.
pub(super) fn check(entry: &Entry, places: &Places, report: &mut Report<'_>) {
    let mut told = Told {
        entry,
        places,
        report,
    };
    grants::check(&mut told);
    tables::check(&mut told);
    requests::check(&mut told);
    times::check(&mut told);
    hosts::check(&mut told);
    placeholders::check(&mut told);
}

/// An entry that is looked at as a whole, and what is found.
struct Told<'e, 'r, 't> {
    entry: &'e Entry,
    places: &'e Places,
    report: &'r mut Report<'t>,
}

impl Told<'_, '_, '_> {
    /// Notes a mistake where the key stands.
    fn tell(&mut self, path: &str, why: impl Into<String>) {
        self.tell_at(path, path, why);
    }

    /// Notes a mistake in `field` where the key `at` stands.
    fn tell_at(&mut self, at: &str, field: &str, why: impl Into<String>) {
        self.report.add(self.places.at(at), field, why);
    }

    /// Whether the entry itself states the key, and nothing is wrong with it.
    fn states(&self, path: &str) -> bool {
        self.places.states(path) && !self.report.doubts(path)
    }
}
