//! `[store]`: the database that makes the service right.

use std::fmt;
use std::path::{Path, PathBuf};

use super::defaults;
use super::error::ConfigError;
use super::print::{Printer, quoted};
use super::secret::Secret;
use super::section::Section;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    /// Which one.
    pub url: StoreUrl,
    /// Most connections to Postgres that one replica opens.
    pub max_connections: u32,
}

/// Names a database of a kind that is supported. `Debug` shows neither password nor host.
#[derive(Clone)]
pub enum StoreUrl {
    /// A file on this machine, for one replica.
    Sqlite {
        /// The URL as it was given.
        url: String,
        /// The database's file.
        path: PathBuf,
    },
    /// A Postgres server, for any number of replicas.
    Postgres(Secret),
}

impl StoreUrl {
    /// The whole URL, password included, for the connection that needs it.
    pub fn expose(&self) -> &str {
        match self {
            Self::Sqlite { url, .. } => url,
            Self::Postgres(url) => url.expose(),
        }
    }

    /// The file of an SQLite database; `None` for a server.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite { path, .. } => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// The path `<database path>.<extension>` beside an SQLite database; `None` for a server.
    pub(super) fn beside(&self, extension: &str) -> Option<PathBuf> {
        let mut path = self.sqlite_path()?.as_os_str().to_owned();
        path.push(".");
        path.push(extension);
        Some(path.into())
    }

    /// The reasons never repeat the URL, since it may hold a password.
    fn parse(secret: Secret) -> Result<Self, &'static str> {
        let url = secret.expose();
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if matches!(path, "" | "memory:" | ":memory:") {
                return Err("must name a file, such as sqlite://evergrant.db");
            }
            if path.contains('?') {
                return Err("takes no options when it names an SQLite file");
            }
            return Ok(Self::Sqlite {
                path: path.into(),
                url: url.to_owned(),
            });
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return match url::Url::parse(url) {
                Ok(_) => Ok(Self::Postgres(secret)),
                Err(_) => Err("is no valid URL; a password in it must be percent-encoded"),
            };
        }
        Err("must begin with sqlite:// or postgres://")
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { url, .. } => fmt::Debug::fmt(url, f),
            Self::Postgres(url) => fmt::Debug::fmt(url, f),
        }
    }
}

impl Store {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let url = match section.secret("url")? {
            Some((key, secret)) => StoreUrl::parse(secret).map_err(|why| key.refuse(why))?,
            None => StoreUrl::Sqlite {
                url: defaults::STORE_URL.into(),
                path: defaults::STORE_URL.trim_start_matches("sqlite://").into(),
            },
        };
        let max_connections = section.count(
            "max_connections",
            defaults::STORE_MAX_CONNECTIONS,
            1..=1_000,
        )?;
        section.finish()?;
        Ok(Self {
            url,
            max_connections,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            url,
            max_connections,
        } = self;
        out.section("[store]");
        match url {
            StoreUrl::Sqlite { url, .. } => out.text("url", url),
            StoreUrl::Postgres(secret) => out.raw("url", redacted_url(secret)),
        }
        out.raw("max_connections", max_connections);
    }
}

/// A URL as TOML: where it is found, or itself without its password and query.
pub(super) fn redacted_url(secret: &Secret) -> String {
    if !secret.is_literal() {
        return secret.redacted();
    }
    let Ok(mut url) = url::Url::parse(secret.expose()) else {
        return secret.redacted();
    };
    // What cannot be set is not there: such a URL has no host and so no password.
    if url.password().is_some() && url.set_password(Some("redacted")).is_err() {
        return secret.redacted();
    }
    url.set_query(None);
    quoted(url.as_str())
}
