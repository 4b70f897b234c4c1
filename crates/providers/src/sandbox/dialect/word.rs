//! The word that a provider has for what happened: a code of its entry, or none but a status.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::Verdict;

use crate::catalogue::Entry;
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

/// What a refusal says.
pub(super) enum Word {
    Code(String),
    /// The status says it all.
    Status(u16),
}

impl Word {
    /// The provider's own code for it, if its entry has one; else what its entry says of a status; else the code of the
    /// RFCs, or another one of the same meaning if the provider means something else by it.
    pub(super) fn of(entry: &Entry, refusal: Refusal) -> Self {
        let of_rfc = refusal.code();
        let Some(wanted) = meaning_of(entry, refusal) else {
            return Self::Code(of_rfc.to_owned());
        };
        let has_own_words = is_of_client(refusal)
            || matches!(wanted.verdict, Verdict::Grant(_) | Verdict::RateLimit);
        if has_own_words {
            if let Some(code) = own_code(entry, refusal, wanted) {
                return Self::Code(code.to_owned());
            }
            if let Some(status) = keys(&entry.uncoded, wanted).next() {
                return Self::Status(*status);
            }
        }
        let means = |code: &str| entry.errors.get(code).copied().or_else(|| rfc(code));
        let same = |code: &&str| means(code).is_some_and(|it| it.verdict == wanted.verdict);
        let usual = [of_rfc].into_iter().chain(OTHERS).find(same);
        let code = usual.or_else(|| own_code(entry, refusal, wanted));
        Self::Code(code.unwrap_or(of_rfc).to_owned())
    }
}

/// Whether it is the client that is refused.
pub(super) fn is_of_client(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::UnknownClient | Refusal::WrongSecret | Refusal::BadClientAssertion
    )
}

/// What the engine is to understand; `None` where a code is looked at as such.
fn meaning_of(entry: &Entry, refusal: Refusal) -> Option<Meaning> {
    match refusal {
        Refusal::AuthorizationPending
        | Refusal::PolledTooSoon
        | Refusal::ExpiredDeviceCode
        | Refusal::DeniedByUser
        | Refusal::UnknownCode
        | Refusal::UsedCode
        | Refusal::OtherRedirectUri
        | Refusal::WrongVerifier => None,
        Refusal::RateLimited => Some(Meaning::of(Verdict::RateLimit)),
        Refusal::UnknownClient => Some(Meaning::of(Verdict::Client)),
        Refusal::ExpiredToken => {
            let expired = Verdict::Grant(InvalidationReason::RefreshTokenExpired);
            let expired = Meaning::of(expired);
            let is_told = keys(&entry.errors, expired).next().is_some();
            rfc(refusal.code()).map(|usual| if is_told { expired } else { usual })
        }
        refusal => rfc(refusal.code()),
    }
}

/// The entry's code of that meaning; of several, the one that names best what happened.
fn own_code(entry: &Entry, refusal: Refusal, wanted: Meaning) -> Option<&str> {
    let words: &[&str] = match refusal {
        Refusal::ExpiredToken => &["expired", "refresh_token"],
        Refusal::ReusedToken => &["reused", "refresh_token"],
        Refusal::RevokedToken => &["revoked", "invalidated", "refresh_token"],
        Refusal::WrongSecret => &["secret"],
        Refusal::UnknownClient => &["client_id"],
        _ => &["invalid", "refresh_token"],
    };
    let fit = |code: &str| {
        let code = code.to_ascii_lowercase();
        words.iter().filter(|word| code.contains(**word)).count()
    };
    let codes = keys(&entry.errors, wanted);
    codes
        .map(String::as_str)
        .min_by_key(|code| Reverse(fit(code)))
}

/// The keys that mean exactly this.
fn keys<K>(table: &BTreeMap<K, Meaning>, wanted: Meaning) -> impl Iterator<Item = &K> {
    let found = table.iter().filter(move |(_, meaning)| **meaning == wanted);
    found.map(|(key, _)| key)
}
