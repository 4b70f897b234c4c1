//! `[redis]`: what makes several replicas fast; they are right without it.

use super::defaults;
use super::error::ConfigError;
use super::print::Printer;
use super::secret::Secret;
use super::section::Section;
use super::store::redacted_url;

/// The Redis server that replicas share.
#[derive(Debug, Clone)]
pub struct Redis {
    /// Its URL, password included; `None`: replicas coordinate through the database alone.
    pub url: Option<Secret>,
    /// What the name of every key and channel begins with.
    pub prefix: String,
}

impl Redis {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let url = if section.is_empty_text("url") {
            section.text("url")?;
            None
        } else {
            section.secret("url")?
        };
        if let Some((key, url)) = &url {
            let has_scheme =
                |url: &str| url.starts_with("redis://") || url.starts_with("rediss://");
            if url.known().is_some_and(|url| !has_scheme(url)) {
                return Err(key.refuse("must begin with redis:// or rediss://, or be empty"));
            }
        }
        let form = "must be 1 to 64 characters of a-z, A-Z, 0-9 and . _ : -";
        let (_, prefix) = section.parsed("prefix", defaults::REDIS_PREFIX, form, |text| {
            let fits = (1..=64).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
            fits.then(|| text.to_owned())
        })?;
        section.finish()?;
        Ok(Self {
            url: url.map(|(_, url)| url),
            prefix,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self { url, prefix } = self;
        out.section("[redis]");
        match url {
            None => out.text("url", ""),
            Some(url) => out.raw("url", redacted_url(url)),
        }
        out.text("prefix", prefix);
    }
}
