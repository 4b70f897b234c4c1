//! An issuer with keys, and tokens that it signs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evergrant_core::clock::{Clock, Timestamp};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// In seconds since the epoch.
pub(crate) const NOW: i64 = 1_700_000_000;

/// A clock that stands at [`NOW`].
pub(crate) struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW * 1_000)
    }
}

/// An issuer with a key set that a test changes.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) document: Arc<SyncMutex<Value>>,
    fetches: Arc<AtomicUsize>,
}

impl Issuer {
    pub(crate) async fn with(keys: &[Value]) -> Self {
        let document = Arc::new(SyncMutex::new(json!({ "keys": keys })));
        let fetches = Arc::new(AtomicUsize::new(0));
        let (served, counted) = (document.clone(), fetches.clone());
        let answer = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let document = served.lock().unwrap().to_string();
            async move { document }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let served = axum::serve(listener, Router::new().route("/jwks", get(answer)));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(served.into_future());
        Self {
            url,
            document,
            fetches,
        }
    }

    pub(crate) fn has_now(&self, keys: &[Value]) {
        *self.document.lock().unwrap() = json!({ "keys": keys });
    }

    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
    pub(crate) id: &'static str,
}

impl Signer {
    pub(crate) fn ec(id: &'static str) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Self {
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(pkcs8.unwrap().as_ref()),
            id,
        }
    }

    pub(crate) fn ed(id: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        Self {
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_der(pkcs8.as_ref()),
            id,
        }
    }

    pub(crate) fn rsa(id: &'static str, algorithm: Algorithm) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        Self {
            algorithm,
            key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            id,
        }
    }

    pub(crate) fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        encode(&header, claims, &self.key).unwrap()
    }
}
