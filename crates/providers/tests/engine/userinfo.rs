//! Who has consented, where the answers with tokens do not say.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::provider::{CallError, Delivery, Verdict};
use evergrant_providers::engine::Lack;
use evergrant_providers::{CodeExchange, Consented, DevicePoll, HttpProviders};
use secrecy::ExposeSecret;

use crate::support::{Endpoint, Reply, Seen, acme, client, grant, providers, reply};

const BACK: &str = "https://us.example/back";
const TOKENS: &str =
    r#"{"access_token":"the-token","refresh_token":"r","id_token":"e.y.j","shop":"s1"}"#;
const LONG: Duration = Duration::from_secs(10);

fn asking(authority: &str, rest: &str) -> HttpProviders {
    let urls = format!(
        "userinfo_url = \"http://{authority}/me\"\ndevice_url = \"http://{authority}/device\"\n\
         grant_types = [\"authorization_code\", \"device_code\"]\n"
    );
    let entry = acme(authority, &format!("{urls}{rest}"));
    providers(&entry, vec![client("acme", "main", &["the-secret"])]).unwrap()
}

struct Run {
    seen: Vec<Seen>,
    outcome: Result<Consented, CallError>,
}

async fn exchange(rest: &str, answers: &[Reply], timeout: Duration) -> Run {
    let endpoint = Endpoint::answering(answers.to_vec()).await;
    let code = CodeExchange {
        client: &grant("acme").facts.client,
        code: "the-code",
        redirect_uri: BACK,
        code_verifier: None,
        state: "the-state",
        nonce: None,
        placeholders: &BTreeMap::new(),
    };
    let providers = asking(&endpoint.authority, rest);
    let outcome = providers.exchange_code(&code, timeout).await;
    Run {
        seen: endpoint.seen(),
        outcome,
    }
}

