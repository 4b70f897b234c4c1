//! Series that are there before anything happens.
//!
//! For Prometheus a counter that appears with its first event has not increased by it, so an alert on the increase
//! would miss the first loss, which may be the only one.

use ::metrics::{counter, gauge, histogram};
use evergrant_core::failure::FailureReason;
use evergrant_core::ids::{ClientKey, ReceiverName};
use evergrant_proto::v1::ErrorReason;

use super::metrics::{Kind, METRICS};
use crate::grpc::meter::code_name;
use crate::grpc::methods;
use crate::grpc::status::{ApiError, reason_name};
use crate::grpc::transport::{Cause, Listener};

/// Errors of every method that are worth an alert.
const REASONS: [ErrorReason; 5] = [
    ErrorReason::CallerRateLimited,
    ErrorReason::Internal,
    ErrorReason::IssuerUnavailable,
    ErrorReason::KeyUnavailable,
    ErrorReason::StoreUnavailable,
];

const REFRESHES: [&str; 9] = [
    "refreshed",
    "invalidated",
    "held",
    "client_rejected",
    FailureReason::ClientRejected.as_str(),
    FailureReason::ProviderProtocolError.as_str(),
    FailureReason::ProviderRateLimited.as_str(),
    FailureReason::ProviderUnavailable.as_str(),
    FailureReason::SubjectInvalid.as_str(),
];

const REVOCATIONS: [&str; 6] = [
    "revoked",
    "not_supported",
    "client_rejected",
    FailureReason::ProviderProtocolError.as_str(),
    FailureReason::ProviderRateLimited.as_str(),
    FailureReason::ProviderUnavailable.as_str(),
];

const CONSENTS: [&str; 3] = ["created", "reconnected", "failed"];

const REPORTS: [&str; 7] = [
    "invalidated",
    "unknown",
    "replayed",
    "ignored",
    "forged",
    "malformed",
    "failed",
];

const STREAM_ENDS: [ErrorReason; 6] = [
    ErrorReason::CursorEpochMismatch,
    ErrorReason::CursorExpired,
    ErrorReason::EventLogUnreachable,
    ErrorReason::ShuttingDown,
    ErrorReason::SlowConsumer,
    ErrorReason::StreamRotated,
];

/// Shows all counters without labels, and of the others what can be told from the configuration.
pub(super) fn show(clients: &[ClientKey], receivers: &[ReceiverName]) {
    for metric in METRICS {
        if metric.kind == Kind::Counter && metric.labels.is_empty() {
            counter!(metric.name).increment(0);
        }
    }
    for method in methods::all() {
        requests(&method.name);
    }
    refused("Watch", ErrorReason::StreamLimit);
    for client in clients {
        of_client(client);
    }
    for receiver in receivers {
        for outcome in REPORTS {
            let receiver = receiver.to_string();
            counter!("evergrant_inbound_total", "receiver" => receiver, "outcome" => outcome)
                .increment(0);
        }
    }
    for cause in ["concurrency", "rate", "throttled"] {
        counter!("evergrant_budget_refusals_total", "cause" => cause).increment(0);
    }
    for listener in Listener::ALL {
        for cause in Cause::ALL {
            counter!(
                "evergrant_tls_handshakes_failed_total",
                "listener" => listener.name(), "cause" => cause.as_str()
            )
            .increment(0);
        }
    }
    for reason in STREAM_ENDS {
        counter!("evergrant_stream_ends_total", "reason" => reason_name(reason)).increment(0);
    }
    gauge!("evergrant_streams_open").increment(0.0);
    gauge!("evergrant_audit_waiting").increment(0.0);
    drop(histogram!("evergrant_audit_write_seconds"));
}

fn requests(method: &'static str) {
    counter!(
        "evergrant_requests_total", "method" => method, "code" => "OK", "reason" => ""
    )
    .increment(0);
    for reason in REASONS {
        refused(method, reason);
    }
    drop(histogram!("evergrant_request_seconds", "method" => method));
}

fn refused(method: &'static str, reason: ErrorReason) {
    let code = code_name(ApiError::new(reason, "").code());
    counter!(
        "evergrant_requests_total",
        "method" => method, "code" => code, "reason" => reason_name(reason)
    )
    .increment(0);
}

fn of_client(key: &ClientKey) {
    let ClientKey { provider, client } = key;
    let (provider, client) = (provider.to_string(), client.to_string());
    for outcome in REFRESHES {
        counter!(
            "evergrant_refreshes_total",
            "provider" => provider.clone(), "client" => client.clone(), "outcome" => outcome
        )
        .increment(0);
    }
    for outcome in REVOCATIONS {
        counter!(
            "evergrant_revocations_total", "provider" => provider.clone(), "outcome" => outcome
        )
        .increment(0);
    }
    for outcome in CONSENTS {
        counter!("evergrant_consents_total", "provider" => provider.clone(), "outcome" => outcome)
            .increment(0);
    }
    drop(histogram!("evergrant_provider_call_seconds", "provider" => provider.clone()));
    gauge!("evergrant_provider_clock_skew_seconds", "provider" => provider).increment(0.0);
}
