//! `[telemetry]`: what is logged and traced, and how.

use tracing_subscriber::EnvFilter;
use url::Url;

use super::defaults;
use super::error::ConfigError;
use super::print::Printer;
use super::section::{Key, Section};

/// What is logged and traced, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// A level or a filter, e.g. `evergrant_core=debug,warn`; RUST_LOG wins over it.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
    /// Where traces go: a collector that takes OTLP over gRPC, e.g. `http://127.0.0.1:4317`. `None`: nowhere.
    pub otlp_endpoint: Option<String>,
    /// Of the traces that begin here, how many are kept: 0 to 1.
    pub trace_ratio: f64,
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
        let otlp_endpoint = match section.text("otlp_endpoint")? {
            Some((key, text)) if !text.is_empty() => Some(endpoint(&key, text)?),
            _ => None,
        };
        let trace_ratio = section.ratio("trace_ratio", defaults::TRACE_RATIO)?;
        section.finish()?;
        Ok(Self {
            level,
            format,
            otlp_endpoint,
            trace_ratio,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            level,
            format,
            otlp_endpoint,
            trace_ratio,
        } = self;
        out.section("[telemetry]");
        out.text("level", level);
        out.text(
            "format",
            match format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
        );
        out.text("otlp_endpoint", otlp_endpoint.as_deref().unwrap_or(""));
        out.raw("trace_ratio", format_args!("{trace_ratio:?}"));
    }
}

/// gRPC knows no path but its own, and what a collector asks of its callers belongs into headers.
fn endpoint(key: &Key, text: String) -> Result<String, ConfigError> {
    let url = Url::parse(&text).map_err(|why| key.refuse(format!("is no URL: {why}")))?;
    let is_bare = url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_bare {
        return Err(key.refuse(
            "must be http:// or https:// with host and port alone; headers come from \
             OTEL_EXPORTER_OTLP_HEADERS",
        ));
    }
    Ok(text)
}
