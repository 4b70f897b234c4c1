//! Secrets in the configuration: written out, or named by an environment variable, a file or a command.

use std::fmt;
use std::fs::File;
use std::io::Read as _;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::command;
use super::document::{Node, Table, Value};
use super::error::Origin;
use super::print::{quoted, quoted_list};
use super::section::{Commands, Environment};

/// Most bytes that a file or a command may give.
pub(super) const LONGEST: usize = 64 * 1024;

const FORMS: &str =
    "must be a text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", …] }";

/// A secret and where it was found. `Debug` shows only the latter.
#[derive(Clone)]
pub struct Secret {
    /// `None`: the command that prints it was not run.
    text: Option<SecretString>,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Literal,
    Environment(String),
    File(String),
    Command(Vec<String>),
}

impl Secret {
    /// The secret itself, for the request or the connection that needs it.
    pub fn expose(&self) -> &str {
        self.known()
            .expect("a configuration that is used was loaded with its commands run")
    }

    /// The secret in the type that other crates take.
    pub fn to_secret_string(&self) -> SecretString {
        SecretString::from(self.expose())
    }

    /// The secret itself, unless the command that prints it was not run.
    pub(super) fn known(&self) -> Option<&str> {
        self.text.as_ref().map(SecretString::expose_secret)
    }

    /// Resolves what stands in the configuration; the error says why it cannot be.
    pub(super) fn resolve(
        node: &Node,
        environment: &Environment,
        commands: Commands,
    ) -> Result<Self, String> {
        let table = match &node.value {
            Value::Text(text) => return Self::found(text, Source::Literal),
            Value::Table(table) => table,
            _ => return Err(FORMS.into()),
        };
        match only_entry(table) {
            Some((
                "env",
                Node {
                    value: Value::Text(name),
                    ..
                },
            )) => match environment.get(&**name) {
                Some(text) => Self::found(text, Source::Environment(name.to_string())),
                None => Err(format!("environment variable {} is not set", &**name)),
            },
            Some((
                "file",
                Node {
                    value: Value::Text(path),
                    ..
                },
            )) => Self::found(&read(path)?, Source::File(path.to_string())),
            Some(("command", node)) => {
                let words = words(node).ok_or(FORMS)?;
                match commands {
                    Commands::Run => Self::found(&printed(&words)?, Source::Command(words)),
                    Commands::Skip => Ok(Self {
                        text: None,
                        source: Source::Command(words),
                    }),
                }
            }
            _ => Err(FORMS.into()),
        }
    }

    fn found(text: &str, source: Source) -> Result<Self, String> {
        if text.is_empty() {
            return Err(match source {
                Source::Literal => "must not be empty".into(),
                Source::Environment(name) => format!("environment variable {name} is empty"),
                Source::File(path) => format!("file {path} is empty"),
                Source::Command(words) => format!("command {} printed nothing", words[0]),
            });
        }
        Ok(Self {
            text: Some(text.into()),
            source,
        })
    }

    /// The secret as TOML without its text, e.g. `{ env = "SLACK_SECRET" }`.
    pub(super) fn redacted(&self) -> String {
        match &self.source {
            Source::Literal => quoted("[redacted]"),
            Source::Environment(name) => format!("{{ env = {} }}", quoted(name)),
            Source::File(path) => format!("{{ file = {} }}", quoted(path)),
            Source::Command(words) => {
                let words = quoted_list(words.iter().map(String::as_str));
                format!("{{ command = {words} }}")
            }
        }
    }

    /// Whether the text stands in the configuration itself.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self.source, Source::Literal)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.redacted())
    }
}

fn only_entry(table: &Table) -> Option<(&str, &Node)> {
    let mut entries = table.iter();
    match (entries.next(), entries.next()) {
        (Some((key, node)), None) => Some((key, node)),
        _ => None,
    }
}

/// A program and its arguments; the environment divides them by commas, as it does all lists.
fn words(node: &Node) -> Option<Vec<String>> {
    let words: Vec<String> = match (&node.value, &node.origin) {
        (Value::List(items), _) => items
            .iter()
            .map(|item| match &item.value {
                Value::Text(word) => Some(word.to_string()),
                _ => None,
            })
            .collect::<Option<_>>()?,
        (Value::Text(text), Origin::Environment(_)) => {
            text.split(',').map(|word| word.trim().to_owned()).collect()
        }
        _ => return None,
    };
    words
        .first()
        .is_some_and(|word| !word.is_empty())
        .then_some(words)
}

/// The text of a secret's file without the line end that editors add.
fn read(path: &str) -> Result<Zeroizing<String>, String> {
    let cannot = |error| format!("file {path} cannot be read: {error}");
    // All room is taken at once, since a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    File::open(path)
        .and_then(|file| file.take(LONGEST as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot(error.to_string()))?;
    if bytes.len() > LONGEST {
        return Err(cannot("it is longer than 64 KiB".into()));
    }
    text(&bytes).ok_or_else(|| cannot("it is no UTF-8".into()))
}

/// What a command prints without the line end after it.
fn printed(words: &[String]) -> Result<Zeroizing<String>, String> {
    let bytes = command::output_of(words)?;
    text(&bytes).ok_or_else(|| format!("command {} printed no UTF-8", words[0]))
}

fn text(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}
