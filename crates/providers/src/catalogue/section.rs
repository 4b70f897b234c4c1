//! Reads TOML tables key by key, and notes every mistake with its place instead of stopping at the first.

mod duration;
mod list;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) use self::report::Report;

/// A value and where it stands.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) at: usize,
    pub(super) path: String,
}

impl<T> Located<T> {
    /// Parses the value further, and notes a mistake if that fails.
    pub(super) fn parse<U, E: ToString>(
        self,
        report: &mut Report<'_>,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        parse(self.value)
            .map_err(|error| report.add(self.at, &self.path, error.to_string()))
            .ok()
    }
}

/// A table that is being read. Keys that nobody took are mistakes, and those that were asked for are what may be meant.
pub(super) struct Section<'i> {
    path: String,
    at: usize,
    fields: BTreeMap<String, Located<DeValue<'i>>>,
    keys_at: BTreeMap<String, usize>,
    asked: BTreeSet<String>,
}

impl<'i> Section<'i> {
    pub(super) fn root(table: Spanned<DeTable<'i>>) -> Self {
        let at = table.span().start;
        Self::new(String::new(), at, table.into_inner())
    }

    fn new(path: String, at: usize, table: DeTable<'i>) -> Self {
        let mut keys_at = BTreeMap::new();
        let fields = table
            .into_iter()
            .map(|(key, value)| {
                let key_at = key.span().start;
                let name = key.into_inner().into_owned();
                let located = Located {
                    at: value.span().start,
                    path: join(&path, &name),
                    value: value.into_inner(),
                };
                keys_at.insert(name.clone(), key_at);
                (name, located)
            })
            .collect();
        Self {
            path,
            at,
            fields,
            keys_at,
            asked: BTreeSet::new(),
        }
    }

    /// Notes that the key is missing.
    pub(super) fn missing(&self, report: &mut Report<'_>, key: &str) {
        report.add(self.at, &join(&self.path, key), MISSING);
    }

