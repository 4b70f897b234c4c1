use aws_lc_rs::hmac;
use http::HeaderValue;
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_700_000_000;
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

fn now() -> Timestamp {
    seconds(NOW)
}

fn headers(timestamp: &str, signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(TIMESTAMP, HeaderValue::from_str(timestamp).unwrap());
    headers.insert(SIGNATURE, HeaderValue::from_str(signature).unwrap());
    headers
}

fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{timestamp}:{body}").as_bytes());
    let digits: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("v0={digits}")
}

fn read_at(timestamp: i64, body: &Value) -> Result<Said, Answer> {
    let (timestamp, body) = (timestamp.to_string(), body.to_string());
    let headers = headers(&timestamp, &sign(SECRET, &timestamp, &body));
    Slack::new(&[SECRET]).read(&headers, body.as_bytes(), now())
}

fn read(body: &Value) -> Result<Said, Answer> {
    read_at(NOW, body)
}

fn callback(event: Value) -> Value {
    json!({
        "type": "event_callback", "token": "t", "team_id": "T1", "api_app_id": "A1", "event": event,
        "event_id": "Ev1", "event_time": NOW - 2,
        "authorizations": [{ "team_id": "T1", "user_id": "U1", "is_enterprise_install": false }],
    })
}

fn uninstalled() -> Value {
    callback(json!({ "type": "app_uninstalled" }))
}

fn account(name: &str) -> Subject {
    Subject::Account(name.into())
}

fn within(name: &str) -> Subject {
    Subject::AccountsWithin(name.into())
}

fn subjects(body: &Value) -> Vec<Subject> {
    match read(body) {
        Ok(Said::Died(death)) => death.subjects,
        other => panic!("{other:?}"),
    }
}

/// The example of docs.slack.dev/authentication/verifying-requests-from-slack.
#[test]
fn the_signature_is_slacks() {
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let at = 1_531_420_618;
    let slack = Slack::new(&["8f742231b10e8888abcd99yyyzzz85a5"]);
    let headers = headers(&at.to_string(), signature);
    assert_eq!(
        slack.authenticate(&headers, body.as_bytes(), seconds(at)),
        Ok(())
    );
}

#[test]
fn an_uninstalled_app_ends_all_grants_of_the_workspace() {
    let death = Death {
        id: "Ev1".into(),
        event: "app_uninstalled",
        reason: InvalidationReason::GrantRevoked,
        subjects: vec![account("T1"), within("T1")],
        happened_at: Some(seconds(NOW - 2)),
    };
    assert_eq!(read(&uninstalled()), Ok(Said::Died(death)));
}

#[test]
fn revoked_tokens_end_those_of_the_bot_and_of_the_users_that_are_named() {
    let revoked = |tokens| callback(json!({ "type": "tokens_revoked", "tokens": tokens }));
    let bot = revoked(json!({ "oauth": [], "bot": ["UB1"] }));
    assert_eq!(subjects(&bot), [account("T1")]);
    let users = revoked(json!({ "oauth": ["U1", "U2"] }));
    assert_eq!(subjects(&users), [account("T1:U1"), account("T1:U2")]);
    let both = revoked(json!({ "oauth": ["U1"], "bot": ["UB1", "UB2"] }));
    assert_eq!(subjects(&both), [account("T1:U1"), account("T1")]);
    assert!(matches!(
        read(&revoked(Value::Null)),
        Err(Answer::Malformed(_))
    ));
}

#[test]
fn an_enterprise_is_concerned_only_if_the_app_was_installed_there() {
    let mut body = uninstalled();
    body["enterprise_id"] = json!("E1");
    assert_eq!(subjects(&body), [account("T1"), within("T1")]);
    body["authorizations"][0]["is_enterprise_install"] = json!(true);
    let both = [account("T1"), within("T1"), account("E1"), within("E1")];
    assert_eq!(subjects(&body), both);
    body["team_id"] = Value::Null;
    body["authorizations"] = json!([]);
    assert_eq!(subjects(&body), [account("E1"), within("E1")]);
    body["enterprise_id"] = json!("");
    assert!(matches!(read(&body), Err(Answer::Malformed(_))));
}

