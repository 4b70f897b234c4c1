//! Private keys made for one test, and what they signed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::Value;

/// A key pair in PEM.
pub struct Keys {
    pub private: String,
    public: String,
}

impl Keys {
    /// An RSA key, the same each time, since it takes long to make one.
    pub fn rsa() -> &'static Self {
        static KEYS: LazyLock<Keys> = LazyLock::new(Keys::new_rsa);
        &KEYS
    }

    fn new_rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = AsDer::as_der(&pair).unwrap();
        let private = pem("PRIVATE KEY", private.as_ref());
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            private,
            public: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    /// A key on P-256, or on P-384.
    pub fn elliptic(algorithm: Algorithm) -> Self {
        let curve = match algorithm {
            Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::generate(curve).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            private: pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()),
            public: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    /// Header and claims of a token that this key signed.
    pub fn verify(&self, algorithm: Algorithm, token: &str) -> (Header, BTreeMap<String, Value>) {
        let public = self.public.as_bytes();
        let key = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => DecodingKey::from_rsa_pem(public),
            _ => DecodingKey::from_ec_pem(public),
        };
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = decode(token, &key.unwrap(), &validation).unwrap().claims;
        (decode_header(token).unwrap(), claims)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
