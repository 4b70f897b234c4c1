//! What the placeholders of an entry stand for in one request.

use std::collections::BTreeMap;

/// Names and their values. What was added first stays, so that nothing later can replace it.
#[derive(Clone, Default)]
pub(crate) struct Placeholders<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Placeholders<'a> {
    /// Adds one name, unless it has a value.
    pub(crate) fn add(&mut self, name: &'a str, value: &'a str) {
        self.0.entry(name).or_insert(value);
    }

    /// Adds every name that has no value yet.
    pub(crate) fn add_all(&mut self, values: &'a BTreeMap<String, String>) {
        for (name, value) in values {
            self.add(name, value);
        }
    }

    /// Adds what others say, where nothing is said yet.
    pub(crate) fn add_from(&mut self, others: &Placeholders<'a>) {
        for (name, value) in &others.0 {
            self.add(name, value);
        }
    }

    /// The value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }
}
