//! Assertions: JSON web tokens that are signed with a client's or a grant's private key (RFC 7523).

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::clock::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::catalogue::{AssertionFacts, SigningAlgorithm};
use crate::placeholders::Placeholders;
use crate::request::{Inexpressible, fill};

/// A private key, and what its file says besides.
pub(crate) struct SigningKey {
    pem: SecretString,
    fields: BTreeMap<String, String>,
}

impl SigningKey {
    /// Reads PEM, or the JSON of a service-account file, whose `private_key` is PEM.
    pub(crate) fn read(text: &str) -> Self {
        let file: BTreeMap<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let mut fields: BTreeMap<String, String> = file
            .into_iter()
            .filter_map(|(name, value)| match value {
                Value::String(text) => Some((name, text)),
                _ => None,
            })
            .collect();
        let pem = fields.remove("private_key");
        Self {
            pem: pem.unwrap_or_else(|| text.to_owned()).into(),
            fields,
        }
    }

    /// Whether it is a key that can sign so.
    pub(crate) fn fits(&self, algorithm: SigningAlgorithm) -> bool {
        let (algorithm, key) = self.for_algorithm(algorithm);
        let claims: Map<String, Value> = Map::new();
        let signed =
            key.and_then(|key| jsonwebtoken::encode(&Header::new(algorithm), &claims, &key));
        signed.is_ok()
    }

    fn for_algorithm(
        &self,
        algorithm: SigningAlgorithm,
    ) -> (Algorithm, jsonwebtoken::errors::Result<EncodingKey>) {
        let rsa = || EncodingKey::from_rsa_pem(self.pem.expose_secret().as_bytes());
        let elliptic = || EncodingKey::from_ec_pem(self.pem.expose_secret().as_bytes());
        match algorithm {
            SigningAlgorithm::Rs256 => (Algorithm::RS256, rsa()),
            SigningAlgorithm::Ps256 => (Algorithm::PS256, rsa()),
            SigningAlgorithm::Es256 => (Algorithm::ES256, elliptic()),
            SigningAlgorithm::Es384 => (Algorithm::ES384, elliptic()),
        }
    }

    /// What the file says besides the key, e.g. `client_email`; nothing for bare PEM.
    pub(crate) fn fields(&self) -> &BTreeMap<String, String> {
        &self.fields
    }
}

/// The assertion that `facts` describe, made `now`. `table` is where the facts stand in the entry.
pub(crate) fn sign(
    table: &'static str,
    facts: &AssertionFacts,
    key: Option<&SigningKey>,
    placeholders: &Placeholders<'_>,
    now: Timestamp,
) -> Result<String, Inexpressible> {
    let refused = |why: String| Inexpressible::Signature { field: table, why };
    let key = key.ok_or_else(|| refused("needs a private key, and there is none".to_owned()))?;
    let (algorithm, key) = key.for_algorithm(facts.algorithm);
    // What the library says may quote the key.
    let unfit = || {
        refused(format!(
            "needs a private key in PEM that fits {algorithm:?}"
        ))
    };
    let key = key.map_err(|_| unfit())?;

    let issued_at = now.as_millis().div_euclid(1_000);
    let lifetime = i64::try_from(facts.lifetime.as_secs()).unwrap_or(i64::MAX);
    let mut claims = Map::new();
    claims.insert("iat".to_owned(), issued_at.into());
    claims.insert("exp".to_owned(), issued_at.saturating_add(lifetime).into());
    for (claim, text) in &facts.claims {
        if let Some(text) = fill(text, placeholders)? {
            claims.insert(claim.clone(), text.into());
        }
    }
    let mut header = Header::new(algorithm);
    header.kid = fill(&facts.key_id, placeholders)?;
    jsonwebtoken::encode(&header, &claims, &key).map_err(|_| unfit())
}

/// A text that no two assertions share: 128 random bits.
pub(crate) fn random_id() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system's random source works");
    URL_SAFE_NO_PAD.encode(bytes)
}
