//! Consents on another device.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::{CallError, Delivery, Verdict};
use evergrant_providers::{DeviceAuthorization, DevicePoll, HttpProviders};
use secrecy::ExposeSecret;

use crate::support::{Endpoint, Reply, Seen, acme, client, grant, providers, reply};

const TIMEOUT: Duration = Duration::from_secs(10);

fn device(endpoint: &Endpoint, rest: &str) -> HttpProviders {
    let authority = &endpoint.authority;
    let url = format!("device_url = \"http://{authority}/device\"\n");
    let types = "grant_types = [\"device_code\"]\n";
    let entry = acme(authority, &format!("{url}{types}{rest}"));
    providers(&entry, vec![client("acme", "main", &["s"])]).unwrap()
}

async fn begin(rest: &str, answer: &str) -> (Seen, Result<DeviceAuthorization, CallError>) {
    let endpoint = Endpoint::answering([reply(200, answer)]).await;
    let scopes = ["a".to_owned(), "b".to_owned()];
    let outcome = device(&endpoint, rest)
        .begin_device(
            &grant("acme").facts.client,
            &scopes,
            &BTreeMap::new(),
            TIMEOUT,
        )
        .await;
    (endpoint.seen().remove(0), outcome)
}

async fn poll(replies: impl IntoIterator<Item = Reply>) -> (Seen, Result<DevicePoll, CallError>) {
    let endpoint = Endpoint::answering(replies).await;
    let placeholders = BTreeMap::from([("tenant".to_owned(), "t1".to_owned())]);
    let outcome = device(&endpoint, "")
        .poll_device(
            &grant("acme").facts.client,
            "the-code",
            &placeholders,
            TIMEOUT,
        )
        .await;
    (endpoint.seen().remove(0), outcome)
}

// RFC 8628 sections 3.1 and 3.2
#[tokio::test]
async fn codes_are_asked_for_with_client_and_scopes() {
    let rest = "[grants.device_code]\nclient_auth = \"none\"\nparameters = { x = \"1\" }";
    let answer = r#"{"device_code":"d","user_code":"WDJB-MJHT","verification_uri":"https://acme.example/device",
        "verification_uri_complete":"https://acme.example/device?c=WDJB-MJHT","expires_in":1800,"interval":7}"#;
    let (seen, outcome) = begin(rest, answer).await;
    assert_eq!((&*seen.method, &*seen.path), ("POST", "/device"));
    assert_eq!(seen.body, "scope=a+b&client_id=the-id");
    let authorization = outcome.unwrap();
    assert_eq!(authorization.device_code.expose_secret(), "d");
    assert_eq!(authorization.user_code, "WDJB-MJHT");
    assert_eq!(
        authorization.verification_uri,
        "https://acme.example/device"
    );
    assert!(authorization.verification_uri_complete.is_some());
    assert_eq!(authorization.expires_in, Duration::from_secs(1800));
    assert_eq!(authorization.interval, Duration::from_secs(7));
}

#[tokio::test]
async fn what_a_provider_leaves_out_is_as_the_rfc_has_it() {
    let answer =
        r#"{"device_code":"d","user_code":"u","verification_url":"https://acme.example/d"}"#;
    let authorization = begin("", answer).await.1.unwrap();
    assert_eq!(authorization.verification_uri, "https://acme.example/d");
    assert_eq!(authorization.verification_uri_complete, None);
    assert_eq!(authorization.interval, Duration::from_secs(5));
    assert_eq!(authorization.expires_in, Duration::from_secs(600));
    let error = begin("", r#"{"user_code":"u"}"#).await.1.unwrap_err();
    assert_eq!(error.verdict, Verdict::Protocol);
    assert_eq!(
        error.message,
        "acme answered HTTP 200 at its device_url without a device_code, but with user_code"
    );
}

#[tokio::test]
async fn without_a_device_url_nothing_is_sent() {
    let entry = acme("127.0.0.1:9", "");
    let providers = providers(&entry, vec![client("acme", "main", &["s"])]).unwrap();
    let error = providers
        .begin_device(&grant("acme").facts.client, &[], &BTreeMap::new(), TIMEOUT)
        .await
        .unwrap_err();
    assert!(
        error
            .message
            .starts_with("catalogue entry acme: device_url is missing")
    );
    assert_eq!(error.delivery, Delivery::NotSent);
}

// RFC 8628 section 3.4
#[tokio::test]
async fn tokens_come_once_the_user_consented() {
    let answer = r#"{"access_token":"a","refresh_token":"r","expires_in":60}"#;
    let (seen, outcome) = poll([reply(200, answer)]).await;
    assert_eq!(
        seen.body,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=the-code\
         &client_id=the-id&client_secret=s"
    );
    let Ok(DevicePoll::Consented(consented)) = outcome else {
        panic!("no consent: {outcome:?}");
    };
    assert_eq!(consented.issued.access_token.expose(), "a");
    assert_eq!(consented.issued.refresh_token.unwrap().expose(), "r");
    assert_eq!(consented.issued.metadata["tenant"], "t1");
}

// RFC 8628 section 3.5
#[tokio::test]
async fn waiting_is_no_failure_and_an_expired_code_or_a_denial_is_for_the_user() {
    for status in [200, 400, 428] {
        let answer = |code: &str| [reply(status, &format!("{{\"error\":\"{code}\"}}"))];
        let (_, outcome) = poll(answer("authorization_pending")).await;
        assert!(matches!(outcome, Ok(DevicePoll::Pending)), "{status}");
        let (_, outcome) = poll(answer("slow_down")).await;
        assert!(matches!(outcome, Ok(DevicePoll::SlowDown)), "{status}");
        for (code, reason) in [
            ("expired_token", InvalidationReason::GrantRevoked),
            ("access_denied", InvalidationReason::AccessDenied),
        ] {
            let error = poll(answer(code)).await.1.unwrap_err();
            assert_eq!(error.verdict, Verdict::Grant(reason), "{status}");
            assert_eq!(error.code, code);
        }
    }
    let error = poll([reply(503, "{}")]).await.1.unwrap_err();
    assert_eq!(error.verdict, Verdict::Transient);
}

#[tokio::test]
async fn what_a_person_is_shown_is_plain_and_what_they_open_is_an_address() {
    let odd = [
        (r"AB\u001b[31mCD", "https://acme.example/device"),
        ("ABCD", "javascript:alert(1)"),
        ("ABCD", r"https://acme.example/\u001b[2J"),
        ("", "https://acme.example/device"),
    ];
    for (code, uri) in odd {
        let answer =
            format!(r#"{{"device_code":"d","user_code":"{code}","verification_uri":"{uri}"}}"#);
        let (_, outcome) = begin("", &answer).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.verdict, Verdict::Protocol, "{answer}");
        let lacking = if uri == odd[0].1 {
            "user_code"
        } else {
            "verification_uri"
        };
        let lacking = format!("at its device_url without a usable {lacking}");
        assert!(error.message.contains(&lacking), "{}", error.message);
    }
}

#[tokio::test]
async fn a_device_polls_as_seldom_as_it_is_told_but_not_without_pause_and_once_at_least() {
    for (stated, interval) in [("120", 120), ("0.001", 1), ("100000", 900)] {
        let answer = format!(
            r#"{{"device_code":"d","user_code":"A","verification_uri":"https://a.example",
            "expires_in":900,"interval":{stated}}}"#
        );
        let (_, outcome) = begin("", &answer).await;
        let expected = Duration::from_secs(interval);
        assert_eq!(outcome.unwrap().interval, expected, "{stated}");
    }
}
