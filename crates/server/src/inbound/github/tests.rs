use aws_lc_rs::hmac;
use http::HeaderValue;
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "It's a Secret to Everybody";

fn sign(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    let digits: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256={digits}")
}

fn headers(event: &str, signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EVENT, HeaderValue::from_str(event).unwrap());
    headers.insert(SIGNATURE, HeaderValue::from_str(signature).unwrap());
    headers.insert(DELIVERY, HeaderValue::from_static("72d3162e-cc78"));
    headers
}

fn read(event: &str, body: &Value) -> Result<Said, Answer> {
    let body = body.to_string();
    let headers = headers(event, &sign(SECRET, &body));
    GitHub::new(&[SECRET]).read(&headers, body.as_bytes())
}

fn revoked(login: &str) -> Value {
    json!({ "action": "revoked", "sender": { "id": 583_231, "login": login, "type": "User" } })
}

fn installation(action: &str, kind: &str) -> Value {
    let account = json!({ "id": 42, "login": "octo-org", "type": kind });
    json!({ "action": action, "installation": { "id": 7, "account": account }, "sender": { "id": 1, "login": "admin" } })
}

fn accounts(said: Result<Said, Answer>) -> Vec<String> {
    let Ok(Said::Died(death)) = said else {
        panic!("{said:?}");
    };
    let accounts = death.subjects.into_iter().map(|subject| match subject {
        Subject::Account(account) => account,
        other => panic!("{other:?}"),
    });
    accounts.collect()
}

/// The example of docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries.
#[test]
fn the_signature_is_githubs() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let said = GitHub::new(&[SECRET]).read(&headers("ping", signature), b"Hello, World!");
    assert_eq!(said, Ok(Said::Probe("ping")));
}

#[test]
fn a_withdrawn_authorization_ends_the_grants_of_its_user() {
    let death = Death {
        id: "72d3162e-cc78".into(),
        event: "github_app_authorization.revoked",
        reason: InvalidationReason::GrantRevoked,
        subjects: vec![
            Subject::Account("583231".into()),
            Subject::Account("octocat".into()),
        ],
        happened_at: None,
    };
    let said = read("github_app_authorization", &revoked("octocat"));
    assert_eq!(said, Ok(Said::Died(death)));
}

#[test]
fn a_login_that_could_be_an_id_ends_nobody_elses_grants() {
    let said = read("github_app_authorization", &revoked("42"));
    assert_eq!(accounts(said), ["583231"]);
}

#[test]
fn an_installation_that_is_gone_ends_its_own_grants_and_those_of_an_organization() {
    let gone = |action, kind| read("installation", &installation(action, kind));
    assert_eq!(accounts(gone("deleted", "User")), ["installation:7"]);
    let all = ["installation:7", "42", "octo-org"];
    assert_eq!(accounts(gone("deleted", "Organization")), all);
    let Ok(Said::Died(death)) = gone("suspend", "Organization") else {
        panic!();
    };
    assert_eq!(death.reason, InvalidationReason::AccessDenied);
    assert_eq!(death.event, "installation.suspend");
}

/// An enterprise has no login, and an account that is gone too is `null`.
#[test]
fn an_installation_is_known_by_its_id_whoever_it_was_of() {
    let enterprise = json!({ "id": 9, "slug": "ent", "type": "Enterprise" });
    for account in [json!({ "id": 9, "slug": "ent" }), enterprise, Value::Null] {
        let event =
            json!({ "action": "deleted", "installation": { "id": 77, "account": account } });
        assert_eq!(
            accounts(read("installation", &event)),
            ["installation:77"],
            "{event}"
        );
    }
    let revoked = json!({ "action": "revoked", "sender": { "id": 583_231 } });
    assert_eq!(
        accounts(read("github_app_authorization", &revoked)),
        ["583231"]
    );
}

#[test]
fn other_events_and_actions_end_nothing() {
    for action in ["created", "unsuspend", "new_permissions_accepted"] {
        assert_eq!(
            read("installation", &installation(action, "User")),
            Ok(Said::Nothing)
        );
    }
    let mut granted = revoked("octocat");
    for action in [json!("granted"), Value::Null] {
        granted["action"] = action;
        assert_eq!(
            read("github_app_authorization", &granted),
            Ok(Said::Nothing)
        );
    }
    for event in ["push", "installation_repositories", "Installation", ""] {
        assert_eq!(
            read(event, &installation("deleted", "User")),
            Ok(Said::Nothing),
            "{event}"
        );
    }
}

#[test]
fn an_event_of_another_kind_under_the_name_of_one_that_ends_grants_is_malformed() {
    // Most events of an app name its installation, by its id alone.
    let deleted = json!({ "action": "deleted", "installation": { "id": 7 }, "repository": {} });
    assert!(matches!(
        read("installation", &deleted),
        Err(Answer::Malformed(_))
    ));
    let revoked = json!({ "action": "revoked" });
    assert!(matches!(
        read("github_app_authorization", &revoked),
        Err(Answer::Malformed(_))
    ));
    assert!(matches!(
        read("installation", &json!([])),
        Err(Answer::Malformed(_))
    ));
}

#[test]
fn nothing_that_was_altered_is_taken() {
    let github = GitHub::new(&["new secret", SECRET]);
    let body = revoked("octocat").to_string();
    let event = "github_app_authorization";
    let signature = sign(SECRET, &body);
    let read = |headers: &HeaderMap, body: &str| github.read(headers, body.as_bytes());
    assert!(read(&headers(event, &signature), &body).is_ok());

    let sha1 = signature.replace("sha256=", "sha1=");
    let stranger = sign("another secret", &body);
    for wrong in [
        "",
        "sha256=",
        &signature[..70],
        &sha1,
        &stranger,
        &signature[7..],
    ] {
        let read = read(&headers(event, wrong), &body);
        assert!(matches!(read, Err(Answer::Forged(_))), "{wrong}");
    }
    for end in 0..body.len() {
        let cut = read(&headers(event, &signature), &body[..end]);
        assert!(matches!(cut, Err(Answer::Forged(_))), "{end}");
    }
    let mut unsigned = headers(event, &signature);
    unsigned.remove(SIGNATURE);
    assert!(matches!(read(&unsigned, &body), Err(Answer::Forged(_))));
    let mut nameless = headers(event, &signature);
    nameless.remove(DELIVERY);
    assert!(matches!(read(&nameless, &body), Err(Answer::Malformed(_))));
    nameless.insert(DELIVERY, HeaderValue::from_static(""));
    assert!(matches!(read(&nameless, &body), Err(Answer::Malformed(_))));
}
