//! What each built-in entry sends, to the byte where it matters (A53 to A75, C115).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::support::{Endpoint, Seen, grant, moved, refresh, reply};

const GOOD: &str = r#"{"ok":true,"access_token":"new-access"}"#;
const WITH_CLIENT: [&str; 4] = ["client_id", "client_secret", "grant_type", "refresh_token"];

async fn sent(name: &str) -> Seen {
    let endpoint = Endpoint::answering([reply(200, GOOD)]).await;
    let mut grant = grant(name);
    let host = endpoint.authority.clone();
    grant.tokens.metadata.insert("host".to_owned(), host);
    let issued = refresh(&moved(name, &endpoint.authority), &grant).await;
    assert_eq!(issued.unwrap().access_token.expose(), "new-access");
    let mut seen = endpoint.seen();
    assert_eq!(seen.len(), 1);
    seen.remove(0)
}

fn keys(seen: &Seen) -> BTreeSet<String> {
    seen.fields().into_keys().collect()
}

// A62, A63, A65, A70, A72
#[tokio::test]
async fn providers_with_credentials_in_the_body_get_a_form_and_no_authorization() {
    for (name, path) in [
        ("google", "/token"),
        ("microsoft", "/common/oauth2/v2.0/token"),
        ("slack", "/api/oauth.v2.access"),
        ("hubspot", "/oauth/2026-03/token"),
        ("salesforce", "/services/oauth2/token"),
        ("github", "/login/oauth/access_token"),
    ] {
        let seen = sent(name).await;
        assert_eq!((&*seen.method, &*seen.path), ("POST", path), "{name}");
        assert_eq!(seen.query, "", "{name}");
        assert_eq!(seen.header("authorization"), None, "{name}");
        let form = Some("application/x-www-form-urlencoded");
        assert_eq!(seen.header("content-type"), form, "{name}");
        assert_eq!(keys(&seen), WITH_CLIENT.map(str::to_owned).into(), "{name}");
        let fields = seen.fields();
        assert_eq!(fields["grant_type"], "refresh_token", "{name}");
        assert_eq!(fields["refresh_token"], "old-refresh", "{name}");
        assert_eq!(fields["client_id"], "the-id", "{name}");
        assert_eq!(fields["client_secret"], "the-secret", "{name}");
    }
}

// A75
#[tokio::test]
async fn notion_gets_json_with_basic_credentials() {
    let seen = sent("notion").await;
    assert_eq!((&*seen.method, &*seen.path), ("POST", "/v1/oauth/token"));
    let basic = format!("Basic {}", BASE64.encode("the-id:the-secret"));
    assert_eq!(seen.header("authorization"), Some(&*basic));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert!(seen.header("notion-version").is_some());
    let expected = ["grant_type", "refresh_token"].map(str::to_owned);
    assert_eq!(keys(&seen), expected.into());
}

// W20: no compressed answer is asked for, so none can grow past the limit when it is unpacked.
#[tokio::test]
async fn every_request_says_who_asks_and_wants_plain_json() {
    for name in ["google", "notion", "github"] {
        let seen = sent(name).await;
        assert_eq!(seen.header("accept"), Some("application/json"), "{name}");
        assert_eq!(seen.header("accept-encoding"), Some("identity"), "{name}");
        let agent = seen.header("user-agent").unwrap();
        assert!(agent.starts_with("evergrant/"), "{agent}");
    }
}

// B15
#[tokio::test]
async fn attio_gets_nothing() {
    let endpoint = Endpoint::answering([]).await;
    let error = refresh(&moved("attio", &endpoint.authority), &grant("attio"))
        .await
        .unwrap_err();
    assert_eq!(error.message, "attio redeems no refresh tokens");
    assert_eq!(endpoint.seen().len(), 0);
}
