//! Refusals, put together as the engine takes them apart.

use http::StatusCode;
use serde_json::Value;

use super::Played;
use super::object::Object;
use super::word::{Word, is_of_client};
use crate::catalogue::{Pointers, ResponseFacts};
use crate::sandbox::refusal::Refusal;

/// Status and body. `why` is prose for whoever looks into a malformed request.
pub(in crate::sandbox) fn refused(
    played: &Played,
    refusal: Refusal,
    why: Option<&str>,
) -> (StatusCode, Value) {
    let facts = played.response();
    let mut object = Object::new();
    let (code, words) = match Word::of(&played.entry, refusal) {
        Word::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            return (status, object.into_value());
        }
        Word::Code { code, words } => (code, words),
    };
    let number = code.parse::<i64>().map(Value::from);
    let usual = ResponseFacts::usual();
    object.put(
        place(&facts.error, &usual.error, "/error"),
        number.unwrap_or_else(|_| code.into()),
    );
    if let Some(why) = words.or(why) {
        let (own, usual) = (&facts.error_description, &usual.error_description);
        object.put(place(own, usual, "/error_description"), why);
    }
    object.fail(&facts.failure);
    let status = match refusal {
        Refusal::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        // Whoever marks failures in the body has no use for a status.
        _ if !facts.failure.is_empty() => StatusCode::OK,
        _ if is_of_client(refusal) => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, object.into_value())
}

/// Where an entry says nothing, RFC 6749 does.
fn place<'a>(own: &'a Pointers, usual: &Pointers, of_rfc: &'a str) -> &'a str {
    match own.0.first() {
        Some(first) if own != usual => first,
        _ => of_rfc,
    }
}
