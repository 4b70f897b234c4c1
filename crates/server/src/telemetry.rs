//! Logs, as lines to standard error, and traces, sent to a collector.

mod export;
mod lines;
mod sampler;

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Metadata, warn};
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::telemetry::Telemetry;
use crate::{Build, config};

/// What the last traces get to reach their collector when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Begins to log and, where an endpoint is configured, to trace, for the rest of the process's life. A filter in
/// `rust_log` wins over the configuration's, unless it is empty or no filter; then a line says so. If logging was begun
/// before, it goes on as it was. Where traces are configured this must be called within a Tokio runtime.
pub fn init(telemetry: &Telemetry, build: Build, rust_log: Option<&str>) -> Traces {
    let (filter, not_a_filter) = filter(telemetry, rust_log);
    let (provider, no_export) = match &telemetry.otlp_endpoint {
        None => (None, None),
        Some(endpoint) => match export::provider(endpoint, telemetry.trace_ratio, build) {
            Ok(provider) => (Some(provider), None),
            Err(error) => (None, Some(format!("traces cannot be exported: {error}"))),
        },
    };
    let format = telemetry.format;
    // A layer that is absent, in place of none, would have every span made and thrown away.
    let begun = match &provider {
        None => {
            let lines = lines::to_standard_error(format, filter);
            Registry::default().with(lines).try_init()
        }
        Some(provider) => {
            let lines = lines::with_trace(format, filter);
            let registry = Registry::default().with(spans(provider));
            registry.with(lines).try_init()
        }
    };
    if begun.is_ok() {
        for complaint in [not_a_filter, no_export].into_iter().flatten() {
            warn!("{complaint}");
        }
    }
    Traces(provider)
}

/// Spans on their way to the collector, if there is one.
#[derive(Debug, Default)]
#[must_use = "the last spans are sent by `finish`"]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends what was not sent yet, for two seconds at most. Cancelled, it goes on by itself.
    pub async fn finish(self) {
        let Some(provider) = self.0 else { return };
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the last traces did not reach their collector"),
            Err(error) => warn!(%error, "the last traces were not sent"),
        }
    }
}

/// The layer that exports our own spans, and nobody else's. Log lines are no part of it.
fn spans(provider: &SdkTracerProvider) -> impl Layer<Registry> + use<> {
    let ours =
        |metadata: &Metadata<'_>| metadata.is_span() && metadata.target().starts_with("evergrant");
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("evergrant"))
        .with_context_activation(false)
        .with_tracked_inactivity(false)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_filter(FilterFn::new(ours).with_max_level_hint(LevelFilter::INFO))
}

fn filter(telemetry: &Telemetry, rust_log: Option<&str>) -> (EnvFilter, Option<String>) {
    let configured = || EnvFilter::builder().parse_lossy(&telemetry.level);
    match rust_log.filter(|text| !text.trim().is_empty()) {
        None => (configured(), None),
        Some(text) => match config::telemetry::filter(text) {
            Ok(filter) => (filter, None),
            Err(error) => {
                let complaint = format!("RUST_LOG is not used, since it is no filter: {error}");
                (configured(), Some(complaint))
            }
        },
    }
}

#[cfg(test)]
mod tests;
