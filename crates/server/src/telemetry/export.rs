//! The way of spans to a collector: OTLP over gRPC, in batches, by a thread of its own.
//!
//! Whoever ends a span puts it into a queue that drops what does not fit, so a collector that is slow or away costs
//! spans and nothing else.

use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

use super::sampler::AsItsCaller;
use crate::Build;

/// A provider of tracers whose spans go to `endpoint`. Of the traces that begin here, `ratio` are kept. Makes no
/// connection before there are spans.
pub(super) fn provider(
    endpoint: &str,
    ratio: f64,
    build: Build,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let mut exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    if endpoint.starts_with("https:") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter.build()?)
        .with_sampler(sampler(ratio))
        .with_resource(resource(build))
        .build())
}

/// What callers decided counts for their traces.
pub(super) fn sampler(ratio: f64) -> Sampler {
    Sampler::ParentBased(Box::new(AsItsCaller {
        otherwise: Sampler::TraceIdRatioBased(ratio),
    }))
}

/// Who sends the spans. What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins.
fn resource(build: Build) -> Resource {
    let instance = uuid::Uuid::new_v4().to_string();
    let own = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "evergrant"),
            KeyValue::new("service.version", build.version),
            KeyValue::new("service.instance.id", instance),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => own.with_service_name(name).build(),
        _ => own.build(),
    }
}
