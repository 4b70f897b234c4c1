//! One JSON web key set (RFC 7517 section 5).

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, Header, Validation, decode};
use serde::Deserialize;
use serde_json::Value;

/// No issuer has near as many.
const MAX_KEYS: usize = 100;

/// The keys of an issuer that can verify signatures.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithm: Option<KeyAlgorithm>,
    key: DecodingKey,
}

/// How a token relates to a set.
pub(super) enum Match {
    /// A key of the set signed it; these are its claims.
    Signed(Value),
    /// It names a key of the set, which did not sign it.
    Forged,
    /// No key of the set is known to have signed it.
    Unknown,
}

impl KeySet {
    /// Keys that are not understood are left out, as RFC 7517 section 5 asks. `None`: it is no key set.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(body).ok()?;
        let keys = document.keys.into_iter().filter_map(Key::parse);
        Some(Self(keys.take(MAX_KEYS).collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks for the key that signed `token`.
    pub(super) fn check(&self, header: &Header, token: &str) -> Match {
        let mut named = false;
        for key in self.0.iter().filter(|key| key.fits(header)) {
            named |= key.id.is_some() && key.id == header.kid;
            if let Some(claims) = key.verify(header, token) {
                return Match::Signed(claims);
            }
        }
        match named {
            true => Match::Forged,
            false => Match::Unknown,
        }
    }
}

impl Key {
    fn parse(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let signs = matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        );
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let usable = signs && key.family() != AlgorithmFamily::Hmac;
        usable.then_some(Self {
            id: jwk.common.key_id,
            algorithm: jwk.common.key_algorithm,
            key,
        })
    }

    /// A token without a key id may be of any key of its kind.
    fn fits(&self, header: &Header) -> bool {
        (header.kid.is_none() || header.kid == self.id)
            && self.key.family() == header.alg.family()
            && self
                .algorithm
                .is_none_or(|algorithm| algorithm == KeyAlgorithm::from(header.alg))
    }

    /// The claims, if the signature is of this key. Nothing else of the token is checked.
    fn verify(&self, header: &Header, token: &str) -> Option<Value> {
        let mut signature_alone = Validation::new(header.alg);
        signature_alone.required_spec_claims.clear();
        signature_alone.validate_exp = false;
        signature_alone.validate_aud = false;
        let token = decode::<Value>(token, &self.key, &signature_alone).ok()?;
        token.claims.is_object().then_some(token.claims)
    }
}
