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
pub(super) enum Word<'e> {
    Code {
        code: &'e str,
        /// What the description must hold for the code to mean this.
        words: Option<&'e str>,
    },
    /// The status says it all.
    Status(u16),
}

impl<'e> Word<'e> {
    /// Where it is the code of a consent that is refused, the provider's word that names what is wrong with it, whatever that
    /// means. Else the provider's own code of what it is to mean, if its entry has one; else what its entry says of a status; else the code of the
    /// RFCs, or another one of the same meaning if the provider means something else by it.
    pub(super) fn of(entry: &'e Entry, refusal: Refusal) -> Self {
        let of_rfc = refusal.code();
        let Some(wanted) = meaning_of(entry, refusal) else {
            return Self::by_name(entry, refusal).unwrap_or(Self::alone(of_rfc));
        };
        let has_own_words = is_of_client(refusal)
            || matches!(wanted.verdict, Verdict::Grant(_) | Verdict::RateLimit);
        if has_own_words {
            if let Some((code, words)) = own_code(entry, refusal, wanted) {
                return Self::Code { code, words };
            }
            if let Some(status) = keys(&entry.uncoded, wanted).next() {
                return Self::Status(*status);
            }
        }
        let means = |code: &str| entry.errors.get(code).copied().or_else(|| rfc(code));
        let same = |code: &&str| means(code).is_some_and(|it| it.verdict == wanted.verdict);
        let usual = [of_rfc].into_iter().chain(OTHERS).find(same);
        let own =
            || own_code(entry, refusal, wanted).map(|(code, words)| Self::Code { code, words });
        let said = usual.map(Self::alone).or_else(own);
        said.unwrap_or(Self::alone(of_rfc))
    }

    fn by_name(entry: &'e Entry, refusal: Refusal) -> Option<Self> {
        let named = match refusal {
            Refusal::UnknownCode | Refusal::UsedCode | Refusal::ExpiredCode => "code",
            Refusal::OtherRedirectUri => "redirect",
            Refusal::WrongVerifier => "verifier",
            _ => return None,
        };
        let names = |text: &str| {
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
            words.any(|word| word.eq_ignore_ascii_case(named))
        };
        let described = entry.described.iter().flat_map(|(code, bound)| {
            let words = bound.iter().map(|one| Some(one.words.as_str()));
            words.map(move |words| (code.as_str(), words))
        });
        let alone = entry.errors.keys().map(|code| (code.as_str(), None));
        let mut all = described.chain(alone);
        let found = all.find(|(code, words)| names(words.unwrap_or(code)));
        found.map(|(code, words)| Self::Code { code, words })
    }

    fn alone(code: &'e str) -> Self {
        Self::Code { code, words: None }
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
        | Refusal::ExpiredCode
        | Refusal::OtherRedirectUri
        | Refusal::WrongVerifier => None,
        Refusal::RateLimited => Some(Meaning::of(Verdict::RateLimit)),
        Refusal::UnknownClient => Some(Meaning::of(Verdict::Client)),
        Refusal::ExpiredToken => {
            let expired = Verdict::Grant(InvalidationReason::RefreshTokenExpired);
            let expired = Meaning::of(expired);
            let is_told = codes(entry, expired).next().is_some();
            rfc(refusal.code()).map(|usual| if is_told { expired } else { usual })
        }
        refusal => rfc(refusal.code()),
    }
}

/// The entry's code of that meaning, with the words that it is bound to; of several, the one that names best what happened.
fn own_code(entry: &Entry, refusal: Refusal, wanted: Meaning) -> Option<(&str, Option<&str>)> {
    let words: &[&str] = match refusal {
        Refusal::ExpiredToken => &["expired", "refresh_token"],
        Refusal::ReusedToken => &["reused", "refresh_token"],
        Refusal::RevokedToken => &["revoked", "invalidated", "refresh_token"],
        Refusal::WrongSecret => &["secret"],
        Refusal::UnknownClient => &["client_id"],
        _ => &["invalid", "refresh_token"],
    };
    let fit = |text: &str| {
        let text = text.to_ascii_lowercase();
        words.iter().filter(|word| text.contains(**word)).count()
    };
    codes(entry, wanted).min_by_key(|(code, words)| Reverse(fit(words.unwrap_or(code))))
}

/// The codes that mean exactly this, by themselves or beside certain words.
fn codes(entry: &Entry, wanted: Meaning) -> impl Iterator<Item = (&str, Option<&str>)> {
    let alone = keys(&entry.errors, wanted).map(|code| (code.as_str(), None));
    let described = entry.described.iter().flat_map(move |(code, bound)| {
        let bound = bound.iter().filter(move |one| one.meaning == wanted);
        bound.map(move |one| (code.as_str(), Some(one.words.as_str())))
    });
    alone.chain(described)
}

/// The keys that mean exactly this.
fn keys<K>(table: &BTreeMap<K, Meaning>, wanted: Meaning) -> impl Iterator<Item = &K> {
    let found = table.iter().filter(move |(_, meaning)| **meaning == wanted);
    found.map(|(key, _)| key)
}
