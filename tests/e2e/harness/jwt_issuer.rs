//! An issuer of JSON web tokens, as a Kubernetes API server is one: a discovery document, keys, tokens.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::background::background;
use super::caller::in_seconds;

/// A running issuer. It ends when dropped.
pub struct JwtIssuer {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<Value>>>,
    is_away: Arc<AtomicBool>,
    server: JoinHandle<()>,
}

/// A key of an issuer.
pub struct SigningKey {
    id: &'static str,
    key: EncodingKey,
}

impl SigningKey {
    /// A new key.
    pub fn new(id: &'static str) -> Result<Self> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        Ok(Self { id, key })
    }

    fn public(&self) -> Result<Value> {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256)?;
        jwk.common.key_id = Some(self.id.to_owned());
        Ok(serde_json::to_value(jwk)?)
    }
}

impl JwtIssuer {
    /// Starts an issuer that has these keys.
    pub async fn start(keys: &[&SigningKey]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let url = format!("http://{address}");
        let served = Arc::<Mutex<Vec<Value>>>::default();
        let is_away = Arc::<AtomicBool>::default();
        let answer = |is_away: &AtomicBool, body: Value| match is_away.load(Ordering::SeqCst) {
            true => Err(StatusCode::BAD_GATEWAY),
            false => Ok(Json(body)),
        };
        let document = json!({ "issuer": url, "jwks_uri": format!("{url}/openid/v1/jwks") });
        let (away, keys_away) = (Arc::clone(&is_away), Arc::clone(&is_away));
        let current = Arc::clone(&served);
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || answer(&away, document)),
            )
            .route(
                "/openid/v1/jwks",
                get(async move || {
                    let keys = current.lock().unwrap_or_else(PoisonError::into_inner);
                    answer(&keys_away, json!({ "keys": *keys }))
                }),
            );
        let server = background(async move {
            axum::serve(listener, router)
                .await
                .expect("a listener that was bound serves");
        });
        let issuer = Self {
            address,
            keys: served,
            is_away,
            server,
        };
        issuer.has_now(keys)?;
        Ok(issuer)
    }

    /// Its name.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces its keys.
    pub fn has_now(&self, keys: &[&SigningKey]) -> Result<()> {
        let keys = keys.iter().map(|key| key.public());
        let keys = keys.collect::<Result<Vec<_>>>()?;
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// From now on it answers nothing of use, or everything again.
    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// A token of `subject` for `audience` that ends so many seconds from now.
    pub fn token(
        &self,
        key: &SigningKey,
        subject: &str,
        audience: &str,
        seconds: i64,
    ) -> Result<String> {
        let claims = json!({
            "iss": self.url(),
            "sub": subject,
            "aud": [audience],
            "exp": in_seconds(seconds).seconds,
        });
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(key.id.to_owned());
        Ok(encode(&header, &claims, &key.key)?)
    }
}

impl Drop for JwtIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}
