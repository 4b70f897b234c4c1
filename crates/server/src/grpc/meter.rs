//! Counts and times requests.

use std::future::Future;
use std::time::Instant;

use tonic::{Response, Status};

use super::status::ApiError;

/// Runs one request and counts it by method, code and reason. The error becomes a status here and nowhere else.
pub async fn request<T>(
    method: &'static str,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<Response<T>, Status> {
    let began = Instant::now();
    let result = work.await;
    let (code, reason) = match &result {
        Ok(_) => ("OK", ""),
        Err(error) => (code_name(error.code()), error.reason_name()),
    };
    if !reason.is_empty() {
        tracing::Span::current().record("evergrant.reason", reason);
    }
    metrics::counter!(
        "evergrant_requests_total", "method" => method, "code" => code, "reason" => reason
    )
    .increment(1);
    metrics::histogram!("evergrant_request_seconds", "method" => method)
        .record(began.elapsed().as_secs_f64());
    result.map(Response::new).map_err(ApiError::into_status)
}

/// The name of a gRPC code, e.g. `NOT_FOUND`.
pub fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
