//! `[limits]`: how often callers may ask.

use std::num::NonZeroU32;

use super::error::ConfigError;
use super::print::Printer;
use super::section::Section;
use crate::grpc::caller::Rate;

/// Limits of those who call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// How often a caller may ask one replica that has no `rate` of its own; `None`: as often as it likes.
    pub caller_rate: Option<Rate>,
}

impl Limits {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let caller_rate = section.optional_section("caller_rate")?;
        let caller_rate = caller_rate.map(read_rate).transpose()?;
        section.finish()?;
        Ok(Self { caller_rate })
    }

    pub(super) fn print(self, out: &mut Printer) {
        let Self { caller_rate } = self;
        if let Some(rate) = caller_rate {
            out.section("[limits]");
            out.raw("caller_rate", rate_as_toml(rate));
        }
    }
}

/// Reads `{ per_second, burst }`; without `burst`, a second's worth may come at once.
pub(super) fn read_rate(mut section: Section<'_>) -> Result<Rate, ConfigError> {
    const RANGE: std::ops::RangeInclusive<u32> = 1..=1_000_000;
    let missing = section.missing("per_second");
    if !section.has("per_second") {
        return Err(missing);
    }
    let per_second = section.count("per_second", 1, RANGE)?;
    let burst = section.count("burst", per_second, RANGE)?;
    section.finish()?;
    let at_least_one = |count| NonZeroU32::new(count).expect("the range begins at 1");
    Ok(Rate {
        per_second: at_least_one(per_second),
        burst: at_least_one(burst),
    })
}

pub(super) fn rate_as_toml(rate: Rate) -> String {
    let Rate { per_second, burst } = rate;
    format!("{{ per_second = {per_second}, burst = {burst} }}")
}
