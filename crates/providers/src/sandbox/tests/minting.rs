//! Tokens without a user: client credentials, assertions, exchanges.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::*;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const CLIENT: [(&str, &str); 2] = [
    ("client_id", DEFAULT_CLIENT_ID),
    ("client_secret", DEFAULT_CLIENT_SECRET),
];

impl Bench {
    async fn mint(&self, form: &[(&str, &str)]) -> Answer {
        answer(self.http.post(self.sandbox.token_url()).form(form)).await
    }

    /// A key that the sandbox knows as `client`'s.
    fn key_of(&self, client: &str) -> rcgen::KeyPair {
        let pair = rcgen::KeyPair::generate().unwrap();
        let public = pair.public_key_pem();
        self.control.set_client_key(client, &public).unwrap();
        pair
    }

    /// What is true of an assertion that `client` may use now.
    fn claims(&self, client: &str) -> Value {
        let now = self.control.0.state().ledger.now_ms() / 1_000;
        json!({ "iss": client, "sub": client, "aud": self.sandbox.token_url(),
                "iat": now, "exp": now + 60 })
    }
}

fn signed(key: &rcgen::KeyPair, claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
}

#[tokio::test]
async fn client_credentials_bring_an_access_token_alone_and_to_no_public_client() {
    let bench = Bench::start().await;
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "a b"),
        CLIENT[0],
        CLIENT[1],
    ];
    let (status, tokens) = bench.mint(&form).await;
    assert_eq!((status, &tokens["scope"]), (200, &"a b".into()), "{tokens}");
    assert!(tokens.get("refresh_token").is_none());
    assert_eq!(bench.resource(&text(&tokens, "access_token")).await, 200);
    let minted = bench.control.ledger().entries.remove(0);
    let status = bench
        .control
        .grant(minted.family.as_deref().unwrap())
        .unwrap();
    assert_eq!(
        (status.refresh_token, minted.outcome),
        (None, Some(Outcome::Issued))
    );

    bench.control.set_client("public", &[]);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "public"),
    ];
    assert_eq!(bench.mint(&form).await, (400, error("unauthorized_client")));
    bench.stop().await;
}

#[tokio::test]
async fn an_assertion_is_good_once_and_only_if_all_of_it_is_true() {
    let bench = Bench::start().await;
    let key = bench.key_of("robot");
    let mint = async |key: &rcgen::KeyPair, claims: &Value| {
        let assertion = signed(key, claims);
        bench
            .mint(&[("grant_type", JWT_BEARER), ("assertion", &assertion)])
            .await
    };
    let mut claims = bench.claims("robot");
    claims["jti"] = "one".into();
    claims["scope"] = "files".into();
    let (status, tokens) = mint(&key, &claims).await;
    assert_eq!(
        (status, &tokens["scope"]),
        (200, &"files".into()),
        "{tokens}"
    );
    let refused = (400, error("invalid_grant"));
    assert_eq!(mint(&key, &claims).await, refused, "its jti was used");

    for (claim, value) in [
        ("aud", "https://elsewhere.example/token".into()),
        ("exp", 1_000.into()),
        ("exp", Value::Null),
        ("iat", 9_000_000_000_i64.into()),
        ("sub", Value::Null),
        ("iss", "nobody".into()),
    ] {
        let mut wrong = bench.claims("robot");
        match value {
            Value::Null => drop(wrong.as_object_mut().unwrap().remove(claim)),
            value => wrong[claim] = value,
        }
        assert_eq!(mint(&key, &wrong).await, refused, "{claim}");
    }
    let foreign = rcgen::KeyPair::generate().unwrap();
    assert_eq!(mint(&foreign, &bench.claims("robot")).await, refused);
    assert_eq!(mint(&key, &bench.claims("robot")).await.0, 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_client_may_prove_itself_with_its_key_in_place_of_a_secret() {
    let bench = Bench::start().await;
    let key = bench.key_of("robot");
    let kind = ("client_assertion_type", call::ASSERTION_TYPE);
    let grant_type = ("grant_type", "client_credentials");
    let good = signed(&key, &bench.claims("robot"));
    let form = [grant_type, kind, ("client_assertion", &good)];
    assert_eq!(bench.mint(&form).await.0, 200);

    let mut claims = bench.claims("robot");
    claims["sub"] = "another".into();
    let wrong = signed(&key, &claims);
    let form = [grant_type, kind, ("client_assertion", &wrong)];
    assert_eq!(bench.mint(&form).await, (401, error("invalid_client")));
    let form = [grant_type, ("client_id", "robot")];
    assert_eq!(bench.mint(&form).await, (401, error("invalid_client")));
    let form = [grant_type, kind, ("client_assertion", &good), CLIENT[1]];
    let (status, body) = bench.mint(&form).await;
    assert_eq!((status, &body["error"]), (400, &"invalid_request".into()));
    bench.stop().await;
}

#[tokio::test]
async fn an_exchange_takes_a_good_token_of_the_sandbox_and_gives_no_more_scope() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let subject = grant.access_token.expose();
    let exchange = async |subject: &str, kind: &str, scope: &str| {
        let mut form = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", subject),
            ("subject_token_type", kind),
        ];
        form.extend(CLIENT);
        form.extend((!scope.is_empty()).then_some(("scope", scope)));
        bench.mint(&form).await
    };
    let (status, tokens) = exchange(subject, ACCESS_TOKEN, "read").await;
    assert_eq!(
        (status, &tokens["scope"]),
        (200, &"read".into()),
        "{tokens}"
    );
    assert_eq!(text(&tokens, "issued_token_type"), ACCESS_TOKEN);
    let (_, tokens) = exchange(subject, ACCESS_TOKEN, "").await;
    assert_eq!(tokens["scope"], "read write");

    let wider = exchange(subject, ACCESS_TOKEN, "read admin").await;
    assert_eq!(wider, (400, error("invalid_scope")));
    let other = exchange(subject, "urn:ietf:params:oauth:token-type:jwt", "").await;
    assert_eq!(other, (400, error("invalid_request")));
    bench.control.revoke_grant(&grant.family).unwrap();
    let dead = exchange(subject, ACCESS_TOKEN, "").await;
    assert_eq!(dead, (400, error("invalid_request")));
    bench.stop().await;
}
