//! Whom an event is about: subject identifiers (RFC 9493), their forms before that RFC, and OAuth tokens.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use evergrant_core::report::Subject;
use serde_json::Value;

/// Identifiers in identifiers.
const DEEPEST: usize = 4;
const PREFIX_CHARS: usize = 16;

/// Whom `subject` names in a way that credentials can: an account of `issuer`, or a refresh token. An email address or
/// a telephone number is not enough, since both can be given to somebody else.
pub(super) fn read(subject: &Value, issuer: &str) -> Vec<Subject> {
    let mut found = Vec::new();
    collect(subject, issuer, DEEPEST, &mut found);
    found
}

/// Whom the `sub` of a token names, which is the issuer's own.
pub(super) fn of_sub(sub: &Value) -> Vec<Subject> {
    account(sub).into_iter().collect()
}

fn collect(subject: &Value, issuer: &str, depth: usize, found: &mut Vec<Subject>) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    let format = subject["format"].as_str();
    let format = format.or_else(|| subject["subject_type"].as_str());
    let format = format.unwrap_or_default().replace('-', "_");
    match format.as_str() {
        "iss_sub" | "id_token_claims" if is_of(&subject["iss"], issuer) => {
            found.extend(account(&subject["sub"]));
        }
        "opaque" => found.extend(account(&subject["id"])),
        "oauth_token" | "token" => found.extend(refresh_token(subject)),
        "aliases" => {
            for alias in subject["identifiers"].as_array().into_iter().flatten() {
                collect(alias, issuer, depth, found);
            }
        }
        // A complex subject: the user in it (CAEP 1.0 section 2).
        "complex" | "" => collect(&subject["user"], issuer, depth, found),
        _ => {}
    }
}

/// Google writes its own name with a slash at the end and without.
fn is_of(iss: &Value, issuer: &str) -> bool {
    let bare = |name: &str| name.trim_end_matches('/').to_owned();
    iss.as_str().is_some_and(|iss| bare(iss) == bare(issuer))
}

fn account(id: &Value) -> Option<Subject> {
    let id = id.as_str().filter(|id| !id.is_empty());
    id.map(|id| Subject::Account(id.to_owned()))
}

/// OAuth Event Types 1.0 section 2, with the algorithms that Google names.
fn refresh_token(subject: &Value) -> Option<Subject> {
    if subject["token_type"].as_str()? != "refresh_token" {
        return None;
    }
    let token = subject["token"].as_str()?;
    match subject["token_identifier_alg"].as_str()? {
        "prefix" if token.chars().count() == PREFIX_CHARS => {
            Some(Subject::refresh_token_prefix(token))
        }
        "hash_base64_sha512_sha512" | "hash_SHA512_double" => {
            let hash = base64(token).or_else(|| hexadecimal(token))?;
            Some(Subject::RefreshTokenHash(hash.try_into().ok()?))
        }
        _ => None,
    }
}

/// In either alphabet, padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let is_hash = |bytes: &Vec<u8>| bytes.len() == 64;
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
        .filter(is_hash)
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() {
        return None;
    }
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let pairs = digits.as_ref()?.chunks(2);
    pairs
        .map(|pair| u8::try_from(pair.first()? << 4 | pair.get(1)?).ok())
        .collect()
}

#[cfg(test)]
mod tests;
