//! Reading a section key by key: each is taken once, and what is left over is unknown.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use zeroize::Zeroizing;

use super::document::{Node, Table, Value};
use super::duration;
use super::error::{ConfigError, Origin};
use super::secret::Secret;

/// The environment, by name.
pub(super) type Environment = BTreeMap<String, Zeroizing<String>>;

/// What becomes of secrets that a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commands {
    /// The command is run.
    Run,
    /// It is not, and the secret is not known.
    Skip,
}

/// A table of the configuration that is being read.
pub(super) struct Section<'e> {
    key: Key,
    table: Table,
    known: Vec<&'static str>,
    environment: &'e Environment,
    commands: Commands,
}

/// A key's dotted path and where its value came from: all that a complaint needs.
#[derive(Debug, Clone)]
pub(super) struct Key {
    path: String,
    origin: Origin,
}

impl Key {
    /// Its dotted path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A complaint about this key.
    pub(super) fn refuse(&self, why: impl Into<String>) -> ConfigError {
        ConfigError::new(&self.path, why, self.origin.clone())
    }
}

impl<'e> Section<'e> {
    /// The whole configuration.
    pub(super) fn root(table: Table, environment: &'e Environment, commands: Commands) -> Self {
        Self {
            key: Key {
                path: String::new(),
                origin: Origin::Default,
            },
            table,
            known: Vec::new(),
            environment,
            commands,
        }
    }

    /// The section's own key.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// The key `name` of this section, whether or not it is there.
    pub(super) fn key_of(&self, name: &str) -> Key {
        let path = match self.key.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let origin = self
            .table
            .get(name)
            .map_or(Origin::Default, |node| node.origin.clone());
        Key { path, origin }
    }

    /// The key `name` of the section `section` in this one, whether or not it is there.
    pub(super) fn key_within(&self, section: &str, name: &str) -> Key {
        let path = match self.key.path.as_str() {
            "" => format!("{section}.{name}"),
            path => format!("{path}.{section}.{name}"),
        };
        let node = match self.table.get(section).map(|node| &node.value) {
            Some(Value::Table(table)) => table.get(name),
            _ => None,
        };
        let origin = node.map_or(Origin::Default, |node| node.origin.clone());
        Key { path, origin }
    }

