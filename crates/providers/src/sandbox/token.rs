//! Tokens of the sandbox: made at random, kept as digests, shown as fingerprints.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// SHA-256 of a token or client secret: what the sandbox keeps in its place.
pub(super) type Digest = [u8; 32];

pub(super) fn sha256(secret: &str) -> Digest {
    digest(&SHA256, secret.as_bytes())
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// Names a token without telling it: the first 16 hexadecimal digits of its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of `token`.
    pub fn of(token: &str) -> Self {
        let head = &sha256(token)[..8];
        Self(head.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A new token of 256 random bits behind `prefix`, which tells a reader what it is.
pub(super) fn random(prefix: &str) -> String {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_head_of_the_sha256() {
        assert_eq!(Fingerprint::of("abc").as_str(), "ba7816bf8f01cfea");
    }

    #[test]
    fn random_tokens_differ_and_bear_their_prefix() {
        let token = random("sbx_at_");
        assert!(token.starts_with("sbx_at_") && token.len() == 50);
        assert_ne!(token, random("sbx_at_"));
    }
}
