//! Signed assertions, read strictly: what grants are asked for with, and what clients prove themselves with (RFC 7523).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::kept::Kept;
use super::token::{Digest, sha256};

/// How far the clock of a client may be ahead, in seconds.
const LEEWAY: i64 = 60;

/// What a registered client signs with.
pub(super) struct PublicKey {
    key: DecodingKey,
    algorithms: &'static [Algorithm],
}

impl PublicKey {
    /// Reads a public key in PEM, RSA or elliptic; `None` if it is neither.
    pub(super) fn read(pem: &str) -> Option<Self> {
        let rsa = DecodingKey::from_rsa_pem(pem.as_bytes());
        let rsa = rsa.map(|key| (key, &[Algorithm::RS256, Algorithm::PS256][..]));
        let elliptic = || DecodingKey::from_ec_pem(pem.as_bytes());
        let either =
            rsa.or_else(|_| elliptic().map(|key| (key, &[Algorithm::ES256, Algorithm::ES384][..])));
        let (key, algorithms) = either.ok()?;
        Some(Self { key, algorithms })
    }
}

/// What an assertion must say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    /// One of them must be among `aud`; anything will do if there are none.
    pub(super) audiences: Vec<String>,
    /// Claims that must be there, besides `iss`, `aud` and `exp`.
    pub(super) claims: Vec<String>,
}

const MOST_REPLAYS: usize = 100_000;

/// The identifiers of assertions that were used and have not ended.
pub(super) struct Replays(Kept<Digest, ()>);

impl Default for Replays {
    fn default() -> Self {
        Self(Kept::at_most(MOST_REPLAYS))
    }
}

/// An assertion whose signature has not been looked at.
pub(super) struct Assertion<'a> {
    token: &'a str,
    claims: Map<String, Value>,
}

impl<'a> Assertion<'a> {
    /// Reads its claims; `None` if it is no JSON web token.
    pub(super) fn read(token: &'a str) -> Option<Self> {
        let mut parts = token.split('.');
        let claims = parts.nth(1)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims = serde_json::from_slice(&claims).ok()?;
        (parts.count() == 1).then_some(Self { token, claims })
    }

    /// A claim that is a text.
    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// Who signed it, as it says.
    pub(super) fn issuer(&self) -> &str {
        self.text("iss").unwrap_or_default()
    }

    /// Whether it is signed with `key`, says what is wanted at `now`, in seconds since the epoch, and is used for the
    /// first time if it has an identifier (RFC 7523 section 3).
    pub(super) fn holds(
        &self,
        key: &PublicKey,
        wanted: &Wanted,
        now: i64,
        replays: &mut Replays,
    ) -> bool {
        let Ok(header) = decode_header(self.token) else {
            return false;
        };
        if !key.algorithms.contains(&header.alg) {
            return false;
        }
        let mut signature_alone = Validation::new(header.alg);
        signature_alone.required_spec_claims.clear();
        signature_alone.validate_exp = false;
        signature_alone.validate_aud = false;
        if decode::<Value>(self.token, &key.key, &signature_alone).is_err() {
            return false;
        }
        let number = |claim: &str| self.claims.get(claim).map(Value::as_i64);
        let exp = number("exp").flatten().unwrap_or(now);
        let in_time = exp > now
            && [number("nbf"), number("iat")]
                .into_iter()
                .flatten()
                .all(|at| at.is_some_and(|at| at <= now + LEEWAY));
        let says = |claim: &String| self.claims.get(claim).is_some_and(|it| it != "");
        in_time
            && self.is_for(&wanted.audiences)
            && wanted.claims.iter().all(says)
            && self.is_new(replays, exp.saturating_sub(now))
    }

    fn is_for(&self, audiences: &[String]) -> bool {
        let of = |value: &Value| {
            let value = value.as_str().unwrap_or_default();
            !value.is_empty() && (audiences.is_empty() || audiences.iter().any(|it| it == value))
        };
        match self.claims.get("aud") {
            Some(Value::Array(several)) => several.iter().any(of),
            Some(one) => of(one),
            None => false,
        }
    }

    /// `ends_in` is in seconds.
    fn is_new(&self, Replays(used): &mut Replays, ends_in: i64) -> bool {
        let Some(id) = self.claims.get("jti") else {
            return true;
        };
        let digest = sha256(&format!("{} {id}", self.issuer()));
        if used.contains(&digest) {
            return false;
        }
        let (now, left) = (Instant::now(), Duration::from_secs(ends_in.unsigned_abs()));
        used.insert(digest, (), now.checked_add(left), now);
        true
    }
}
