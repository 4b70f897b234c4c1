//! An issuer of security event tokens, with an RSA key of its own and a server for its key set.

use anyhow::Result;
use aws_lc_rs::digest::{SHA512, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::background::background;

const KEY_ID: &str = "k1";

/// An issuer. Its server ends when it is dropped.
pub struct Issuer {
    pair: KeyPair,
    jwks_url: String,
    server: JoinHandle<std::io::Result<()>>,
}

impl Issuer {
    /// Makes a key and serves its public half.
    pub async fn start() -> Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let public = pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let n = number(public.modulus().big_endian_without_leading_zero());
        let e = number(public.exponent().big_endian_without_leading_zero());
        let key =
            json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": n, "e": e });
        let keys = json!({ "keys": [key] }).to_string();
        let router = Router::new().route("/jwks", get(async || keys));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let jwks_url = format!("http://{}/jwks", listener.local_addr()?);
        let server = background(axum::serve(listener, router).into_future());
        Ok(Self {
            pair,
            jwks_url,
            server,
        })
    }

    /// What `iss` says.
    pub fn name(&self) -> &'static str {
        "https://issuer.example/"
    }

    /// Where the key set is.
    pub fn jwks_url(&self) -> String {
        self.jwks_url.clone()
    }

    /// A security event token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "RS256", "kid": KEY_ID, "typ": "secevent+jwt" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .expect("the room is of the key's size");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Google's `hash_base64_sha512_sha512`.
pub fn sha512_twice(token: &str) -> String {
    let once = digest(&SHA512, token.as_bytes());
    STANDARD.encode(digest(&SHA512, once.as_ref()))
}
