//! `[refresh]`: how long an attempt may take, and how many run at once.

use std::path::PathBuf;
use std::time::Duration;

use super::defaults;
use super::duration;
use super::error::ConfigError;
use super::print::Printer;
use super::section::Section;
use super::store::StoreUrl;

/// What is left of a lease when its holder's last request must be over on the provider's side too.
const MARGIN: Duration = Duration::from_secs(2);

/// How refreshes run.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// How long one call to a provider may take, body included.
    pub attempt_timeout: Duration,
    /// How long the commit of its outcome may take.
    pub store_timeout: Duration,
    /// How long the right to call the provider lasts. It always has room for two calls, the
    /// commit and 2 s more, so that no call outlives its lease.
    pub lease: Duration,
    /// Where new tokens are written before they are committed; `None`: nowhere on this machine.
    pub journal: Option<PathBuf>,
    /// Most refreshes that one replica runs at once.
    pub concurrency: u32,
    /// Most refreshes that one replica runs at once against one provider.
    pub per_provider: u32,
}

impl Refresh {
    pub(super) fn read(mut section: Section<'_>, store: &StoreUrl) -> Result<Self, ConfigError> {
        let attempt_timeout = positive(&mut section, "attempt_timeout", defaults::ATTEMPT_TIMEOUT)?;
        let store_timeout = positive(&mut section, "store_timeout", defaults::STORE_TIMEOUT)?;
        let (key, lease) = section.duration("lease", defaults::LEASE)?;
        let least = attempt_timeout
            .saturating_mul(2)
            .saturating_add(store_timeout)
            .saturating_add(MARGIN);
        if lease < least {
            return Err(key.refuse(format!(
                "must be at least {}, which is 2 x attempt_timeout + store_timeout + 2s; it is {}",
                duration::display(least),
                duration::display(lease)
            )));
        }
        let journal = match section.text("journal")? {
            Some((_, path)) if path.is_empty() => None,
            Some((_, path)) => Some(path.into()),
            None => store.beside("journal"),
        };
        let concurrency = section.count("concurrency", defaults::CONCURRENCY, 1..=100_000)?;
        let per_provider = section.count("per_provider", defaults::PER_PROVIDER, 1..=100_000)?;
        section.finish()?;
        Ok(Self {
            attempt_timeout,
            store_timeout,
            lease,
            journal,
            concurrency,
            per_provider,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            attempt_timeout,
            store_timeout,
            lease,
            journal,
            concurrency,
            per_provider,
        } = self;
        out.section("[refresh]");
        out.duration("attempt_timeout", *attempt_timeout);
        out.duration("store_timeout", *store_timeout);
        out.duration("lease", *lease);
        match journal {
            Some(path) => out.text("journal", path.display()),
            None => out.text("journal", ""),
        }
        out.raw("concurrency", concurrency);
        out.raw("per_provider", per_provider);
    }
}

fn positive(
    section: &mut Section<'_>,
    name: &'static str,
    default: &str,
) -> Result<Duration, ConfigError> {
    match section.duration(name, default)? {
        (key, Duration::ZERO) => Err(key.refuse("must be more than 0s")),
        (_, duration) => Ok(duration),
    }
}
