//! The kinds of values that a key may have.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Key, Section, numbered};
use crate::config::document::{Node, Value};
use crate::config::duration;
use crate::config::error::{ConfigError, Origin};
use crate::config::secret::Secret;

/// What stands in the configuration itself, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) enum TextOrFile {
    Text(String),
    /// The file's path.
    File(String),
}

impl Section<'_> {
    /// A text, if it is there.
    pub(in crate::config) fn text(
        &mut self,
        name: &'static str,
    ) -> Result<Option<(Key, String)>, ConfigError> {
        match self.take(name) {
            (_, None) => Ok(None),
            (key, Some(node)) => text_of(&key, node).map(|text| Some((key, text))),
        }
    }

    /// A text or `{ file = "PATH" }`, if it is there.
    pub(in crate::config) fn text_or_file(
        &mut self,
        name: &'static str,
    ) -> Result<Option<(Key, TextOrFile)>, ConfigError> {
        let (key, node) = self.take(name);
        match node {
            None => Ok(None),
            Some(node) if matches!(node.value, Value::Table(_)) => {
                let mut section = self.child_of(key.clone(), node)?;
                let (_, path) = section.required("file")?;
                section.finish()?;
                Ok(Some((key, TextOrFile::File(path))))
            }
            Some(node) => {
                let text = text_of(&key, node)?;
                Ok(Some((key, TextOrFile::Text(text))))
            }
        }
    }

    /// A text that must be there and not be empty.
    pub(in crate::config) fn required(
        &mut self,
        name: &'static str,
    ) -> Result<(Key, String), ConfigError> {
        match self.required_or_empty(name)? {
            (key, text) if text.is_empty() => Err(key.refuse("must not be empty")),
            found => Ok(found),
        }
    }

    /// A text that must be there and may be empty.
    pub(in crate::config) fn required_or_empty(
        &mut self,
        name: &'static str,
    ) -> Result<(Key, String), ConfigError> {
        let missing = self.missing(name);
        self.text(name)?.ok_or(missing)
    }

    /// A text in a form of its own. `form` says what it must be, e.g. `must be a port`.
    pub(in crate::config) fn parsed<T>(
        &mut self,
        name: &'static str,
        default: &str,
        form: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<(Key, T), ConfigError> {
        let (key, text) = match self.text(name)? {
            Some(found) => found,
            None => (self.key_of(name), default.to_owned()),
        };
        match parse(&text) {
            Some(value) => Ok((key, value)),
            None => Err(key.refuse(format!("{form}, not {text:?}"))),
        }
    }

    /// A duration.
    pub(in crate::config) fn duration(
        &mut self,
        name: &'static str,
        default: &str,
    ) -> Result<(Key, Duration), ConfigError> {
        let form = "must be a duration such as \"15s\" (units: ms, s, m, h, d)";
        self.parsed(name, default, form, duration::parse)
    }

    /// A duration within `range`.
    pub(in crate::config) fn bounded(
        &mut self,
        name: &'static str,
        default: &str,
        range: &RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        let (key, found) = self.duration(name, default)?;
        if range.contains(&found) {
            return Ok(found);
        }
        let [least, most] = [range.start(), range.end()].map(|end| duration::display(*end));
        Err(key.refuse(format!("must be from {least} to {most}")))
    }

    /// A whole number within `range`.
    pub(in crate::config) fn count(
        &mut self,
        name: &'static str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Result<u32, ConfigError> {
        let (key, node) = self.take(name);
        let found = match node.as_ref().map(|node| (&node.value, &node.origin)) {
            None => return Ok(default),
            Some((Value::Integer(number), _)) => u32::try_from(*number).ok(),
            // The environment has nothing but text.
            Some((Value::Text(text), Origin::Environment(_) | Origin::Argument(_))) => {
                text.trim().parse().ok()
            }
            Some(_) => None,
        };
        found
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                key.refuse(format!("must be a whole number from {least} to {most}"))
            })
    }

    /// A number from 0 to 1.
    pub(in crate::config) fn ratio(
        &mut self,
        name: &'static str,
        default: f64,
    ) -> Result<f64, ConfigError> {
        let (key, node) = self.take(name);
        let found = match node.as_ref().map(|node| (&node.value, &node.origin)) {
            None => return Ok(default),
            Some((Value::Float(number), _)) => Some(*number),
            Some((Value::Integer(0), _)) => Some(0.0),
            Some((Value::Integer(1), _)) => Some(1.0),
            // The environment has nothing but text.
            Some((Value::Text(text), Origin::Environment(_) | Origin::Argument(_))) => {
                text.trim().parse().ok()
            }
            Some(_) => None,
        };
        found
            .filter(|number| (0.0..=1.0).contains(number))
            .ok_or_else(|| key.refuse("must be a number from 0 to 1"))
    }

    /// A list of texts, empty if it is not there. From the environment it is divided by commas.
    pub(in crate::config) fn texts(
        &mut self,
        name: &'static str,
    ) -> Result<Vec<(Key, String)>, ConfigError> {
        let (key, node) = self.take(name);
        let not_a_list = || key.refuse("must be a list of texts");
        match node {
            None => Ok(Vec::new()),
            Some(Node {
                value: Value::List(items),
                ..
            }) => numbered(&key, items)
                .map(|(key, item)| text_of(&key, item).map(|text| (key, text)))
                .collect(),
            Some(Node {
                value: Value::Text(text),
                origin: Origin::Environment(_),
            }) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| (key.clone(), item.to_owned()))
                .collect()),
            Some(_) => Err(not_a_list()),
        }
    }

    /// Whether `name` is there and an empty text, for keys where that means none.
    pub(in crate::config) fn is_empty_text(&self, name: &str) -> bool {
        self.table
            .get(name)
            .is_some_and(|node| matches!(&node.value, Value::Text(text) if text.is_empty()))
    }

    /// A secret, if it is there.
    pub(in crate::config) fn secret(
        &mut self,
        name: &'static str,
    ) -> Result<Option<(Key, Secret)>, ConfigError> {
        match self.take(name) {
            (_, None) => Ok(None),
            (key, Some(node)) => {
                let secret = self.resolve(&key, &node)?;
                Ok(Some((key, secret)))
            }
        }
    }

    /// One secret or a list of them, empty if it is not there.
    pub(in crate::config) fn secrets(
        &mut self,
        name: &'static str,
    ) -> Result<Vec<Secret>, ConfigError> {
        match self.take(name) {
            (_, None) => Ok(Vec::new()),
            (
                key,
                Some(Node {
                    value: Value::List(items),
                    ..
                }),
            ) => numbered(&key, items)
                .map(|(key, item)| self.resolve(&key, &item))
                .collect(),
            (key, Some(node)) => Ok(vec![self.resolve(&key, &node)?]),
        }
    }

    fn resolve(&self, key: &Key, node: &Node) -> Result<Secret, ConfigError> {
        Secret::resolve(node, self.environment, self.commands).map_err(|why| key.refuse(why))
    }

    /// A secret that came with [`rest`](Self::rest).
    pub(in crate::config) fn rest_secret(
        &self,
        key: &Key,
        node: &Node,
    ) -> Result<Secret, ConfigError> {
        self.resolve(key, node)
    }
}

/// A node that must be a text.
pub(in crate::config) fn text_of(key: &Key, node: Node) -> Result<String, ConfigError> {
    match node.value {
        Value::Text(text) => Ok(text.to_string()),
        _ => Err(key.refuse("must be a text")),
    }
}