    fn take(&mut self, key: &str) -> Option<Located<DeValue<'i>>> {
        self.asked.insert(key.to_owned());
        self.fields.remove(key)
    }

    /// Whether the key is there and not yet taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Notes that a list which is there has no items, although it must.
    pub(super) fn refuse_empty(&self, report: &mut Report<'_>, key: &str, why: &str) {
        if let Some(field) = self.fields.get(key)
            && matches!(&field.value, DeValue::Array(items) if items.is_empty())
        {
            report.add(field.at, &field.path, why);
        }
    }

    pub(super) fn string(&mut self, report: &mut Report<'_>, key: &str) -> Option<Located<String>> {
        string(self.take(key)?, report)
    }

    pub(super) fn boolean(&mut self, report: &mut Report<'_>, key: &str) -> Option<bool> {
        let field = self.take(key)?;
        match field.value {
            DeValue::Boolean(value) => Some(value),
            other => wrong(report, field.at, &field.path, "true or false", &other),
        }
    }

    pub(super) fn integer(&mut self, report: &mut Report<'_>, key: &str) -> Option<Located<i64>> {
        integer(self.take(key)?, report)
    }

    /// A list of integers; empty if it is not there.
    pub(super) fn integers(&mut self, report: &mut Report<'_>, key: &str) -> Vec<Located<i64>> {
        let Some(field) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = field.value else {
            wrong::<()>(
                report,
                field.at,
                &field.path,
                "a list of integers",
                &field.value,
            );
            return Vec::new();
        };
        items
            .into_iter()
            .filter_map(|item| {
                let item = Located {
                    at: item.span().start,
                    path: field.path.clone(),
                    value: item.into_inner(),
                };
                integer(item, report)
            })
            .collect()
    }

    /// A list of strings. A single string is a list of one.
    pub(super) fn strings(
        &mut self,
        report: &mut Report<'_>,
        key: &str,
    ) -> Option<Vec<Located<String>>> {
        let field = self.take(key)?;
        match field.value {
            DeValue::String(text) => Some(vec![Located {
                value: text.into_owned(),
                at: field.at,
                path: field.path,
            }]),
            DeValue::Array(items) => Some(
                items
                    .into_iter()
                    .filter_map(|item| {
                        let item = Located {
                            at: item.span().start,
                            path: field.path.clone(),
                            value: item.into_inner(),
                        };
                        string(item, report)
                    })
                    .collect(),
            ),
            other => wrong(report, field.at, &field.path, "a list of strings", &other),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        report: &mut Report<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        self.string(report, key)?
            .parse(report, |text| pick(&text, words))
    }

    /// A table within this one.
    pub(super) fn section(&mut self, report: &mut Report<'_>, key: &str) -> Option<Section<'i>> {
        let field = self.take(key)?;
        match field.value {
            DeValue::Table(table) => Some(Section::new(field.path, field.at, table)),
            other => wrong(report, field.at, &field.path, "a table", &other),
        }
    }

    /// The keys that are left, in alphabetical order.
    pub(super) fn keys(&self) -> Vec<String> {
        self.fields.keys().cloned().collect()
    }

    /// A table of strings, with names chosen by whoever writes the entry.
    pub(super) fn string_map(
        &mut self,
        report: &mut Report<'_>,
        key: &str,
    ) -> Vec<(String, Located<String>)> {
        let Some(mut table) = self.section(report, key) else {
            return Vec::new();
        };
        table
            .keys()
            .into_iter()
            .filter_map(|name| Some((name.clone(), table.string(report, &name)?)))
            .collect()
    }

    /// A field that may be a string or a table.
    pub(super) fn string_or_section(
        &mut self,
        report: &mut Report<'_>,
        key: &str,
    ) -> Option<StringOrSection<'i>> {
        let field = self.take(key)?;
        match field.value {
            DeValue::Table(table) => Some(StringOrSection::Section(Section::new(
                field.path, field.at, table,
            ))),
            _ => string(field, report).map(StringOrSection::String),
        }
    }

    /// A field of any scalar type, as the JSON value that an answer would hold.
    pub(super) fn scalar(
        &mut self,
        report: &mut Report<'_>,
        key: &str,
    ) -> Option<serde_json::Value> {
        let field = self.take(key)?;
        match &field.value {
            DeValue::String(text) => Some(text.as_ref().into()),
            DeValue::Boolean(value) => Some((*value).into()),
            DeValue::Integer(number) if number.radix() == 10 => {
                number.as_str().parse::<i64>().ok().map(Into::into)
            }
            other => wrong(
                report,
                field.at,
                &field.path,
                "a string, an integer, true or false",
                other,
            ),
        }
    }

    /// Notes a mistake about the table as a whole.
    pub(super) fn problem(&self, report: &mut Report<'_>, message: impl Into<String>) {
        report.add(self.at, &self.path, message);
    }

    /// Notes a mistake about what stands, or stood, under the first of `keys` that is there; about the table as a whole if
    /// none is.
    pub(super) fn problem_at(
        &self,
        report: &mut Report<'_>,
        keys: &[&str],
        message: impl Into<String>,
    ) {
        let places = keys
            .iter()
            .filter_map(|key| Some((self.keys_at.get(*key)?, key)));
        match { places }.next() {
            Some((at, key)) => report.add(*at, &join(&self.path, key), message),
            None => self.problem(report, message),
        }
    }

    /// Notes every key that nobody took.
    pub(super) fn finish(self, report: &mut Report<'_>) {
        for name in self.fields.into_keys() {
            report.unknown(self.keys_at[&name], &self.path, name);
        }
        report.asked(self.path, self.asked);
    }
}

pub(super) enum StringOrSection<'i> {
    String(Located<String>),
    Section(Section<'i>),
}

impl StringOrSection<'_> {
    /// Notes a mistake about it as a whole.
    pub(super) fn problem(&self, report: &mut Report<'_>, message: &str) {
        match self {
            Self::String(text) => report.add(text.at, &text.path, message),
            Self::Section(table) => table.problem(report, message),
        }
    }
}

/// The thing that `word` stands for.
pub(super) fn pick<T: Copy>(word: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, thing)| *thing).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        format!("must be one of {}, not {word:?}", known.join(", "))
    })
}

fn string(field: Located<DeValue<'_>>, report: &mut Report<'_>) -> Option<Located<String>> {
    match field.value {
        DeValue::String(text) => Some(Located {
            value: text.into_owned(),
            at: field.at,
            path: field.path,
        }),
        other => wrong(report, field.at, &field.path, "a string", &other),
    }
}

fn integer(field: Located<DeValue<'_>>, report: &mut Report<'_>) -> Option<Located<i64>> {
    let number = match &field.value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
        _ => None,
    };
    match number {
        Some(value) => Some(Located {
            value,
            at: field.at,
            path: field.path,
        }),
        None => wrong(report, field.at, &field.path, "an integer", &field.value),
    }
}

fn wrong<T>(
    report: &mut Report<'_>,
    at: usize,
    path: &str,
    wanted: &str,
    found: &DeValue<'_>,
) -> Option<T> {
    let is_table = |item: &Spanned<DeValue<'_>>| matches!(item.get_ref(), DeValue::Table(_));
    let found = match found {
        DeValue::Array(items) if wanted == "a table" && items.iter().any(is_table) => {
            "a list of tables: its name stands in one pair of brackets"
        }
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    report.add(at, path, format!("must be {wanted}, not {found}"));
    None
}

/// What is told of a key that must be there.
const MISSING: &str = "is missing";

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
