//! The span of a request to a provider: who was asked for what, where, and what came of it. It has no URL, since
//! queries and paths may hold secrets, and no text that the provider wrote.

use evergrant_core::provider::{CallError, Delivery, Verdict};
use tracing::field::Empty;
use tracing::{Span, info_span};

use super::Ask;
use crate::engine::client::Client;
use crate::request::TokenRequest;

pub(super) fn call(client: &Client, ask: &Ask<'_>) -> Span {
    info_span!(
        "provider call",
        otel.kind = "client",
        evergrant.provider = %client.entry.name,
        evergrant.client = %client.config.name,
        evergrant.endpoint = ask.url.field,
        evergrant.outcome = Empty,
        server.address = Empty,
        server.port = Empty,
        http.request.method = Empty,
        http.response.status_code = Empty,
        otel.status_code = Empty,
    )
}

/// Tells where the request of the current span goes.
pub(super) fn tell_request(request: &TokenRequest) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    span.record("http.request.method", request.method.as_str());
    if let Some(host) = request.url.host_str() {
        span.record("server.address", host);
    }
    if let Some(port) = request.url.port_or_known_default() {
        span.record("server.port", port);
    }
}

/// Tells what the provider answered to the request of the current span.
pub(super) fn tell_status(status: u16) {
    Span::current().record("http.response.status_code", status);
}

/// Tells what came of the request: `error`, or what was asked for.
pub(super) fn tell(span: &Span, error: Option<&CallError>) {
    span.record("evergrant.outcome", error.map_or("ok", outcome));
    if error.is_some() {
        span.record("otel.status_code", "ERROR");
    }
}

fn outcome(error: &CallError) -> &'static str {
    match (error.delivery, error.verdict) {
        (Delivery::NotSent, _) => "not_sent",
        (Delivery::Unknown, _) => "no_answer",
        (Delivery::Answered, Verdict::Grant(_)) => "grant_refused",
        (Delivery::Answered, Verdict::Client) => "client_rejected",
        (Delivery::Answered, Verdict::Request) => "request_refused",
        (Delivery::Answered, Verdict::Transient) => "unavailable",
        (Delivery::Answered, Verdict::RateLimit) => "rate_limited",
        (Delivery::Answered, Verdict::Protocol) => "protocol_error",
    }
}
