//! What is found wrong with one text.

use crate::catalogue::problem::Problem;

/// Collects the mistakes of one text.
pub(in crate::catalogue) struct Report<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(in crate::catalogue) fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
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

    /// All mistakes, by place. What several requests have in common is told once.
    pub(in crate::catalogue) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort();
        self.problems.dedup();
        self.problems
    }
}
