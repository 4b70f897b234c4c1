use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use evergrant_core::clock::Clock;
use evergrant_core::report::Subject;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::*;

const NOW: i64 = 1_700_000_000;
const ISSUER: &str = "https://issuer.example";
const REVOKED: &str = "https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        now()
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW * 1_000)
}

/// An issuer that serves its key, and a receiver of its tokens.
struct Scene {
    pair: KeyPair,
    key: EncodingKey,
    events: SecurityEvents,
}

fn encoding_key(pair: &KeyPair) -> EncodingKey {
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

impl Scene {
    async fn new() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let key = encoding_key(&pair);
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
        jwk.common.key_id = Some("k1".into());
        let keys = json!({ "keys": [jwk] }).to_string();
        let answer = move || std::future::ready(keys.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let jwks_url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let served = axum::serve(listener, Router::new().route("/jwks", get(answer)));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(served.into_future());
        let events = receiver(&jwks_url, "secevent+jwt");
        Self { pair, key, events }
    }

    fn sign_with(&self, typ: &str, kid: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(kid.into());
        header.typ = Some(typ.into());
        encode(&header, claims, &self.key).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with("secevent+jwt", "k1", claims)
    }

    async fn read(&self, token: &str) -> Result<Said, Answer> {
        self.events.read(token.as_bytes(), now()).await
    }

    async fn said(&self, claims: &Value) -> Result<Said, Answer> {
        self.read(&self.sign(claims)).await
    }

    async fn code(&self, token: &str) -> &'static str {
        match self.read(token).await {
            Err(Answer::Forged(forged)) => forged.code,
            Err(Answer::Malformed(_)) => "invalid_request",
            other => panic!("{other:?}"),
        }
    }
}

fn receiver(jwks_url: &str, typ: &str) -> SecurityEvents {
    let issuer = SetIssuer {
        issuer: ISSUER.into(),
        audience: vec!["client-1".into(), "client-2".into()],
        jwks_url: jwks_url.into(),
        typ: typ.into(),
    };
    SecurityEvents::new(issuer, Arc::new(KeySets::new(Arc::new(Fixed)).unwrap()))
}

fn subject(sub: &str) -> Value {
    json!({ "subject": { "subject_type": "iss-sub", "iss": ISSUER, "sub": sub } })
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "client-1", "iat": NOW - 5, "jti": "756E",
        "events": { REVOKED: subject("alice") } })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn death(event: &'static str, reason: InvalidationReason, accounts: &[&str]) -> Said {
    let accounts = accounts.iter().map(|account| (*account).to_owned());
    Said::Died(Death {
        id: "756E".into(),
        event,
        reason,
        subjects: accounts.map(Subject::Account).collect(),
        happened_at: Some(Timestamp::from_millis((NOW - 5) * 1_000)),
    })
}

fn revoked(accounts: &[&str]) -> Said {
    death("tokens-revoked", InvalidationReason::GrantRevoked, accounts)
}

#[tokio::test]
async fn a_token_of_the_issuer_tells_whose_grants_died() {
    let scene = Scene::new().await;
    assert_eq!(scene.said(&claims()).await, Ok(revoked(&["alice"])));
    let several = with("aud", json!(["other", "client-2"]));
    assert_eq!(scene.said(&several).await, Ok(revoked(&["alice"])));
    let line = format!("{}\n", scene.sign(&claims()));
    assert_eq!(scene.read(&line).await, Ok(revoked(&["alice"])));
}

#[tokio::test]
async fn the_subject_may_stand_in_the_event_or_in_the_token() {
    let scene = Scene::new().await;
    let mut claims = with("events", json!({ REVOKED: {} }));
    assert_eq!(scene.said(&claims).await, Ok(Said::Nothing));
    claims["sub"] = json!("alice");
    assert_eq!(scene.said(&claims).await, Ok(revoked(&["alice"])));
    claims["sub_id"] = json!({ "format": "opaque", "id": "bob" });
    assert_eq!(scene.said(&claims).await, Ok(revoked(&["bob"])));
    claims["events"] =
        json!({ REVOKED: { "subject": { "format": "email", "email": "a@x.example" } } });
    assert_eq!(
        scene.said(&claims).await,
        Ok(Said::Nothing),
        "another subject is not meant"
    );
}

#[tokio::test]
async fn several_events_are_one_death_and_a_disabled_account_weighs_more() {
    let scene = Scene::new().await;
    let both = with(
        "events",
        json!({ REVOKED: subject("alice"), DISABLED: subject("bob"), "urn:x": {} }),
    );
    let mut accounts = death(
        "account-disabled",
        InvalidationReason::AccessDenied,
        &["alice", "bob"],
    );
    assert_eq!(scene.said(&both).await, Ok(accounts.clone()));
    let later = with("toe", json!(NOW - 60));
    accounts = revoked(&["alice"]);
    if let Said::Died(death) = &mut accounts {
        death.happened_at = Some(Timestamp::from_millis((NOW - 60) * 1_000));
    }
    assert_eq!(scene.said(&later).await, Ok(accounts));
    let not_yet = with("toe", json!(NOW + 9_999));
    assert_eq!(scene.said(&not_yet).await, Ok(revoked(&["alice"])));
}

#[tokio::test]
async fn verification_and_other_events_end_nothing() {
    let scene = Scene::new().await;
    for kind in ["risc", "ssf"] {
        let uri = format!("https://schemas.openid.net/secevent/{kind}/event-type/verification");
        let claims = with("events", json!({ uri: { "state": "s" } }));
        assert_eq!(scene.said(&claims).await, Ok(Said::Probe("verification")));
    }
    // A logout token has events, too (OpenID Connect Back-Channel Logout 1.0 section 2.4).
    let logout = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    assert_eq!(scene.said(&with("events", logout)).await, Ok(Said::Nothing));
}