// OpenID Connect Core sections 5.3.1 and 5.3.2
#[tokio::test]
async fn the_provider_is_asked_with_the_new_token_alone() {
    let answers = [reply(200, TOKENS), reply(200, r#"{"sub":"u1","id":7}"#)];
    let run = exchange("", &answers, LONG).await;
    let consented = run.outcome.unwrap();
    assert_eq!(consented.account.as_deref(), Some("u1"));
    assert_eq!(consented.issued.access_token.expose(), "the-token");
    let [_, asked] = &run.seen[..] else {
        panic!("{:?}", run.seen);
    };
    assert_eq!((&*asked.method, &*asked.path), ("GET", "/me"));
    assert_eq!((&*asked.query, &*asked.body), ("", ""));
    assert_eq!(asked.header("authorization"), Some("Bearer the-token"));

    let own = r#"
        [userinfo]
        method = "POST"
        account = [{ join = ["/team", "/id"] }]
        headers = { "x-shop" = "{shop}" }
        [grants.authorization_code.response.metadata]
        shop = "/shop"
    "#;
    let answers = [reply(200, TOKENS), reply(200, r#"{"team":"t","id":7}"#)];
    let run = exchange(own, &answers, LONG).await;
    assert_eq!(run.outcome.unwrap().account.as_deref(), Some("t:7"));
    assert_eq!(run.seen[1].method, "POST");
    assert_eq!(run.seen[1].header("x-shop"), Some("s1"));
}

#[tokio::test]
async fn nobody_is_asked_who_is_known_already() {
    let openid =
        "[openid]\nissuer = \"https://acme.example\"\njwks_url = \"https://acme.example/keys\"";
    for (rest, account) in [
        ("[response]\naccount = \"/shop\"", Some("s1")),
        (openid, None),
    ] {
        let run = exchange(rest, &[reply(200, TOKENS)], LONG).await;
        assert_eq!(run.outcome.unwrap().account.as_deref(), account);
        assert_eq!(run.seen.len(), 1, "{rest}");
    }
    // Without an identity token there is nothing to be verified.
    let answers = [
        reply(200, r#"{"access_token":"a"}"#),
        reply(200, r#"{"sub":"u1"}"#),
    ];
    let run = exchange(openid, &answers, LONG).await;
    assert_eq!(run.outcome.unwrap().account.as_deref(), Some("u1"));
}

#[tokio::test]
async fn what_passes_is_asked_again() {
    let answers = [
        reply(200, TOKENS),
        reply(503, ""),
        reply(200, r#"{"sub":"u1"}"#),
    ];
    let run = exchange("", &answers, LONG).await;
    assert_eq!(run.outcome.unwrap().account.as_deref(), Some("u1"));
    assert_eq!(run.seen.len(), 3);
}

// An account that could be known and is not might be another one than before.
#[tokio::test]
async fn without_the_account_there_is_no_consent_and_nobody_is_blamed() {
    let errors = "[errors]\nrevoked = \"grant\"\nbad_app = \"client\"";
    for (answer, told) in [
        (
            reply(401, r#"{"error":"revoked"}"#),
            "acme answered HTTP 401 at its userinfo_url with revoked",
        ),
        (
            reply(401, r#"{"error":"bad_app"}"#),
            "acme answered HTTP 401 at its userinfo_url with bad_app",
        ),
        (
            reply(200, r#"{"error_description":"the-token is odd"}"#),
            "acme answered HTTP 200 at its userinfo_url without what names the account",
        ),
        (
            reply(302, "").with("location", "http://127.0.0.1:9/"),
            "acme answered HTTP 302 at its userinfo_url, a redirect to 127.0.0.1:9",
        ),
    ] {
        let run = exchange(errors, &[reply(200, TOKENS), answer], LONG).await;
        let error = run.outcome.unwrap_err();
        assert_eq!(error.verdict, Verdict::Protocol, "{error}");
        assert_eq!(error.delivery, Delivery::Answered);
        assert!(
            error
                .message
                .starts_with(&format!("there are tokens, but not whose: {told}")),
            "{error}"
        );
        assert!(error.message.contains("the user has to consent again"));
        assert!(!error.message.contains("the-token"), "{error}");
        assert_eq!(run.seen.len(), 2);
    }
}

#[tokio::test]
async fn it_is_asked_of_a_device_too() {
    let endpoint = Endpoint::answering([reply(200, TOKENS), reply(200, r#"{"sub":"u1"}"#)]).await;
    let providers = asking(&endpoint.authority, "");
    let key = grant("acme").facts.client;
    let none = BTreeMap::new();
    let poll = providers.poll_device(&key, "the-code", &none, LONG);
    let DevicePoll::Consented(consented) = poll.await.unwrap() else {
        panic!("the user has consented");
    };
    assert_eq!(consented.account.as_deref(), Some("u1"));
    assert_eq!(consented.id_token.unwrap().expose_secret(), "e.y.j");
}

#[test]
fn what_the_question_lacks_is_told_before_the_user_is_sent() {
    let rest = "[userinfo.headers]\nx-shop = \"{shop}\"";
    let providers = asking("127.0.0.1:9", rest);
    let key = grant("acme").facts.client;
    for checked in [
        providers.check_consent(&key, BACK, &BTreeMap::new()),
        providers.check_device(&key, &BTreeMap::new()),
    ] {
        let error = checked.unwrap_err();
        assert_eq!(error.lack, Lack::Placeholder("shop".to_owned()));
        let told = "catalogue entry acme: userinfo.headers.x-shop placeholder {shop} has no value";
        assert_eq!(error.to_string(), told);
    }
    let facts = providers.consent_facts(&key).unwrap();
    assert_eq!(facts.placeholders, ["shop"]);
    let given = BTreeMap::from([("shop".to_owned(), "s1".to_owned())]);
    assert_eq!(providers.check_consent(&key, BACK, &given), Ok(()));

    // The answer with the tokens brings it.
    let comes = format!("{rest}\n[response.metadata]\nshop = \"/shop\"");
    let providers = asking("127.0.0.1:9", &comes);
    assert_eq!(
        providers.check_consent(&key, BACK, &BTreeMap::new()),
        Ok(())
    );
}
