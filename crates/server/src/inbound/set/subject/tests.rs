use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use evergrant_core::secret::RefreshToken;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://accounts.google.com/";

fn accounts(subject: Value) -> Vec<String> {
    let found = read(&subject, ISSUER).into_iter();
    let accounts = found.map(|subject| match subject {
        Subject::Account(account) => account,
        other => panic!("{other:?}"),
    });
    accounts.collect()
}

#[test]
fn an_account_of_the_issuer_is_found_in_every_form() {
    let alice = [
        json!({ "format": "iss_sub", "iss": ISSUER, "sub": "alice" }),
        json!({ "format": "iss_sub", "iss": "https://accounts.google.com", "sub": "alice" }),
        json!({ "subject_type": "iss-sub", "iss": ISSUER, "sub": "alice" }),
        json!({ "subject_type": "id_token_claims", "iss": ISSUER, "sub": "alice", "email": "a@x.example" }),
        json!({ "format": "opaque", "id": "alice" }),
        json!({ "format": "complex", "user": { "format": "opaque", "id": "alice" }, "session": { "format": "opaque", "id": "s" } }),
        json!({ "user": { "format": "iss_sub", "iss": ISSUER, "sub": "alice" }, "device": {} }),
    ];
    for subject in alice {
        assert_eq!(accounts(subject.clone()), ["alice"], "{subject}");
    }
    let aliases = json!({ "format": "aliases", "identifiers": [
        { "format": "email", "email": "a@x.example" },
        { "format": "opaque", "id": "alice" },
        { "format": "iss_sub", "iss": ISSUER, "sub": "bob" },
    ]});
    assert_eq!(accounts(aliases), ["alice", "bob"]);
    assert_eq!(of_sub(&json!("alice")), [Subject::Account("alice".into())]);
}

#[test]
fn what_may_be_somebody_elses_names_nobody() {
    let nobody = [
        json!({ "format": "email", "email": "a@x.example" }),
        json!({ "subject_type": "id_token_claims", "iss": ISSUER, "email": "a@x.example" }),
        json!({ "format": "phone_number", "phone_number": "+12065550100" }),
        json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "alice" }),
        json!({ "format": "iss_sub", "sub": "alice" }),
        json!({ "format": "iss_sub", "iss": ISSUER, "sub": "" }),
        json!({ "format": "iss_sub", "iss": ISSUER, "sub": 7 }),
        json!({ "format": "opaque" }),
        json!({ "format": "account", "uri": "acct:alice@x.example" }),
        json!({ "format": "mystery", "id": "alice", "user": { "format": "opaque", "id": "alice" } }),
        json!("alice"),
        json!([]),
        json!(null),
    ];
    for subject in nobody {
        assert!(accounts(subject.clone()).is_empty(), "{subject}");
    }
    for sub in [json!(""), json!(7), json!(null)] {
        assert!(of_sub(&sub).is_empty());
    }
    let mut deep = json!({ "format": "opaque", "id": "alice" });
    for _ in 0..5 {
        deep = json!({ "format": "aliases", "identifiers": [deep] });
    }
    assert!(accounts(deep).is_empty());
}

#[test]
fn a_refresh_token_is_found_by_its_hash_or_its_beginning() {
    let token = RefreshToken::new("1//0eabcdefghijklmnopqrstuvwxyz0123".into());
    let hash = token.sha512_twice();
    let subject = |algorithm: &str, named: &str| {
        let subject = json!({ "subject_type": "oauth_token", "token_type": "refresh_token",
            "token_identifier_alg": algorithm, "token": named });
        read(&subject, ISSUER)
    };
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let named = [
        STANDARD.encode(hash),
        STANDARD_NO_PAD.encode(hash),
        URL_SAFE_NO_PAD.encode(hash),
        digits,
    ];
    for named in &named {
        for algorithm in ["hash_base64_sha512_sha512", "hash_SHA512_double"] {
            assert_eq!(subject(algorithm, named), [Subject::RefreshTokenHash(hash)]);
        }
    }
    let beginning = [Subject::RefreshTokenPrefix(token.prefix_sha256().unwrap())];
    assert_eq!(subject("prefix", &token.expose()[..16]), beginning);

    for (algorithm, named) in [
        ("prefix", &token.expose()[..15]),
        ("prefix", token.expose()),
        ("prefix", ""),
        ("plain", token.expose()),
        ("hash_base64_sha512_sha512", "AAAA"),
        ("hash_base64_sha512_sha512", "no base64"),
        ("hash_base64_sha512_sha512", "é"),
    ] {
        assert!(subject(algorithm, named).is_empty(), "{algorithm} {named}");
    }
    let access = json!({ "subject_type": "oauth_token", "token_type": "access_token",
        "token_identifier_alg": "prefix", "token": "0123456789abcdef" });
    assert!(read(&access, ISSUER).is_empty());
}
