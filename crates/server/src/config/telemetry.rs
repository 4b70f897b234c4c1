//! `[telemetry]`: what is logged, and how.

use tracing_subscriber::EnvFilter;

use super::defaults;
use super::error::ConfigError;
use super::print::Printer;
use super::section::Section;

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// A level or a filter, e.g. `evergrant_core=debug,warn`; RUST_LOG wins over it.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Telemetry {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let form = "must be a level (error, warn, info, debug, trace, off) or a filter such as \
                    \"evergrant_core=debug,warn\"";
        let (_, level) = section.parsed("level", defaults::LEVEL, form, |text| {
            let is_filter = !text.trim().is_empty() && EnvFilter::builder().parse(text).is_ok();
            is_filter.then(|| text.to_owned())
        })?;
        let form = "must be \"text\" or \"json\"";
        let (_, format) = section.parsed("format", defaults::FORMAT, form, |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        })?;
        if let Some((key, endpoint)) = section.text("otlp_endpoint")?
            && !endpoint.is_empty()
        {
            return Err(key.refuse("is not available in this version; leave it empty"));
        }
        section.finish()?;
        Ok(Self { level, format })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self { level, format } = self;
        out.section("[telemetry]");
        out.text("level", level);
        out.text(
            "format",
            match format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
        );
        out.text("otlp_endpoint", "");
    }
}
