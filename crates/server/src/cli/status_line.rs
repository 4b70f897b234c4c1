//! A gRPC error as one line.

mod options;

use std::fmt::Write as _;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::options::option_for;
use super::connection::innermost;
use crate::config::duration;

/// `FAILED_PRECONDITION CREDENTIAL_INVALIDATED: grant g is revoked; --option: what is wrong with it; retry after 5s`. Fields
/// of the request are called by the options that give them.
pub fn status_line(status: &Status) -> String {
    let details = status.get_error_details();
    let violations = details
        .bad_request()
        .map_or(&[][..], |request| &request.field_violations);
    let mut message = status.message().to_owned();
    for violation in violations {
        let (field, why) = (&violation.field, &violation.description);
        let told = format!("{}: {why}", option_for(field));
        message = message.replace(&format!("{field}: {why}"), &told);
    }
    let mut line = code_name(status.code());
    if let Some(info) = details.error_info() {
        let _infallible = write!(line, " {}", info.reason);
    }
    if !message.is_empty() {
        let _infallible = write!(line, ": {message}");
    }
    if let Some(source) = std::error::Error::source(status) {
        let _infallible = write!(line, ": {}", innermost(source));
    }
    for violation in violations {
        let (option, why) = (option_for(&violation.field), &violation.description);
        // A refusal of a single field is its message already.
        if message.contains(&format!("{option}: {why}")) {
            continue;
        }
        let _infallible = match message.contains(why.as_str()) {
            true => write!(line, " ({option})"),
            false => write!(line, "; {option}: {why}"),
        };
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        let millis = Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        let _infallible = write!(line, "; retry after {}", duration::display(millis));
    }
    line
}

/// The reason in the error's ErrorInfo; `None` if it comes from the transport.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// The delay in the error's RetryInfo.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// The code as the protocol spells it, e.g. `FAILED_PRECONDITION`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn code_reason_message_fields_and_delay_are_one_line() {
        let mut details = ErrorDetails::with_error_info(
            "INVALID_REQUEST",
            "evergrant.v1",
            std::collections::HashMap::<String, String>::new(),
        );
        details
            .add_bad_request_violation("credential_id", "must not be empty")
            .set_retry_info(Some(Duration::from_millis(1_500)));
        let status =
            Status::with_error_details(Code::InvalidArgument, "the request is malformed", details);
        assert_eq!(
            status_line(&status),
            "INVALID_ARGUMENT INVALID_REQUEST: the request is malformed; \
             CREDENTIAL: must not be empty; retry after 1500ms"
        );
        assert_eq!(reason(&status).as_deref(), Some("INVALID_REQUEST"));
        assert_eq!(retry_delay(&status), Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn a_field_that_the_message_names_is_not_named_twice() {
        let details = ErrorDetails::with_bad_request_violation("after", "is no cursor");
        let status =
            Status::with_error_details(Code::InvalidArgument, "after: is no cursor", details);
        assert_eq!(
            status_line(&status),
            "INVALID_ARGUMENT: --after: is no cursor"
        );
    }

    #[test]
    fn words_that_the_message_has_are_not_repeated_for_their_field() {
        let why = "provider x is not in the catalogue";
        let details = ErrorDetails::with_bad_request_violation("credential.provider", why);
        let status = Status::with_error_details(Code::InvalidArgument, why, details);
        assert_eq!(
            status_line(&status),
            "INVALID_ARGUMENT: provider x is not in the catalogue (PROVIDER)"
        );
    }

    #[test]
    fn a_bare_status_is_its_code_and_message() {
        let status = Status::unavailable("connection reset");
        assert_eq!(status_line(&status), "UNAVAILABLE: connection reset");
        assert_eq!(reason(&status), None);
    }
}
