//! Signatures with a shared secret: HMAC-SHA-256 in hexadecimal digits.

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName};

/// The secrets of a receiver, tried in order, so that one can be changed without a gap.
#[derive(Debug)]
pub(super) struct SigningKeys(Vec<hmac::Key>);

/// A signature as it was sent. Nobody has checked it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature([u8; 32]);

impl SigningKeys {
    pub(super) fn new(secrets: &[&str]) -> Self {
        let key = |secret: &&str| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Self(secrets.iter().map(key).collect())
    }

    /// Whether one of the keys made `signature` of `parts`, put one after the other. The comparison takes the same
    /// time whatever is wrong with it.
    pub(super) fn signed(&self, parts: &[&[u8]], signature: &Signature) -> bool {
        let message = parts.concat();
        let mut keys = self.0.iter();
        keys.any(|key| hmac::verify(key, &message, &signature.0).is_ok())
    }
}

impl Signature {
    /// `prefix` and 64 hexadecimal digits, nothing else.
    pub(super) fn parse(text: &str, prefix: &str) -> Option<Self> {
        let digits = text.strip_prefix(prefix)?.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [digit(pair[0])?, digit(pair[1])?];
            *byte = high << 4 | low;
        }
        Some(Self(bytes))
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// The value of a header that is there once, if it is a text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
