//! What is found wrong with one text.

use std::collections::{BTreeMap, BTreeSet};

use evergrant_core::meant::{did_you_mean, near};

use super::{MISSING, join};
use crate::catalogue::problem::Problem;

/// Collects the mistakes of one text.
pub(in crate::catalogue) struct Report<'t> {
    text: &'t str,
    problems: Vec<Problem>,
    unknown: Vec<Unknown>,
    asked: BTreeMap<String, BTreeSet<String>>,
}

/// A key that no table of its name has. What may be meant is known once all tables are read.
struct Unknown {
    /// Its place among the problems.
    index: usize,
    table: String,
    name: String,
}

impl<'t> Report<'t> {
    pub(in crate::catalogue) fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
            unknown: Vec::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Notes a mistake in `field` at byte `at` of the text.
    pub(in crate::catalogue) fn add(&mut self, at: usize, field: &str, message: impl Into<String>) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.problems.push(Problem {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            field: field.to_owned(),
            message: message.into(),
        });
    }

    /// Notes a key that its table does not have.
    pub(super) fn unknown(&mut self, at: usize, table: &str, name: String) {
        let index = self.problems.len();
        self.add(at, &join(table, &name), "is no known key");
        self.unknown.push(Unknown {
            index,
            table: table.to_owned(),
            name,
        });
    }

    /// Remembers which keys a table may have.
    pub(super) fn asked(&mut self, table: String, keys: BTreeSet<String>) {
        self.asked.entry(table).or_default().extend(keys);
    }

    /// Whether nothing is wrong so far.
    pub(in crate::catalogue) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether a mistake was noted in the field, or in one of the table of that name.
    pub(in crate::catalogue) fn doubts(&self, field: &str) -> bool {
        let within = |known: &str| {
            let rest = known.strip_prefix(field);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.problems.iter().any(|problem| within(&problem.field))
    }

    /// All mistakes, by place. What several requests have in common is told once. A key that is missing because it is
    /// misspelt is told as misspelt alone.
    pub(in crate::catalogue) fn finish(mut self) -> Vec<Problem> {
        let mut misspelt = BTreeSet::new();
        for Unknown { index, table, name } in &self.unknown {
            let keys: Vec<String> = self.asked[table].iter().cloned().collect();
            let meant = near(name, keys.clone()).into_iter();
            misspelt.extend(meant.map(|meant| join(table, &meant)));
            let hint = self.hint(table, name, keys);
            self.problems[*index].message.push_str(&hint);
        }
        let follows = |problem: &Problem| {
            misspelt.contains(&problem.field) && problem.message.starts_with(MISSING)
        };
        self.problems.retain(|problem| !follows(problem));
        self.problems.sort();
        self.problems.dedup();
        self.problems
    }

    /// What may be meant by a key that a table does not have: the same key of another table, a key of this one that is
    /// written like it, or any of this one, of which there are few unless it is the entry itself.
    fn hint(&self, table: &str, name: &str, keys: Vec<String>) -> String {
        let homes = self.asked.iter().filter(|(_, keys)| keys.contains(name));
        let homes: Vec<String> = homes
            .map(|(table, _)| match table.is_empty() {
                true => "above the first table".to_owned(),
                false => format!("[{table}]"),
            })
            .collect();
        let meant = did_you_mean(name, keys.clone());
        match homes.as_slice() {
            [] if !meant.is_empty() || table.is_empty() => meant,
            [] => format!(": [{table}] may have {}", keys.join(", ")),
            [home] if home.starts_with('[') => format!(" here: it belongs to {home}"),
            [home] => format!(" here: it stands {home}"),
            _ if !meant.is_empty() => meant,
            several => format!(" here, but in {}", several.join(", ")),
        }
    }
}
