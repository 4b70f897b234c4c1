//! The catalogue: what is known of each provider, as data.
//!
//! An entry is a TOML file. [`Entry`] says what each key means; keys that it does not know are refused.

mod coherence;
mod entry;
mod parse;
mod places;
mod problem;
mod section;
mod template;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evergrant_core::ids::ProviderName;

pub use entry::{
    AccountName, AccountNames, AssertionFacts, Astray, AuthorizeFacts, BodyFormat, ClientAuth,
    Entry, FailureRule, FailureSign, GrantKind, IntrospectFacts, Lifetime, Limits, Method,
    OpenIdFacts, Parameter, Pointers, RenewalFacts, RequestFacts, ResponseFacts, SigningAlgorithm,
    ThenFacts, TokenCallFacts, TokenGrant, TokenGrantFacts, TokenGrants, TokenKind, TokenUse,
    UserinfoFacts,
};
pub use problem::{CatalogueError, Problem};
pub use template::{Fact, HostPattern, Template, TemplateError, UrlTemplate};

// The entries that come with the program: file name and text, in the order of their names.
include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The text of the built-in entry of that name.
pub(crate) fn builtin(name: &str) -> Option<&'static str> {
    let file = format!("{name}.toml");
    let found = BUILTIN.iter().find(|(known, _)| *known == file);
    found.map(|(_, text)| *text)
}

/// All providers that are known, by name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    entries: BTreeMap<ProviderName, Arc<Entry>>,
}

impl Catalogue {
    /// A catalogue without entries.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A catalogue of the entries that come with the program.
    pub fn builtin() -> Self {
        let mut catalogue = Self::empty();
        for (file, text) in BUILTIN {
            catalogue
                .add(text, file)
                .expect("every built-in entry is sound, which a test sees to");
        }
        catalogue
    }

    /// Adds the entry in `text`, in place of one of the same name. `origin` says in errors where the text is
    /// from. Answers the provider's name.
    pub fn add(&mut self, text: &str, origin: &str) -> Result<ProviderName, CatalogueError> {
        let entry = parse::parse(text).map_err(|problems| CatalogueError::Unsound {
            origin: origin.to_owned(),
            problems,
        })?;
        let name = entry.name.clone();
        self.entries.insert(name.clone(), Arc::new(entry));
        Ok(name)
    }

    /// Adds every `*.toml` file of a folder; one that bears the name of a present entry replaces it. Nothing
    /// is added if any of them cannot be read or has a mistake, if the folder cannot be read, or if two files
    /// describe the same provider.
    pub fn add_dir(&mut self, dir: &Path) -> Result<(), CatalogueError> {
        let mut found: BTreeMap<ProviderName, PathBuf> = BTreeMap::new();
        let mut added = Self::empty();
        for path in toml_files(dir)? {
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            let name = added.add(&text, &path.display().to_string())?;
            if let Some(first) = found.insert(name.clone(), path.clone()) {
                return Err(CatalogueError::Twice {
                    name: name.to_string(),
                    first,
                    second: path,
                });
            }
        }
        self.entries.append(&mut added.entries);
        Ok(())
    }

    /// The entry of that name.
    pub fn get(&self, name: &ProviderName) -> Option<&Arc<Entry>> {
        self.entries.get(name)
    }

    /// All entries by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// Every mistake in the text of an entry; none if it is sound. Text that is no TOML hides the mistakes
    /// in its values until it is.
    pub fn check(text: &str) -> Vec<Problem> {
        parse::parse(text).err().unwrap_or_default()
    }
}

fn toml_files(dir: &Path) -> Result<Vec<PathBuf>, CatalogueError> {
    let mut paths = Vec::new();
    for file in fs::read_dir(dir).map_err(unreadable(dir))? {
        let path = file.map_err(unreadable(dir))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> CatalogueError {
    let path = path.to_owned();
    |source| CatalogueError::Unreadable { path, source }
}

#[cfg(test)]
mod tests;
