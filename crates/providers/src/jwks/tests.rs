use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, encode};
use serde_json::{Value, json};

use super::sample::{Fixed, Issuer, NOW, Signer};
use super::*;

const ISSUER: &str = "https://issuer.example";
const EXPECT: Expect<'_> = Expect {
    issuers: &[ISSUER],
    audiences: &["client-1"],
    expiry: Expiry::Required,
    leeway: LEEWAY,
    nonce: None,
    typ: None,
};

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "client-1", "sub": "u1", "iat": NOW, "exp": NOW + 60 })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn key_sets() -> KeySets {
    KeySets::new(Arc::new(Fixed)).unwrap()
}

async fn pass_time(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_token_of_every_asymmetric_kind_is_verified() {
    let signers = [
        Signer::ec("ec"),
        Signer::ed("ed"),
        Signer::rsa("rs", Algorithm::RS256),
        Signer::rsa("ps", Algorithm::PS384),
    ];
    let issuer = Issuer::with(&signers.each_ref().map(Signer::public)).await;
    let sets = key_sets();
    for signer in &signers {
        let token = signer.sign(&claims());
        let read: Value = sets.verify(&issuer.url, &token, &EXPECT).await.unwrap();
        assert_eq!(read["sub"], "u1", "{}", signer.id);
    }
    assert_eq!(issuer.fetches(), 1, "one fetch serves them all");
}

#[tokio::test]
async fn a_changed_token_and_one_of_another_key_are_refused() {
    let [ours, theirs] = [Signer::ec("k"), Signer::ec("k")];
    let issuer = Issuer::with(&[ours.public()]).await;
    let sets = key_sets();
    let token = ours.sign(&claims());
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("a token has three parts");
    };
    let other = URL_SAFE_NO_PAD.encode(with("sub", json!("u2")).to_string());
    let changed = format!("{header}.{other}.{signature}");
    for token in [changed, theirs.sign(&claims())] {
        let refused = sets.verify::<Value>(&issuer.url, &token, &EXPECT).await;
        assert_eq!(refused, Err(VerifyError::Signature));
    }
}

#[tokio::test]
async fn no_signature_and_a_shared_secret_are_refused_without_a_fetch() {
    let signer = Signer::rsa("k", Algorithm::RS256);
    let issuer = Issuer::with(&[signer.public()]).await;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(json!({ "alg": "none" })), part(claims()));
    // The public key taken for a shared secret (RFC 8725 section 2.1).
    let modulus = signer.public()["n"].to_string();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("k".to_owned());
    let shared = EncodingKey::from_secret(modulus.as_bytes());
    let shared = encode(&header, &claims(), &shared).unwrap();
    let mut critical = Header::new(Algorithm::RS256);
    critical.crit = Some(vec!["b64".to_owned()]);
    let critical = encode(&critical, &claims(), &signer.key).unwrap();
    let sets = key_sets();
    for token in [unsigned, shared, critical, "abc".to_owned(), String::new()] {
        let refused = sets.verify::<Value>(&issuer.url, &token, &EXPECT).await;
        assert_eq!(refused, Err(VerifyError::Malformed), "{token}");
    }
    assert_eq!(issuer.fetches(), 0);
}

#[tokio::test]
async fn each_claim_must_be_as_expected() {
    let signer = Signer::ed("k");
    let issuer = Issuer::with(&[signer.public()]).await;
    let sets = key_sets();
    for (claim, value, why) in [
        (
            "iss",
            json!("https://evil.example"),
            "is not the expected one",
        ),
        ("iss", Value::Null, "is not the expected one"),
        ("aud", json!("client-2"), "is not the expected one"),
        ("aud", json!(["client-2"]), "is not the expected one"),
        ("aud", Value::Null, "is not the expected one"),
        ("exp", json!(NOW - 60), "has passed"),
        ("exp", json!("soon"), "is no time"),
        ("exp", Value::Null, "is missing"),
        ("nbf", json!(NOW + 61), "is in the future"),
        ("iat", json!(NOW + 61), "is in the future"),
        ("nonce", json!("other"), "is not the expected one"),
    ] {
        let token = signer.sign(&with(claim, value.clone()));
        let expect = Expect {
            nonce: (claim == "nonce").then_some("n1"),
            ..EXPECT
        };
        let refused = sets.verify::<Value>(&issuer.url, &token, &expect).await;
        let expected = VerifyError::Claim { name: claim, why };
        assert_eq!(refused, Err(expected), "{claim} = {value}");
    }
    for (claim, value) in [
        ("aud", json!(["client-2", "client-1"])),
        ("exp", json!(NOW - 59)),
        ("nbf", json!(NOW + 59)),
        ("exp", json!(NOW as f64 + 0.5)),
    ] {
        let token = signer.sign(&with(claim, value.clone()));
        let passed = sets.verify::<Value>(&issuer.url, &token, &EXPECT).await;
        assert!(passed.is_ok(), "{claim} = {value}: {passed:?}");
    }
}

