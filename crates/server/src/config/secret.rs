//! Secrets in the configuration: written out, or named by an environment variable or a file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;

use secrecy::{ExposeSecret as _, SecretString};

use super::document::{Node, Value};
use super::print::quoted;

const LONGEST_FILE: u64 = 64 * 1024;

/// A secret and where it was found. `Debug` shows only the latter.
#[derive(Clone)]
pub struct Secret {
    text: SecretString,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Literal,
    Environment(String),
    File(String),
}

impl Secret {
    /// The secret itself, for the request or the connection that needs it.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The secret in the type that other crates take.
    pub fn to_secret_string(&self) -> SecretString {
        self.text.clone()
    }

    /// Resolves what stands in the configuration; the error says why it cannot be.
    pub(super) fn resolve(
        node: &Node,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        const FORMS: &str = "must be a text, { env = \"NAME\" } or { file = \"PATH\" }";
        let table = match &node.value {
            Value::Text(text) => return Self::found(text.clone(), Source::Literal),
            Value::Table(table) => table,
            _ => return Err(FORMS.into()),
        };
        let mut entries = table.iter().map(|(key, node)| (key.as_str(), &node.value));
        match (entries.next(), entries.next()) {
            (Some(("env", Value::Text(name))), None) => match environment.get(name) {
                Some(text) => Self::found(text.clone(), Source::Environment(name.clone())),
                None => Err(format!("environment variable {name} is not set")),
            },
            (Some(("file", Value::Text(path))), None) => {
                Self::found(read(path)?, Source::File(path.clone()))
            }
            _ => Err(FORMS.into()),
        }
    }

    fn found(text: String, source: Source) -> Result<Self, String> {
        if text.is_empty() {
            return Err(match source {
                Source::Literal => "must not be empty".into(),
                Source::Environment(name) => format!("environment variable {name} is empty"),
                Source::File(path) => format!("file {path} is empty"),
            });
        }
        Ok(Self {
            text: text.into(),
            source,
        })
    }

    /// The secret as TOML without its text, e.g. `{ env = "SLACK_SECRET" }`.
    pub(super) fn redacted(&self) -> String {
        match &self.source {
            Source::Literal => quoted("[redacted]"),
            Source::Environment(name) => format!("{{ env = {} }}", quoted(name)),
            Source::File(path) => format!("{{ file = {} }}", quoted(path)),
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

/// The text of a secret's file without the line end that editors add.
fn read(path: &str) -> Result<String, String> {
    let cannot = |error| format!("file {path} cannot be read: {error}");
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_FILE + 1).read_to_string(&mut text))
        .map_err(|error| cannot(error.to_string()))?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(cannot("it is longer than 64 KiB".into()));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}
