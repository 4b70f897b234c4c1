//! `[keys]`: the sealing keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::ConfigError;
use super::print::{Printer, bare, quoted_list};
use super::secret::Secret;
use super::section::Section;
use super::spelling;
use crate::seal::{KEY_BYTES, SealingKey};
use crate::store::StoreUrl;

/// Where the sealing keys are.
#[derive(Debug, Clone)]
pub enum Keys {
    /// In the configuration.
    Ring {
        /// Id of the key that seals.
        active: String,
        /// All keys by id, each 32 bytes in base64.
        keys: BTreeMap<String, Secret>,
        /// Ids of keys that are gone for good. What they sealed does not open, and stops no start.
        lost: Vec<String>,
    },
    /// In a file beside the SQLite database, made when it is first needed.
    File {
        /// The file.
        path: PathBuf,
        /// As of a ring.
        lost: Vec<String>,
    },
}

impl Keys {
    pub(super) fn read(mut section: Section<'_>, store: &StoreUrl) -> Result<Self, ConfigError> {
        let active = section.text("active")?;
        let lost = section.texts("lost")?;
        let mut keys = BTreeMap::new();
        for (id, key, node) in section.rest() {
            let secret = section.rest_secret(&key, &node)?;
            if id.is_empty() || id.len() > 64 {
                return Err(key.refuse("has an id that is not 1 to 64 characters long"));
            }
            if let Some(text) = secret.known() {
                decode(text).map_err(|why| key.refuse(unless_misspelt(&id, why)))?;
            }
            keys.insert(id, secret);
        }
        if let Some((key, id)) = lost.iter().find(|(_, id)| keys.contains_key(id)) {
            return Err(key.refuse(format!("names {id:?}, which is a key in this section")));
        }
        let lost = lost.into_iter().map(|(_, id)| id).collect();
        match (active, store.beside("key")) {
            (Some((_, active)), _) if keys.contains_key(&active) => {
                Ok(Self::Ring { active, keys, lost })
            }
            (Some((key, active)), _) => {
                Err(key.refuse(format!("names {active:?}, which is no key in this section")))
            }
            (None, _) if !keys.is_empty() => {
                let ids: Vec<_> = keys.keys().map(String::as_str).collect();
                let why = format!("must name the key that seals: one of {}", ids.join(", "));
                Err(section.key_of("active").refuse(why))
            }
            (None, Some(path)) => Ok(Self::File { path, lost }),
            (None, None) => Err(section.key().refuse(
                "must hold a sealing key when the store is Postgres; \
                 `evergrant keys generate` makes one",
            )),
        }
    }

    /// Ids of keys that are gone for good.
    pub fn lost(&self) -> &[String] {
        match self {
            Self::Ring { lost, .. } | Self::File { lost, .. } => lost,
        }
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let lost = self.lost();
        if !lost.is_empty() || matches!(self, Self::Ring { .. }) {
            out.section("[keys]");
        }
        if !lost.is_empty() {
            out.raw("lost", quoted_list(lost.iter().map(String::as_str)));
        }
        if let Self::Ring { active, keys, .. } = self {
            out.text("active", active);
            for (id, secret) in keys {
                out.raw(&bare(id), secret.redacted());
            }
        }
    }
}

/// Any name here is the id of a key, so that a misspelt setting is one that cannot be read.
fn unless_misspelt(id: &str, why: String) -> String {
    match spelling::slip(id, ["active", "lost"].into_iter()) {
        None => why,
        Some(meant) => format!("{why}; is {meant} meant?"),
    }
}

/// Decodes a sealing key: 32 bytes in base64. The error says what is wrong without showing the text.
pub fn decode(text: &str) -> Result<SealingKey, String> {
    let bytes = STANDARD
        .decode(text.trim())
        .map(Zeroizing::new)
        .map_err(|_| "must be 32 bytes in base64, and is no base64".to_owned())?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if bytes.len() != KEY_BYTES {
        return Err(format!("must be 32 bytes in base64, not {}", bytes.len()));
    }
    key.copy_from_slice(&bytes);
    Ok(SealingKey::new(key))
}

/// Encodes a sealing key as [`decode`] reads it.
pub fn encode(key: &SealingKey) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(key.expose()))
}
