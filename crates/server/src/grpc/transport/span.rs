//! The span of a request, by OpenTelemetry's conventions for RPC. It continues the trace of the caller (W3C Trace
//! Context), and ends with the answer; of a stream, with the beginning of it.

use http::{HeaderMap, Request};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::{Code, Status};
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::grpc::methods;

/// A span for a request to a method of ours; none for all others, and while nobody traces.
pub(super) fn begin<B>(request: &Request<B>) -> Span {
    let Some(method) = methods::at(request.uri().path()) else {
        return Span::none();
    };
    let span = info_span!(
        "rpc",
        otel.name = request.uri().path().trim_start_matches('/'),
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = method.service,
        rpc.method = method.name,
        rpc.grpc.status_code = Empty,
        evergrant.reason = Empty,
        otel.status_code = Empty,
    );
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
        // It fails for a span that nobody exports.
        let _no_exporter = span.set_parent(parent);
    }
    span
}

/// Tells how the request of `span` ended. An answer that begins without a status is a success, or a stream.
pub(super) fn end(span: &Span, answer: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let code = Status::from_header_map(answer).map_or(Code::Ok, |status| status.code());
    span.record("rpc.grpc.status_code", code as i32);
    if is_fault(code) {
        span.record("otel.status_code", "ERROR");
    }
}

/// The codes that the conventions count as errors of a server.
fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
