//! Refusals in a provider's own words: the code that its entry takes for what happened.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::Verdict;
use http::StatusCode;
use serde_json::Value;

use super::object::Object;
use super::{Part, Played};
use crate::catalogue::{Entry, Pointers, ResponseFacts};
use crate::classify::{Meaning, rfc};
use crate::sandbox::refusal::Refusal;

/// Codes of RFC 6749 that stand in where a provider means something else by the usual one.
const OTHERS: [&str; 5] = [
    "invalid_grant",
    "invalid_client",
    "unauthorized_client",
    "invalid_request",
    "unsupported_grant_type",
];

enum Word {
    Code(String),
    /// The status says it all.
    Status(u16),
}

/// Status and body. `why` is prose for whoever looks into a malformed request.
pub(in crate::sandbox) fn refused(
    played: &Played,
    refusal: Refusal,
    why: Option<&str>,
) -> (StatusCode, Value) {
    let facts = played.response();
    let mut object = Object::new();
    let code = match word(&played.entry, played.part, refusal) {
        Word::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            return (status, object.into_value());
        }
        Word::Code(code) => code,
    };
    let number = code.parse::<i64>().map(Value::from);
    let usual = ResponseFacts::usual();
    object.put(
        place(&facts.error, &usual.error, "/error"),
        number.unwrap_or_else(|_| code.into()),
    );
    let description = (&facts.error_description, &usual.error_description);
    if let Some(why) = why {
        object.put(
            place(description.0, description.1, "/error_description"),
            why,
        );
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

fn is_of_client(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::UnknownClient | Refusal::WrongSecret | Refusal::BadClientAssertion
    )
}

/// The provider's own code for it, if its entry has one; else what its entry says of a status; else the code of the RFCs,
/// or another one of the same meaning if the provider means something else by it.
fn word(entry: &Entry, part: Part, refusal: Refusal) -> Word {
    let of_rfc = refusal.code();
    let usual = || Word::Code(of_rfc.to_owned());
    // What is asked of a device and of a code has words of its own, which no entry changes.
    let is_of_renewal = !matches!(part, Part::Device);
    let Some(wanted) = meaning_of(refusal).filter(|_| is_of_renewal) else {
        return usual();
    };
    let is_own =
        matches!(wanted.verdict, Verdict::Grant(_) | Verdict::RateLimit) || is_of_client(refusal);
    if is_own && let Some(code) = own_code(entry, refusal, wanted) {
        return Word::Code(code.to_owned());
    }
    if let Some(status) = own(&entry.uncoded, wanted).filter(|_| is_own) {
        return Word::Status(*status);
    }
    let means = |code: &str| entry.errors.get(code).copied().or_else(|| rfc(code));
    let same = |code: &&str| means(code).is_some_and(|it| it.verdict == wanted.verdict);
    let all = [of_rfc].into_iter().chain(OTHERS);
    match all.into_iter().find(same) {
        Some(code) => Word::Code(code.to_owned()),
        None => own_code(entry, refusal, wanted).map_or_else(usual, |it| Word::Code(it.to_owned())),
    }
}

/// The entry's code of that meaning, the one that speaks most of what happened if there are several.
fn own_code(entry: &Entry, refusal: Refusal, wanted: Meaning) -> Option<&str> {
    let (wanted, words): (Meaning, &[&str]) = match refusal {
        Refusal::ExpiredToken => {
            let expired = Verdict::Grant(InvalidationReason::RefreshTokenExpired);
            let has_one = own(&entry.errors, Meaning::of(expired)).is_some();
            let exact = if has_one {
                Meaning::of(expired)
            } else {
                wanted
            };
            (exact, &["expired", "refresh_token"])
        }
        Refusal::ReusedToken => (wanted, &["reused", "refresh_token"]),
        Refusal::RevokedToken => (wanted, &["revoked", "invalidated", "refresh_token"]),
        Refusal::WrongSecret => (wanted, &["secret"]),
        Refusal::UnknownClient => (wanted, &["client_id"]),
        _ => (wanted, &["invalid", "refresh_token"]),
    };
    let codes = entry.errors.iter().filter(|(_, it)| **it == wanted);
    let fit = |code: &str| {
        let code = code.to_ascii_lowercase();
        words.iter().filter(|word| code.contains(**word)).count()
    };
    let best = codes.min_by_key(|(code, _)| Reverse(fit(code)));
    best.map(|(code, _)| code.as_str())
}

/// What the engine is to understand; `None` where a code is looked at as such.
fn meaning_of(refusal: Refusal) -> Option<Meaning> {
    match refusal {
        Refusal::RateLimited => Some(Meaning::of(Verdict::RateLimit)),
        Refusal::UnknownClient => Some(Meaning::of(Verdict::Client)),
        Refusal::AuthorizationPending
        | Refusal::PolledTooSoon
        | Refusal::ExpiredDeviceCode
        | Refusal::DeniedByUser
        | Refusal::UnknownCode
        | Refusal::UsedCode
        | Refusal::OtherRedirectUri
        | Refusal::WrongVerifier => None,
        refusal => rfc(refusal.code()),
    }
}

/// The key that means exactly this.
fn own<K>(table: &BTreeMap<K, Meaning>, wanted: Meaning) -> Option<&K> {
    let mut found = table.iter();
    found
        .find(|(_, meaning)| **meaning == wanted)
        .map(|(key, _)| key)
}