#[tokio::test]
async fn claims_that_do_not_fit_are_refused_with_their_code() {
    let scene = Scene::new().await;
    let table = [
        (
            with("iss", json!("https://other.example")),
            "invalid_issuer",
        ),
        (with("iss", Value::Null), "invalid_issuer"),
        (with("aud", json!("client-3")), "invalid_audience"),
        (with("aud", json!([])), "invalid_audience"),
        (with("iat", json!(NOW + 61)), "invalid_request"),
        (with("iat", json!(NOW - 7 * 86_400 - 1)), "invalid_request"),
        (with("iat", Value::Null), "invalid_request"),
        (with("iat", json!("now")), "invalid_request"),
        (with("exp", json!(NOW - 61)), "invalid_request"),
        (with("jti", Value::Null), "invalid_request"),
        (with("jti", json!("")), "invalid_request"),
        (with("events", Value::Null), "invalid_request"),
        (with("events", json!({})), "invalid_request"),
        (with("events", json!([])), "invalid_request"),
    ];
    for (claims, code) in table {
        assert_eq!(scene.code(&scene.sign(&claims)).await, code, "{claims}");
    }
    for iat in [NOW + 59, NOW - 7 * 86_400] {
        assert!(scene.said(&with("iat", json!(iat))).await.is_ok(), "{iat}");
    }
}

#[tokio::test]
async fn a_token_of_another_kind_is_refused_unless_any_is_taken() {
    let scene = Scene::new().await;
    let id_token = scene.sign_with("JWT", "k1", &claims());
    assert_eq!(scene.code(&id_token).await, "invalid_request");
    let full = scene.sign_with("application/secevent+jwt", "k1", &claims());
    assert_eq!(scene.read(&full).await, Ok(revoked(&["alice"])));
    let lenient = receiver(&scene.events.issuer.jwks_url, "");
    let taken = lenient.read(id_token.as_bytes(), now()).await;
    assert_eq!(taken, Ok(revoked(&["alice"])));
}

#[tokio::test]
async fn what_the_issuer_did_not_sign_is_refused() {
    let scene = Scene::new().await;
    let token = scene.sign(&claims());
    let parts: Vec<_> = token.split('.').collect();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = part(&json!({ "alg": "none", "typ": "secevent+jwt", "kid": "k1" }));
    let forged_claims = part(&with("events", json!({ REVOKED: subject("bob") })));

    // The public key as a shared secret, in the forms in which libraries hold it.
    let public: PublicKeyX509Der<'_> = scene.pair.public_key().as_der().unwrap();
    let text = STANDARD.encode(public.as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    let mut header = Header::new(Algorithm::HS256);
    (header.kid, header.typ) = (Some("k1".into()), Some("secevent+jwt".into()));
    let shared = |key: &[u8]| encode(&header, &claims(), &EncodingKey::from_secret(key)).unwrap();

    let table = [
        (format!("{none}.{}.", parts[1]), "invalid_request"),
        (
            format!("{none}.{}.{}", parts[1], parts[2]),
            "invalid_request",
        ),
        (shared(pem.as_bytes()), "invalid_request"),
        (shared(public.as_ref()), "invalid_request"),
        (
            format!("{}.{forged_claims}.{}", parts[0], parts[2]),
            "authentication_failed",
        ),
        (
            format!("{}.{}.", parts[0], parts[1]),
            "authentication_failed",
        ),
        (
            scene.sign_with("secevent+jwt", "k2", &claims()),
            "invalid_key",
        ),
        (String::new(), "invalid_request"),
        ("not a token".into(), "invalid_request"),
        (claims().to_string(), "invalid_request"),
    ];
    for (token, code) in table {
        assert_eq!(scene.code(&token).await, code, "{token}");
    }
    let stranger = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let stranger = Scene {
        key: encoding_key(&stranger),
        pair: stranger,
        events: receiver(&scene.events.issuer.jwks_url, ""),
    };
    assert_eq!(
        scene.code(&stranger.sign(&claims())).await,
        "authentication_failed"
    );
    assert!(scene.events.read(b"\xff\xfe", now()).await.is_err());
}

#[tokio::test]
async fn a_token_that_was_cut_or_altered_anywhere_is_refused() {
    let scene = Scene::new().await;
    let token = scene.sign(&claims());
    for end in 0..token.len() {
        let cut = scene.read(&token[..end]).await;
        let refused = matches!(cut, Err(Answer::Forged(_) | Answer::Malformed(_)));
        assert!(refused, "{end}: {cut:?}");
    }
    // The last character of a part has bits that mean nothing, so it is left alone.
    let ends: Vec<_> = token
        .match_indices('.')
        .map(|(at, _)| at)
        .chain([token.len()])
        .collect();
    for at in (0..token.len())
        .step_by(3)
        .filter(|at| !ends.contains(&(at + 1)) && !ends.contains(at))
    {
        let mut altered = token.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = scene.events.read(&altered, now()).await;
        let refused = matches!(altered, Err(Answer::Forged(_) | Answer::Malformed(_)));
        assert!(refused, "{at}: {altered:?}");
    }
}

#[tokio::test]
async fn without_the_key_set_nothing_is_said_and_it_is_delivered_again() {
    let scene = Scene::new().await;
    let nowhere = receiver("http://127.0.0.1:9/jwks", "secevent+jwt");
    let token = scene.sign(&claims());
    let said = nowhere.read(token.as_bytes(), now()).await;
    assert!(matches!(said, Err(Answer::Unavailable(_))), "{said:?}");
}
