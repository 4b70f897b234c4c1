//! Hand-written SQL: text with a `?` for each value, numbered when it is whole.

use sea_orm::{DbBackend, Statement, Value};

/// A part of a statement, or all of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// `text` with as many `?` as `values`.
    pub(super) fn new(text: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Self {
        let sql = Self {
            text: text.into(),
            values: values.into_iter().collect(),
        };
        debug_assert_eq!(
            sql.text.matches('?').count(),
            sql.values.len(),
            "{}",
            sql.text
        );
        sql
    }

    /// Text without values.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::new(text, [])
    }

    /// A single value.
    pub(super) fn value(value: impl Into<Value>) -> Self {
        Self::new("?", [value.into()])
    }

    /// This, then `next`.
    pub(super) fn then(mut self, next: Self) -> Self {
        self.text.push_str(&next.text);
        self.values.extend(next.values);
        self
    }

    /// This, then text without values.
    pub(super) fn then_text(self, text: &str) -> Self {
        self.then(Self::text(text))
    }

    /// All of `parts` with `separator` between them.
    pub(super) fn join(parts: impl IntoIterator<Item = Self>, separator: &str) -> Self {
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_default();
        parts.fold(first, |all, part| all.then_text(separator).then(part))
    }

    /// `(?, ?, …)`
    pub(super) fn tuple(values: impl IntoIterator<Item = Value>) -> Self {
        let values = Self::join(values.into_iter().map(Self::value), ", ");
        Self::text("(").then(values).then_text(")")
    }

    /// The statement, its values numbered in the order in which they stand.
    pub(super) fn build(self, backend: DbBackend) -> Statement {
        let mut parts = self.text.split('?');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (index, part) in parts.enumerate() {
            text.push_str(&format!("${}{part}", index + 1));
        }
        Statement::from_sql_and_values(backend, text, self.values)
    }
}

/// A column and what to write there.
pub(super) type Column = (&'static str, Sql);

/// `INSERT INTO table (…) VALUES (…)`
pub(super) fn insert(table: &str, columns: Vec<Column>) -> Sql {
    let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    Sql::text(format!(
        "INSERT INTO {table} ({}) VALUES (",
        names.join(", ")
    ))
    .then(Sql::join(values, ", "))
    .then_text(")")
}

/// `UPDATE table SET … WHERE … AND …`
pub(super) fn update(table: &str, columns: Vec<Column>, conditions: Vec<Sql>) -> Sql {
    let assignments = columns
        .into_iter()
        .map(|(name, value)| Sql::text(format!("{name} = ")).then(value));
    Sql::text(format!("UPDATE {table} SET "))
        .then(Sql::join(assignments, ", "))
        .then_text(" WHERE ")
        .then(Sql::join(conditions, " AND "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_across_the_parts_of_a_statement() {
        let sql = update(
            "t",
            vec![("a", Sql::value("x")), ("b", Sql::text("b + 1"))],
            vec![Sql::new("c = ?", [7i64.into()]), Sql::text("d IS NULL")],
        );
        let statement = sql.build(DbBackend::Postgres);
        let text = "UPDATE t SET a = $1, b = b + 1 WHERE c = $2 AND d IS NULL";
        assert_eq!(statement.sql, text);
        assert_eq!(statement.values.unwrap().0, ["x".into(), 7i64.into()]);
    }
}
