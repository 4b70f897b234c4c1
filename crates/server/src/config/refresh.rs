//! `[refresh]`: how long an attempt may take, and how many run at once.

use std::path::PathBuf;
use std::time::Duration;

use evergrant_core::refresh::Limits;

use super::defaults;
use super::duration;
use super::error::ConfigError;
use super::print::Printer;
use super::section::Section;
use crate::store::StoreUrl;

const MILLISECOND: Duration = Duration::from_millis(1);
const LONGEST_STEP: Duration = Duration::from_mins(10);

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
        let steps = MILLISECOND..=LONGEST_STEP;
        let attempt_timeout =
            section.bounded("attempt_timeout", defaults::ATTEMPT_TIMEOUT, &steps)?;
        let store_timeout = section.bounded("store_timeout", defaults::STORE_TIMEOUT, &steps)?;
        let (key, lease) = section.duration("lease", defaults::LEASE)?;
        let limits = Limits {
            attempt_timeout,
            store_timeout,
            lease,
            per_client: 1,
        };
        let least = limits.shortest_lease();
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