#[test]
fn a_challenge_is_answered_only_to_slack() {
    let body = json!({ "type": "url_verification", "challenge": "3eZbrw1aB", "token": "t" });
    assert_eq!(read(&body), Ok(Said::Challenge("3eZbrw1aB".into())));
    let unsigned =
        Slack::new(&[SECRET]).read(&HeaderMap::new(), body.to_string().as_bytes(), now());
    assert!(matches!(unsigned, Err(Answer::Forged(_))));
}

#[test]
fn other_events_end_nothing_and_what_is_no_event_is_malformed() {
    assert_eq!(
        read(&callback(json!({ "type": "message" }))),
        Ok(Said::Nothing)
    );
    assert_eq!(
        read(&json!({ "type": "app_rate_limited" })),
        Ok(Said::Nothing)
    );
    let [mut nameless, mut empty] = [uninstalled(), uninstalled()];
    nameless["event_id"] = Value::Null;
    empty["event_id"] = json!("");
    for body in [
        json!([]),
        json!({ "type": "event_callback" }),
        json!({ "type": "url_verification" }),
        nameless,
        empty,
    ] {
        assert!(matches!(read(&body), Err(Answer::Malformed(_))), "{body}");
    }
}

#[test]
fn a_timestamp_five_minutes_away_is_too_far() {
    for (away, taken) in [
        (0, true),
        (-300, true),
        (300, true),
        (-301, false),
        (301, false),
    ] {
        assert_eq!(read_at(NOW + away, &uninstalled()).is_ok(), taken, "{away}");
    }
    assert!(read_at(i64::MAX, &uninstalled()).is_err());
}

#[test]
fn nothing_that_was_altered_is_taken() {
    let slack = Slack::new(&["new secret", SECRET]);
    let (at, body) = (NOW.to_string(), uninstalled().to_string());
    let signature = sign(SECRET, &at, &body);
    let read = |headers: &HeaderMap, body: &str| slack.read(headers, body.as_bytes(), now());
    assert!(read(&headers(&at, &signature), &body).is_ok());

    let later = (NOW + 1).to_string();
    let upper = signature.replace("v0=", "V0=");
    let version = signature.replace("v0=", "v1=");
    let short = &signature[..signature.len() - 1];
    let spaced = format!(" {at}");
    let stranger = sign("another secret", &at, &body);
    let without_time = sign(SECRET, "", &body);
    // Slack never writes a time so.
    let plus = format!("+{at}");
    let with_plus = sign(SECRET, &plus, &body);
    let table = [
        (later.as_str(), signature.as_str()),
        (&at, &upper),
        (&at, &version),
        (&at, short),
        (&at, ""),
        (&at, "v0="),
        (&at, &stranger),
        ("", &without_time),
        (&spaced, &signature),
        (&plus, &with_plus),
        ("-1", &signature),
        ("99999999999999999999", &signature),
    ];
    for (at, signature) in table {
        let read = read(&headers(at, signature), &body);
        assert!(matches!(read, Err(Answer::Forged(_))), "{at} {signature}");
    }
    for end in 0..body.len() {
        let cut = read(&headers(&at, &signature), &body[..end]);
        assert!(matches!(cut, Err(Answer::Forged(_))), "{end}");
    }
    let other = body.replace("T1", "T2");
    assert!(read(&headers(&at, &signature), &other).is_err());
    for missing in [TIMESTAMP, SIGNATURE] {
        let mut headers = headers(&at, &signature);
        headers.remove(&missing);
        assert!(
            matches!(read(&headers, &body), Err(Answer::Forged(_))),
            "{missing}"
        );
    }
    let mut twice = headers(&at, &signature);
    twice.append(SIGNATURE, HeaderValue::from_static("v0=00"));
    assert!(read(&twice, &body).is_err());
}
