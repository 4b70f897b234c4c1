//! Callers that show a JSON web token.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::clock::Clock as _;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://kubernetes.default.svc";
const SUBJECT: &str = "system:serviceaccount:shop:api";

struct Issuer(EncodingKey);

impl Issuer {
    fn new() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Self(EncodingKey::from_ec_der(pkcs8.unwrap().as_ref()))
    }

    fn key_set(&self) -> Vec<u8> {
        let mut jwk = Jwk::from_encoding_key(&self.0, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("k".to_owned());
        json!({ "keys": [jwk] }).to_string().into()
    }

    fn token(&self, claims: &Value) -> MetadataMap {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k".to_owned());
        with(&format!(
            "Bearer {}",
            encode(&header, claims, &self.0).unwrap()
        ))
    }
}

fn claims() -> Value {
    let now = ManualClock::START.as_millis() / 1_000;
    json!({
        "iss": ISSUER, "sub": SUBJECT, "aud": ["evergrant", "other"],
        "iat": now, "nbf": now, "exp": now + 600,
    })
}

fn rule(name: &str, audience: &str, subject: &str, keys: KeySource) -> CallerRule {
    CallerRule {
        name: name.into(),
        identity: Identity::Jwt(JwtRule {
            issuer: ISSUER.to_owned(),
            audience: audience.to_owned(),
            subject: subject.to_owned(),
            keys,
        }),
        tenants: None,
        allow: vec![Permission::TokenGet],
        rate: None,
    }
}

fn callers(issuer: &Issuer) -> (Callers, Arc<ManualClock>) {
    let keys = KeySource::File("jwks.json".into(), issuer.key_set().into());
    let rules = vec![
        rule("api", "evergrant", SUBJECT, keys.clone()),
        rule(
            "batch",
            "evergrant",
            "system:serviceaccount:shop:batch",
            keys.clone(),
        ),
        rule("staging", "staging", SUBJECT, keys),
    ];
    let clock = ManualClock::new();
    (Callers::new(rules, 1, clock.clone()).unwrap(), clock)
}

#[tokio::test]
async fn a_token_names_the_caller_with_its_issuer_audience_and_subject() {
    let issuer = Issuer::new();
    let (callers, _) = callers(&issuer);
    let mut batch = claims();
    batch["sub"] = json!("system:serviceaccount:shop:batch");
    let mut staging = claims();
    staging["aud"] = json!("staging");
    for (claims, name) in [(claims(), "api"), (batch, "batch"), (staging, "staging")] {
        let token = issuer.token(&claims);
        // The second time it is believed without its signature being checked.
        for _ in 0..2 {
            let caller = callers.recognise(&token, None).await.unwrap();
            assert_eq!(caller.name(), Some(name));
        }
    }
}

#[tokio::test]
async fn a_token_that_is_not_believed_is_told_why_and_never_shown() {
    let issuer = Issuer::new();
    let (callers, _) = callers(&issuer);
    let now = ManualClock::START.as_millis() / 1_000;
    for (claim, value, why) in [
        ("iss", json!("https://evil.example"), "issuer"),
        ("aud", json!("someone-else"), "aud"),
        ("aud", Value::Null, "aud"),
        ("sub", json!("system:serviceaccount:shop:other"), "sub"),
        ("exp", json!(now - 11), "exp"),
        ("exp", Value::Null, "exp"),
        ("nbf", json!(now + 11), "nbf"),
    ] {
        let mut claims = claims();
        claims[claim] = value;
        let token = issuer.token(&claims);
        let error = callers.recognise(&token, None).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::Unauthenticated, "{claim}");
        let message = error.message();
        assert!(message.contains(why), "{claim}: {message}");
        let shown = token.get("authorization").unwrap().to_str().unwrap();
        let parts = shown.trim_start_matches("Bearer ").split('.');
        assert!(parts.into_iter().all(|part| !message.contains(part)));
    }
    let forged = Issuer::new().token(&claims());
    let error = callers.recognise(&forged, None).await.unwrap_err();
    assert!(error.message().contains("signature"), "{}", error.message());
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let unsigned = format!("{}.{}.", part(json!({ "alg": "none" })), part(claims()));
    for odd in [unsigned.as_str(), "a.b.c", ".."] {
        let error = callers
            .recognise(&with(&format!("Bearer {odd}")), None)
            .await;
        assert_eq!(error.unwrap_err().reason(), ErrorReason::Unauthenticated);
    }
}

#[tokio::test(start_paused = true)]
async fn a_believed_token_is_not_believed_after_its_end() {
    let issuer = Issuer::new();
    let (callers, clock) = callers(&issuer);
    let token = issuer.token(&claims());
    let caller = callers.recognise(&token, None).await.unwrap();
    let left = callers.time_left(&caller).unwrap();
    assert_eq!(left, Duration::from_secs(610), "with ten seconds' grace");
    clock.shift(left);
    assert_eq!(callers.time_left(&caller), Some(Duration::ZERO));
    let error = callers.recognise(&token, None).await.unwrap_err();
    assert!(error.message().contains("exp"), "{}", error.message());
    let error = callers.again(&caller).unwrap_err();
    assert_eq!(error.message(), "the token has expired");
    assert!(clock.now() > ManualClock::START);
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_say_nothing_of_a_token() {
    let issuer = Issuer::new();
    // Nobody listens there.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr();
    let url = format!("http://{}/keys", nowhere.unwrap());
    let away = KeySource::Url(url, KeyAccess::default());
    let rules = vec![rule("api", "evergrant", SUBJECT, away)];
    let callers = Callers::new(rules, 1, ManualClock::new()).unwrap();
    let error = callers.recognise(&issuer.token(&claims()), None).await;
    let error = error.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::IssuerUnavailable);
    assert_eq!(error.code(), tonic::Code::Unavailable);
    assert!(error.wait().is_some());
}
