//! `[telemetry]`: what is logged and traced, and how.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
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
            let is_filter = !text.trim().is_empty() && filter(text).is_ok();
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

/// The filter that `text` says: levels, and targets with theirs.
///
/// A word alone that is no level would be taken for a target, and everything else be left out: a typing error would turn
/// all lines off. So a target alone must be one of ours, or a path.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    let filter = EnvFilter::builder().parse(text);
    let filter = filter.map_err(|error| error.to_string())?;
    let mut words = text.split(',').map(str::trim);
    let is_plain = |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_odd = |word: &&str| {
        let is_known =
            word.is_empty() || word.starts_with("evergrant") || word.parse::<LevelFilter>().is_ok();
        is_plain(word) && !is_known
    };
    match words.find(is_odd) {
        None => Ok(filter),
        Some(odd) => Err(format!(
            "{odd:?} is no level; a target takes one, as in {odd}=debug"
        )),
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