    /// Whether `name` is there and not taken yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    fn take(&mut self, name: &'static str) -> (Key, Option<Node>) {
        let key = self.key_of(name);
        self.known.push(name);
        (key, self.table.remove(name))
    }

    /// A text, if it is there.
    pub(super) fn text(
        &mut self,
        name: &'static str,
    ) -> Result<Option<(Key, String)>, ConfigError> {
        match self.take(name) {
            (_, None) => Ok(None),
            (key, Some(node)) => text_of(&key, node).map(|text| Some((key, text))),
        }
    }

    /// A text that must be there and not be empty.
    pub(super) fn required(&mut self, name: &'static str) -> Result<(Key, String), ConfigError> {
        match self.required_or_empty(name)? {
            (key, text) if text.is_empty() => Err(key.refuse("must not be empty")),
            found => Ok(found),
        }
    }

    /// A text that must be there and may be empty.
    pub(super) fn required_or_empty(
        &mut self,
        name: &'static str,
    ) -> Result<(Key, String), ConfigError> {
        let missing = self.missing(name);
        self.text(name)?.ok_or(missing)
    }

    /// The complaint that `name` is not there.
    pub(super) fn missing(&self, name: &str) -> ConfigError {
        let key = Key {
            origin: self.key.origin.clone(),
            ..self.key_of(name)
        };
        key.refuse("is missing")
    }

    /// A text in a form of its own. `form` says what it must be, e.g. `must be a port`.
    pub(super) fn parsed<T>(
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
    pub(super) fn duration(
        &mut self,
        name: &'static str,
        default: &str,
    ) -> Result<(Key, Duration), ConfigError> {
        let form = "must be a duration such as \"15s\" (units: ms, s, m, h, d)";
        self.parsed(name, default, form, duration::parse)
    }

    /// A duration within `range`.
    pub(super) fn bounded(
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
    pub(super) fn count(
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
    pub(super) fn ratio(&mut self, name: &'static str, default: f64) -> Result<f64, ConfigError> {
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
    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<(Key, String)>, ConfigError> {
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
    pub(super) fn is_empty_text(&self, name: &str) -> bool {
        self.table
            .get(name)
            .is_some_and(|node| matches!(&node.value, Value::Text(text) if text.is_empty()))
    }

    /// A secret, if it is there.
    pub(super) fn secret(
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
    pub(super) fn secrets(&mut self, name: &'static str) -> Result<Vec<Secret>, ConfigError> {
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

    /// The section `name`, empty if it is not there.
    pub(super) fn section(&mut self, name: &'static str) -> Result<Section<'e>, ConfigError> {
        let (key, node) = self.take(name);
        match node {
            None => Ok(self.child(key, Table::new())),
            Some(node) => self.child_of(key, node),
        }
    }

    /// The section `name`, if it is there.
    pub(super) fn optional_section(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Section<'e>>, ConfigError> {
        let (key, node) = self.take(name);
        node.map(|node| self.child_of(key, node)).transpose()
    }

    /// The sections `[[name]]`. From the environment alone they come as a table of positions.
    pub(super) fn sections(&mut self, name: &'static str) -> Result<Vec<Section<'e>>, ConfigError> {
        let (key, node) = self.take(name);
        let items = match node.map(|node| node.value) {
            None => Vec::new(),
            Some(Value::List(items)) => items,
            Some(Value::Table(table))
                if (0..table.len()).all(|at| table.contains_key(&at.to_string())) =>
            {
                let mut items: Vec<_> = table.into_iter().collect();
                items.sort_by_key(|(at, _)| at.parse::<usize>().unwrap_or(usize::MAX));
                items.into_iter().map(|(_, node)| node).collect()
            }
            Some(_) => return Err(key.refuse(format!("must be a list: write [[{name}]]"))),
        };
        numbered(&key, items)
            .map(|(key, item)| self.child_of(key, item))
            .collect()
    }

    /// All that was not taken yet, for sections whose keys are names.
    pub(super) fn rest(&mut self) -> Vec<(String, Key, Node)> {
        let names: Vec<_> = self.table.keys().cloned().collect();
        names
            .into_iter()
            .map(|name| {
                let key = self.key_of(&name);
                let node = self.table.remove(&name).expect("the name is the table's");
                (name, key, node)
            })
            .collect()
    }

    /// A secret that came with [`rest`](Self::rest).
    pub(super) fn rest_secret(&self, key: &Key, node: &Node) -> Result<Secret, ConfigError> {
        self.resolve(key, node)
    }

    /// A section that came with [`rest`](Self::rest).
    pub(super) fn child_of(&self, key: Key, node: Node) -> Result<Section<'e>, ConfigError> {
        match node.value {
            Value::Table(table) => Ok(self.child(
                Key {
                    origin: node.origin,
                    ..key
                },
                table,
            )),
            _ => Err(key.refuse("must be a section")),
        }
    }

    fn child(&self, key: Key, table: Table) -> Section<'e> {
        Section {
            key,
            table,
            known: Vec::new(),
            environment: self.environment,
            commands: self.commands,
        }
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(name) => {
                let known = self.known.join(", ");
                Err(self
                    .key_of(name)
                    .refuse(format!("is unknown; known here: {known}")))
            }
        }
    }
}

/// A node that must be a text.
pub(super) fn text_of(key: &Key, node: Node) -> Result<String, ConfigError> {
    match node.value {
        Value::Text(text) => Ok(text.to_string()),
        _ => Err(key.refuse("must be a text")),
    }
}

fn numbered(key: &Key, items: Vec<Node>) -> impl Iterator<Item = (Key, Node)> {
    items.into_iter().enumerate().map(move |(at, item)| {
        let key = Key {
            path: format!("{}[{at}]", key.path),
            origin: item.origin.clone(),
        };
        (key, item)
    })
}