#[tokio::test]
async fn a_token_of_another_kind_and_a_default_expectation_are_refused() {
    let signer = Signer::ed("k");
    let issuer = Issuer::with(&[signer.public()]).await;
    let sets = key_sets();
    let token = signer.sign(&with("exp", Value::Null));
    let event = Expect {
        expiry: Expiry::Optional,
        typ: Some("secevent+jwt"),
        ..EXPECT
    };
    let refused = sets.verify::<Value>(&issuer.url, &token, &event).await;
    assert!(matches!(
        refused,
        Err(VerifyError::Claim { name: "typ", .. })
    ));

    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some("application/SECEVENT+jwt".to_owned());
    let token = encode(&header, &with("exp", Value::Null), &signer.key).unwrap();
    let passed = sets.verify::<Value>(&issuer.url, &token, &event).await;
    assert!(passed.is_ok(), "{passed:?}");

    let token = signer.sign(&claims());
    let refused = sets
        .verify::<Value>(&issuer.url, &token, &Expect::default())
        .await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn an_issuer_may_hold_a_claim_of_the_token() {
    let signer = Signer::ed("k");
    let issuer = Issuer::with(&[signer.public()]).await;
    let sets = key_sets();
    let expect = Expect {
        issuers: &["https://login.example/{tid}/v2.0"],
        ..EXPECT
    };
    let token = |iss: &str, tid: Value| {
        let mut claims = with("tid", tid);
        claims["iss"] = json!(iss);
        signer.sign(&claims)
    };
    let own = token("https://login.example/t-1/v2.0", json!("t-1"));
    assert!(
        sets.verify::<Value>(&issuer.url, &own, &expect)
            .await
            .is_ok()
    );
    for (iss, tid) in [
        ("https://login.example/t-2/v2.0", json!("t-1")),
        ("https://login.example/a/b/v2.0", json!("a/b")),
        ("https://login.example//v2.0", Value::Null),
    ] {
        let refused = sets
            .verify::<Value>(&issuer.url, &token(iss, tid), &expect)
            .await;
        assert!(refused.is_err(), "{iss}");
    }
}

#[tokio::test]
async fn an_unknown_key_has_the_set_fetched_again_but_not_too_often() {
    let [first, second] = [Signer::ec("k1"), Signer::ec("k2")];
    let issuer = Issuer::with(&[first.public()]).await;
    let sets = key_sets();
    let (old, new) = (first.sign(&claims()), second.sign(&claims()));
    let verify = |token: String| {
        let (sets, url) = (&sets, &issuer.url);
        async move { sets.verify::<Value>(url, &token, &EXPECT).await.map(drop) }
    };
    assert_eq!(verify(old.clone()).await, Ok(()));
    assert_eq!(verify(new.clone()).await, Err(VerifyError::UnknownKey));
    assert_eq!(issuer.fetches(), 1, "the set was fetched a moment ago");

    issuer.has_now(&[second.public()]);
    pass_time(REFETCH).await;
    assert_eq!(verify(new).await, Ok(()));
    assert_eq!(issuer.fetches(), 2);
    for _ in 0..5 {
        assert_eq!(verify(old.clone()).await, Err(VerifyError::UnknownKey));
    }
    assert_eq!(
        issuer.fetches(),
        2,
        "a flood of unknown keys costs no fetches"
    );
}

#[tokio::test]
async fn a_withdrawn_key_is_believed_for_a_quarter_of_an_hour_at_most() {
    let signer = Signer::ec("k1");
    let issuer = Issuer::with(&[signer.public()]).await;
    let sets = key_sets();
    let token = signer.sign(&claims());
    assert!(
        sets.verify::<Value>(&issuer.url, &token, &EXPECT)
            .await
            .is_ok()
    );
    issuer.has_now(&[]);
    assert!(
        sets.verify::<Value>(&issuer.url, &token, &EXPECT)
            .await
            .is_ok()
    );
    pass_time(MAX_AGE).await;
    let refused = sets.verify::<Value>(&issuer.url, &token, &EXPECT).await;
    assert_eq!(refused, Err(VerifyError::UnknownKey));
}

#[tokio::test]
async fn a_set_that_cannot_be_had_says_nothing_of_the_token_and_is_tried_again_later() {
    let signer = Signer::ec("k1");
    let issuer = Issuer::with(&[]).await;
    *issuer.document.lock().unwrap() = json!("no set");
    let sets = key_sets();
    let token = signer.sign(&claims());
    for _ in 0..3 {
        let unknown = sets.verify::<Value>(&issuer.url, &token, &EXPECT).await;
        let host = host(&Url::parse(&issuer.url).unwrap());
        let why = format!("{host} answered no key set");
        assert_eq!(unknown, Err(VerifyError::Unavailable(why)));
    }
    assert_eq!(issuer.fetches(), 1);
    issuer.has_now(&[json!({ "kty": "oct", "k": "c2VjcmV0" }), signer.public()]);
    pass_time(RETRY).await;
    assert!(
        sets.verify::<Value>(&issuer.url, &token, &EXPECT)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_set_is_fetched_by_https_or_from_this_machine_alone() {
    let token = Signer::ec("k1").sign(&claims());
    for url in [
        "http://issuer.example/jwks",
        "file:///etc/passwd",
        "https://a:b@c.example/",
    ] {
        let refused = key_sets().verify::<Value>(url, &token, &EXPECT).await;
        assert!(
            matches!(refused, Err(VerifyError::Url(_))),
            "{url}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn callers_at_once_share_one_fetch_and_old_sets_make_room() {
    let signer = Signer::ed("k1");
    let issuer = Issuer::with(&[signer.public()]).await;
    let sets = key_sets();
    let token = signer.sign(&claims());
    let one = || sets.verify::<Value>(&issuer.url, &token, &EXPECT);
    let (a, b, c) = tokio::join!(one(), one(), one());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(issuer.fetches(), 1);

    for number in 0..2 * MAX_SETS {
        let url = format!("{}?{number}", issuer.url);
        assert!(sets.verify::<Value>(&url, &token, &EXPECT).await.is_ok());
    }
    assert_eq!(sets.sets.lock().unwrap().len(), MAX_SETS);
}

#[tokio::test]
async fn a_key_that_may_be_new_is_not_called_unknown_while_the_set_cannot_be_had() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let issuer = Issuer::with(&[old.public()]).await;
    let sets = key_sets();
    let verify = async |signer: &Signer| {
        let token = signer.sign(&claims());
        sets.verify::<Value>(&issuer.url, &token, &EXPECT).await
    };
    verify(&old).await.unwrap();
    *issuer.document.lock().unwrap() = json!("away");
    pass_time(REFETCH).await;
    let error = verify(&new).await.unwrap_err();
    assert!(matches!(error, VerifyError::Unavailable(_)), "{error}");
    verify(&old).await.unwrap();
    issuer.has_now(&[old.public(), new.public()]);
    pass_time(RETRY).await;
    verify(&new).await.unwrap();
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are_and_wants_to_know_who_asks() {
    let signer = Signer::ed("k");
    let keys = json!({ "keys": [signer.public()] }).to_string();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let document = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
    let guard = |headers: axum::http::HeaderMap, body: String| match headers.get("authorization") {
        Some(token) if token == "Bearer hush" => Ok(body),
        _ => Err(axum::http::StatusCode::UNAUTHORIZED),
    };
    let app = axum::Router::new()
        .route(
            "/.well-known/openid-configuration",
            axum::routing::get(async move |headers| guard(headers, document)),
        )
        .route(
            "/keys",
            axum::routing::get(async move |headers| guard(headers, keys)),
        );
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(axum::serve(listener, app).into_future());

    let folder = tempfile::tempdir().unwrap();
    let bearer = folder.path().join("token");
    std::fs::write(&bearer, "hush\n").unwrap();
    let access = Access {
        authorities: None,
        bearer: Some(bearer.clone()),
    };
    let sets = KeySets::with_access(Arc::new(Fixed), &access).unwrap();
    let expect = Expect {
        issuers: &[&url],
        ..EXPECT
    };
    let token = signer.sign(&with("iss", json!(url)));
    let at = Location::Issuer(url.clone());
    sets.verify_with::<Value>(&at, &token, &expect)
        .await
        .unwrap();

    // With a slash at its end it is another issuer, whose document this is not.
    let other = Location::Issuer(format!("{url}/"));
    let error = sets.verify_with::<Value>(&other, &token, &expect).await;
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with("is of another issuer"), "{error}");

    std::fs::write(&bearer, "wrong").unwrap();
    let sets = KeySets::with_access(Arc::new(Fixed), &access).unwrap();
    let error = sets.verify_with::<Value>(&at, &token, &expect).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.ends_with("answered HTTP 401") && !error.contains("wrong"),
        "{error}"
    );
}

#[tokio::test]
async fn keys_at_hand_are_not_fetched_and_must_be_keys() {
    let (signer, other) = (Signer::ec("k"), Signer::ec("other"));
    let document = json!({ "keys": [signer.public()] }).to_string();
    let at = Location::Known(KnownKeys::parse(document.as_bytes()).unwrap());
    let verify = async |signer: &Signer| {
        let token = signer.sign(&claims());
        key_sets().verify_with::<Value>(&at, &token, &EXPECT).await
    };
    verify(&signer).await.unwrap();
    assert_eq!(verify(&other).await.unwrap_err(), VerifyError::UnknownKey);
    for none in [
        "",
        "[]",
        "{\"keys\": []}",
        "{\"keys\": [{\"kty\": \"oct\", \"k\": \"aHVzaA\"}]}",
    ] {
        assert!(KnownKeys::parse(none.as_bytes()).is_none(), "{none}");
    }
}
