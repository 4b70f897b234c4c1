//! Reading a section key by key: each is taken once, and what is left over is unknown.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::document::{Node, Table, Value};
use super::error::{ConfigError, Origin};
use super::spelling;
pub(super) use values::{TextOrFile, text_of};

mod values;

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

    /// The complaint that `name` is not there.
    pub(super) fn missing(&self, name: &str) -> ConfigError {
        let key = Key {
            origin: self.key.origin.clone(),
            ..self.key_of(name)
        };
        let others = self.table.keys().map(String::as_str);
        key.refuse(match spelling::slip(name, others) {
            None => "is missing".to_owned(),
            Some(other) => format!("is missing; is {other} meant to be it?"),
        })
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

    /// The complaint about a key that is there and is `name` misspelt.
    pub(super) fn slip_of(&self, name: &str) -> Option<ConfigError> {
        let slip = spelling::slip(name, self.table.keys().map(String::as_str))?;
        let why = format!("is unknown; is {name} meant?");
        Some(self.key_of(slip).refuse(why))
    }

    /// Refuses the first key that is none of `known`, before any of them is read: what is missing may only be misspelt.
    pub(super) fn knows(&self, known: &[&'static str]) -> Result<(), ConfigError> {
        let mut names = self.table.keys();
        match names.find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(self.unknown(name, known)),
        }
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.unknown(name, &self.known)),
        }
    }

    fn unknown(&self, name: &str, known: &[&'static str]) -> ConfigError {
        let meant = spelling::nearest(name, known.iter().copied());
        let meant = meant.map_or(String::new(), |meant| format!(" is {meant} meant?"));
        let known = known.join(", ");
        let why = format!("is unknown;{meant} known here: {known}");
        self.key_of(name).refuse(why)
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
