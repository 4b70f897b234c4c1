//! Where the database is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use thiserror::Error;

/// The address of a database. It prints without its password.
#[derive(Clone)]
pub enum StoreUrl {
    /// A file of this process alone: `sqlite:path`, `sqlite://relative` or `sqlite:///absolute`.
    Sqlite(PathBuf),
    /// A server that replicas share, as libpq writes it: `postgres://user:password@host/database?sslmode=…`.
    Postgres(SecretString, Pooler),
}

/// What stands between replicas and their Postgres.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or what keeps a connection of the server for each of a client.
    #[default]
    None,
    /// What lends a connection for each transaction, as PgBouncer does with `pool_mode = transaction`.
    Transaction,
}

/// Why a text is no address of a database. It repeats nothing of the text, which may hold a password. Its words follow
/// the name of what holds the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidStoreUrl {
    /// Neither kind of database.
    #[error("must begin with sqlite:// or postgres://")]
    Scheme,
    /// `sqlite::memory:` or nothing: tokens would die with the process.
    #[error("must name a file, such as sqlite://evergrant.db")]
    NoFile,
    /// `sqlite:…?…`
    #[error("takes no options when it names an SQLite file")]
    Options,
    /// Not as libpq writes it.
    #[error("is no valid URL; a password in it must be percent-encoded")]
    Postgres,
}

impl StoreUrl {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, InvalidStoreUrl> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path {
                "" | "memory:" | ":memory:" => Err(InvalidStoreUrl::NoFile),
                path if path.contains('?') => Err(InvalidStoreUrl::Options),
                path => Ok(Self::Sqlite(Path::new(path).to_owned())),
            };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidStoreUrl::Scheme);
        }
        let url = Self::Postgres(text.into(), Pooler::None);
        url.postgres().ok_or(InvalidStoreUrl::Postgres)?;
        Ok(url)
    }

    /// The same address, if it is of a server, with that pooler before it.
    #[must_use]
    pub fn behind(self, pooler: Pooler) -> Self {
        match self {
            Self::Postgres(url, _) => Self::Postgres(url, pooler),
            file => file,
        }
    }

    /// The file of an SQLite database; `None` for a server.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(..) => None,
        }
    }

    /// The path `<database path>.<extension>` beside an SQLite database; `None` for a server.
    pub fn beside(&self, extension: &str) -> Option<PathBuf> {
        let mut path = self.sqlite_path()?.as_os_str().to_owned();
        path.push(".");
        path.push(extension);
        Some(path.into())
    }

    /// What a connection needs, if the database is Postgres.
    pub(super) fn postgres(&self) -> Option<PgConnectOptions> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(url, _) => PgConnectOptions::from_str(url.expose_secret()).ok(),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.postgres()) {
            (Self::Sqlite(path), _) => write!(f, "sqlite:{}", path.display()),
            (Self::Postgres(..), Some(options)) => {
                let (host, port) = (options.get_host(), options.get_port());
                let database = options.get_database().unwrap_or_default();
                write!(f, "postgres://{host}:{port}/{database}")
            }
            (Self::Postgres(..), None) => f.write_str("postgres://"),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("sqlite:grants.db", "sqlite:grants.db"),
            ("sqlite://data/grants.db", "sqlite:data/grants.db"),
            ("sqlite:///data/grants.db", "sqlite:/data/grants.db"),
            (
                "postgresql://me:hush@db.test:5433/grants?sslmode=require",
                "postgres://db.test:5433/grants",
            ),
        ] {
            assert_eq!(StoreUrl::parse(url).unwrap().to_string(), shown);
        }
        let url = StoreUrl::parse("postgres://me:hush@db.test/grants").unwrap();
        assert!(!format!("{url:?}").contains("hush"));
    }

    #[test]
    fn what_is_no_durable_database_is_refused() {
        for (url, why) in [
            ("", InvalidStoreUrl::Scheme),
            ("mysql://host/db", InvalidStoreUrl::Scheme),
            ("sqlite:", InvalidStoreUrl::NoFile),
            ("sqlite::memory:", InvalidStoreUrl::NoFile),
            ("sqlite://:memory:", InvalidStoreUrl::NoFile),
            ("sqlite:a.db?mode=ro", InvalidStoreUrl::Options),
            ("postgres://host:port/db", InvalidStoreUrl::Postgres),
        ] {
            assert_eq!(StoreUrl::parse(url).unwrap_err(), why, "{url}");
        }
    }
}
