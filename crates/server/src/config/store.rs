//! `[store]`: the database that makes the service right.

use std::time::Duration;

use super::defaults;
use super::error::ConfigError;
use super::print::{Printer, quoted};
use super::secret::Secret;
use super::section::{Key, Section};
use super::writable::{check_file, check_folder};
use crate::store::{Pooler, StoreUrl};

const DAY: Duration = Duration::from_hours(24);

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    /// Which one.
    pub url: StoreUrl,
    /// Most connections to Postgres that one replica opens.
    pub max_connections: u32,
    /// How long a token set that came too late to be stored is kept; at least 24 h.
    pub orphan_retention: Duration,
    /// The address as it was given.
    written: Option<Secret>,
    url_key: Key,
}

impl Store {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let url_key = section.key_of("url");
        let written = section.secret("url")?;
        let url = match &written {
            Some((key, secret)) => {
                // Only a server's address needs a command.
                let text = secret.known().unwrap_or("postgres://");
                StoreUrl::parse(text).map_err(|why| key.refuse(why.to_string()))?
            }
            None => StoreUrl::parse(defaults::STORE_URL).expect("the default is an address"),
        };
        let form = "must be \"none\" or \"transaction\"";
        let (key, pooler) =
            section.parsed("pooler", defaults::STORE_POOLER, form, |text| match text {
                "none" => Some(Pooler::None),
                "transaction" => Some(Pooler::Transaction),
                _ => None,
            })?;
        if pooler != Pooler::None && url.sqlite_path().is_some() {
            return Err(key.refuse("is for Postgres; store.url names an SQLite file"));
        }
        let max_connections = section.count(
            "max_connections",
            defaults::STORE_MAX_CONNECTIONS,
            1..=1_000,
        )?;
        let orphan_retention = section.bounded(
            "orphan_retention",
            defaults::ORPHAN_RETENTION,
            &(DAY..=3_650 * DAY),
        )?;
        section.finish()?;
        Ok(Self {
            url: url.behind(pooler),
            max_connections,
            orphan_retention,
            written: written.map(|(_, secret)| secret),
            url_key,
        })
    }

    /// That an SQLite database, and the files that SQLite puts beside it, can be written.
    pub(super) fn check_writable(&self) -> Result<(), ConfigError> {
        let Some(path) = self.url.sqlite_path() else {
            return Ok(());
        };
        check_file(&self.url_key, path)?;
        check_folder(&self.url_key, path)
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            url,
            max_connections,
            orphan_retention,
            written,
            url_key: _,
        } = self;
        out.section("[store]");
        match (url, written) {
            (_, None) => out.text("url", defaults::STORE_URL),
            (StoreUrl::Sqlite(_), Some(written)) => out.text("url", written.expose()),
            (StoreUrl::Postgres(..), Some(written)) => out.raw("url", redacted_url(written)),
        }
        out.text(
            "pooler",
            match url {
                StoreUrl::Postgres(_, Pooler::Transaction) => "transaction",
                _ => defaults::STORE_POOLER,
            },
        );
        out.raw("max_connections", max_connections);
        out.duration("orphan_retention", *orphan_retention);
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
