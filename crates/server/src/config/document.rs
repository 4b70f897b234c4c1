//! A configuration before it is understood: a tree of values, each knowing where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::error::{ConfigError, Origin};

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub value: Value,
    pub origin: Origin,
}

/// A value as written.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(Text),
    Integer(i64),
    Float(f64),
    List(Vec<Node>),
    Table(Table),
    /// A truth value, a date or a number beyond 64 bits: no key takes one.
    Foreign,
}

/// A text as written. It may be a secret, so it is wiped when it is dropped, and `Debug` shows nothing of it.
#[derive(Clone)]
pub(super) struct Text(Zeroizing<String>);

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text([redacted])")
    }
}

/// Values by name.
pub(super) type Table = BTreeMap<String, Node>;

/// Parses the text of the TOML file `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let path: Arc<Path> = path.into();
    let line_of = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    let place = |offset| Origin::File(path.clone(), line_of(offset));
    match DeTable::parse(text) {
        Ok(table) => Ok(table_of(table.into_inner(), &place)),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            Err(ConfigError::new("", error.message(), place(offset)))
        }
    }
}

fn table_of(table: DeTable<'_>, place: &dyn Fn(usize) -> Origin) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let node = node_of(key.span().start, value, place);
            (key.into_inner().into_owned(), node)
        })
        .collect()
}

/// A table is placed at its key, since the span of `[a.b]` may begin elsewhere.
fn node_of(key: usize, value: Spanned<DeValue<'_>>, place: &dyn Fn(usize) -> Origin) -> Node {
    let start = value.span().start;
    let (value, at) = match value.into_inner() {
        DeValue::String(text) => (Value::Text(text.into_owned().into()), start),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => (Value::Integer(number), start),
            Err(_) => (Value::Foreign, start),
        },
        DeValue::Float(float) => match float.as_str().parse() {
            Ok(number) => (Value::Float(number), start),
            Err(_) => (Value::Foreign, start),
        },
        DeValue::Boolean(_) | DeValue::Datetime(_) => (Value::Foreign, start),
        DeValue::Array(items) => {
            let items = items
                .into_iter()
                .map(|item| node_of(item.span().start, item, place))
                .collect();
            (Value::List(items), start)
        }
        DeValue::Table(table) => (Value::Table(table_of(table, place)), key),
    };
    Node {
        value,
        origin: place(at),
    }
}
