//! Where the keys of an entry's text stand, and which of them are its own.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::join;

/// The keys of an entry with the tables they are in, e.g. `request.client_auth`. The items of a list are keys too:
/// `sources[0]`.
#[derive(Default)]
pub(super) struct Places {
    at: BTreeMap<String, usize>,
    own: BTreeSet<String>,
    texts: Vec<String>,
}

impl Places {
    /// Of a text that builds on nothing.
    pub(super) fn of(table: &DeTable<'_>) -> Self {
        let mut places = Self::default();
        places.walk("", table);
        places.own = places.at.keys().cloned().collect();
        places
    }

    /// The same with what it builds on: `whole` is the text laid over its base.
    pub(super) fn with_base(self, whole: &DeTable<'_>) -> Self {
        let mut places = Self::of(whole);
        places.own = self.own;
        places
    }

    /// Whether the key is there, be it with a value that is a mistake.
    pub(super) fn has(&self, path: &str) -> bool {
        self.at.contains_key(path)
    }

    /// Whether the text itself states the key, and not what it builds on.
    pub(super) fn states(&self, path: &str) -> bool {
        self.own.contains(path)
    }

    /// Whether the text itself states any key of `table` but `except`.
    pub(super) fn states_beside(&self, table: &str, except: &str) -> bool {
        let mut keys = self.own.iter().filter_map(|path| {
            let key = path.strip_prefix(table)?.strip_prefix('.')?;
            key.split('.').next()
        });
        keys.any(|key| key != except)
    }

    /// Where the key stands, in bytes; the table that it would be in if it is not there.
    pub(super) fn at(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(at) = self.at.get(path) {
                return *at;
            }
            match path.rsplit_once('.') {
                Some((table, _)) => path = table,
                None => return 0,
            }
        }
    }

    /// Whether any value holds the placeholder, one of an unknown key or with a mistake too.
    pub(super) fn mention(&self, placeholder: &str) -> bool {
        let forms = [format!("{{{placeholder}}}"), format!("{{{placeholder}?}}")];
        let mut texts = self.texts.iter();
        texts.any(|text| forms.iter().any(|form| text.contains(form)))
    }

    fn walk(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            self.note(join(path, key.get_ref()), value);
        }
    }

    fn note(&mut self, path: String, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.walk(&path, table),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.note(format!("{path}[{index}]"), item);
                }
            }
            DeValue::String(text) => self.texts.push(text.as_ref().to_owned()),
            _ => {}
        }
        self.at.insert(path, value.span().start);
    }
}
