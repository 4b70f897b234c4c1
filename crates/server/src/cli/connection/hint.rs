//! The likely mistake behind an error.

use std::error::Error as _;

use tonic::{Code, Status};

use super::innermost;
use crate::cli::status_line::reason;

/// What whoever mistyped an address or a name, or left out a certificate, may want to know.
pub fn of(status: &Status) -> Option<&'static str> {
    match reason(status).as_deref() {
        Some("UNKNOWN_PROVIDER") => {
            return Some("\"evergrant provider list\" shows those that are");
        }
        Some("CREDENTIAL_EXISTS") => {
            return Some("here that is \"evergrant credential reconnect\"");
        }
        _ => {}
    }
    if is_no_grpc(status) {
        return Some(
            "no gRPC is served there: is this the gRPC port, and not the one for metrics?",
        );
    }
    let why = status.source().map(innermost)?;
    let of_alert = |alert: &str| why.contains(&format!("received fatal alert: {alert}"));
    if of_alert("CertificateRequired") {
        return Some("the server wants a client certificate: --tls-cert and --tls-key");
    }
    let refused = [
        "UnknownCA",
        "BadCertificate",
        "CertificateExpired",
        "CertificateUnknown",
        "DecryptError",
    ];
    if refused.into_iter().any(of_alert) {
        return Some("the server does not accept the certificate of --tls-cert");
    }
    let closed = [
        "connection closed",
        "broken pipe",
        "Broken pipe",
        "Connection reset",
    ];
    closed.into_iter().any(|word| why.contains(word) || status.message().contains(word)).then_some(
        "the server closed the connection, as it does where it wants another client certificate, or one at all; its log says why",
    )
}

/// Whether what answered speaks HTTP and no gRPC.
pub fn is_no_grpc(status: &Status) -> bool {
    // Words of the client library.
    status.code() == Code::Unimplemented && status.message().contains("grpc-status header missing")
}
