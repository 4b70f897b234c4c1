//! Clients: what is refused at start, how they are found, and several secrets.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::grant::{GrantType, InvalidationReason};
use evergrant_core::ids::{ClientName, ProviderName};
use evergrant_core::provider::{
    Delivery, Profile, Providers, Renewal, Rotation, UnknownClient, Verdict,
};
use evergrant_providers::{Catalogue, ClientConfigError, HttpProviders};
use jsonwebtoken::Algorithm;

use crate::keys::Keys;
use crate::support::{Endpoint, Fixed, acme, client, grant, moved, providers, reply};

const LOOPBACK: &str = "127.0.0.1:9";

fn refused(clients: Vec<evergrant_providers::OAuthClient>) -> ClientConfigError {
    providers(&acme(LOOPBACK, ""), clients).unwrap_err()
}

// A77, A88
#[test]
fn half_a_client_is_refused_at_start() {
    assert_eq!(
        refused(vec![client("acme", "main", &[])]).to_string(),
        "client main has no client_secret, which provider acme demands"
    );
    assert_eq!(
        refused(vec![client("acme", "main", &["a", ""])]).to_string(),
        "client main has no client_secret, which provider acme demands"
    );
    let mut no_id = client("acme", "main", &["s"]);
    no_id.client_id = String::new();
    assert_eq!(
        refused(vec![no_id]).to_string(),
        "client main has no client_id"
    );
    assert_eq!(
        refused(vec![client("acne", "main", &["s"])]).to_string(),
        "client main is of provider acne, which is not in the catalogue"
    );
    let twins = vec![
        client("acme", "main", &["s"]),
        client("acme", "main", &["s"]),
    ];
    assert_eq!(
        refused(twins).to_string(),
        "client main is configured twice"
    );
}

#[test]
fn a_private_key_that_signs_nothing_is_refused_though_nothing_demands_one() {
    let mut client = client("acme", "main", &["s"]);
    client.private_key = Some("hush, no key".into());
    let error = providers(&acme("127.0.0.1:9", ""), vec![client]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "client main has a private_key that does not sign as provider acme demands"
    );
}

#[test]
fn a_private_key_that_cannot_sign_is_refused_at_start() {
    let entry = acme(
        LOOPBACK,
        "authorize_url = \"https://acme.example/a\"\n[request]\nclient_auth = \"private_key_jwt\"",
    );
    let with_key = |key: Option<&str>| {
        let mut client = client("acme", "main", &[]);
        client.private_key = key.map(Into::into);
        providers(&entry, vec![client]).map(|_| ())
    };
    assert_eq!(
        with_key(None).unwrap_err().to_string(),
        "client main has no private_key, which provider acme demands"
    );
    let elliptic = Keys::elliptic(Algorithm::ES256);
    for bad in ["", "hush", &elliptic.private] {
        let refused = with_key(Some(bad)).unwrap_err().to_string();
        assert_eq!(
            refused,
            "client main has a private_key that does not sign as provider acme demands"
        );
    }
    assert!(with_key(Some(&Keys::rsa().private)).is_ok());
}

#[test]
fn a_public_client_needs_no_secret() {
    for auth in ["none", "bearer_refresh_token"] {
        let entry = acme(LOOPBACK, &format!("[request]\nclient_auth = \"{auth}\""));
        assert!(providers(&entry, vec![client("acme", "main", &[])]).is_ok());
    }
}

#[test]
fn without_a_name_the_only_client_of_a_provider_is_meant() {
    let clients = ["slack-a", "slack-b"].map(|name| client("slack", name, &["s"]));
    let mut clients = clients.to_vec();
    clients.push(client("google", "google-a", &["s"]));
    let catalogue = Arc::new(Catalogue::builtin());
    let providers = HttpProviders::new(catalogue, clients, Arc::new(Fixed)).unwrap();
    let resolve = |provider: &str, name: Option<&str>| {
        let provider = ProviderName::parse(provider).unwrap();
        let name = name.map(|name| ClientName::parse(name).unwrap());
        providers
            .resolve_client(&provider, name.as_ref())
            .map(|key| key.to_string())
            .map_err(|error| error.to_string())
    };
    assert_eq!(resolve("google", None).unwrap(), "google/google-a");
    assert_eq!(resolve("slack", Some("slack-b")).unwrap(), "slack/slack-b");
    for (provider, name, error) in [
        (
            "slack",
            None,
            "provider slack has several clients: name one of slack-a, slack-b",
        ),
        (
            "notion",
            None,
            "provider notion has no client in the configuration",
        ),
        (
            "slack",
            Some("google-a"),
            "client google-a of provider slack is not in the configuration",
        ),
        ("acme", None, "provider acme is not in the catalogue"),
    ] {
        assert_eq!(resolve(provider, name).unwrap_err(), error);
    }
}

#[test]
fn a_profile_tells_what_the_catalogue_knows() {
    let entry = acme(
        LOOPBACK,
        "flaky_refusals = true\n[rotation]\nmode = \"grace\"\ngrace = \"10m\"\n\
         [token]\nheader = \"X-Token\"\nscheme = \"\"",
    );
    let providers = providers(&entry, vec![client("acme", "main", &["s"])]).unwrap();
    let key = grant("acme").facts.client;
    assert_eq!(
        providers.profile(&key).unwrap(),
        Profile {
            rotation: Rotation::Grace(Duration::from_secs(600)),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::Static],
            flaky_refusals: true,
            renewal: Renewal::default(),
            header_name: "X-Token".to_owned(),
            header_scheme: String::new(),
            limits: evergrant_core::provider::Limits::default(),
        }
    );
    let other = grant("slack").facts.client;
    let unknown = UnknownClient::Provider("slack".to_owned());
    assert_eq!(providers.profile(&other), Err(unknown.clone()));
    assert_eq!(providers.check(&other), Err(unknown));
}

// C76
#[test]
fn a_client_that_is_not_configured_has_the_profile_of_its_provider() {
    let entry = acme(LOOPBACK, "[token]\nheader = \"X-Token\"\nscheme = \"\"");
    let providers = providers(&entry, Vec::new()).unwrap();
    let client = grant("acme").facts.client;
    assert_eq!(providers.profile(&client).unwrap().header_name, "X-Token");
    let unknown = UnknownClient::Client {
        provider: "acme".to_owned(),
        client: client.client.to_string(),
    };
    assert_eq!(providers.check(&client), Err(unknown));
}

#[tokio::test]
async fn a_grant_of_an_unknown_client_is_not_asked_for() {
    let providers = providers(&acme(LOOPBACK, ""), Vec::new()).unwrap();
    let error = providers
        .refresh(&grant("acme"), Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error.verdict, Verdict::Request);
    assert_eq!(error.delivery, Delivery::NotSent);
}

/// The secrets that were tried, and the outcome of two refreshes in turn.
async fn tried(replies: &[(u16, &str)], secrets: &[&str]) -> (Vec<String>, [Option<Verdict>; 2]) {
    let replies = replies.iter().map(|(status, body)| reply(*status, body));
    let endpoint = Endpoint::answering(replies).await;
    let entry = acme(&endpoint.authority, "");
    let providers = providers(&entry, vec![client("acme", "main", secrets)]).unwrap();
    let mut outcomes = [None, None];
    for outcome in &mut outcomes {
        let result = providers
            .refresh(&grant("acme"), Duration::from_secs(10))
            .await;
        *outcome = result.err().map(|error| error.verdict);
    }
    let secret = |seen: crate::support::Seen| seen.fields()["client_secret"].clone();
    (endpoint.seen().into_iter().map(secret).collect(), outcomes)
}

const GOOD: (u16, &str) = (200, r#"{"access_token":"a"}"#);
const BAD_CLIENT: (u16, &str) = (401, r#"{"error":"invalid_client"}"#);

#[tokio::test]
async fn the_next_secret_is_tried_when_one_is_refused_and_the_good_one_is_remembered() {
    let (secrets, outcomes) = tried(&[BAD_CLIENT, GOOD, GOOD], &["new", "old"]).await;
    assert_eq!(secrets, ["new", "old", "old"]);
    assert_eq!(outcomes, [None, None]);
}

#[tokio::test]
async fn each_secret_is_tried_once() {
    let replies = [BAD_CLIENT; 4];
    let (secrets, outcomes) = tried(&replies, &["new", "old"]).await;
    assert_eq!(secrets, ["new", "old", "new", "old"]);
    assert_eq!(outcomes, [Some(Verdict::Client); 2]);
}

// X says so of a wrong secret.
#[tokio::test]
async fn x_says_in_words_alone_that_a_secret_is_wrong() {
    let said = |words: &str| {
        let body = format!(r#"{{"error":"unauthorized_client","error_description":"{words}"}}"#);
        reply(401, &body)
    };
    for (words, tries) in [
        ("Missing valid authorization header", 2),
        ("The app may not do this", 1),
    ] {
        let endpoint = Endpoint::answering([said(words), reply(GOOD.0, GOOD.1)]).await;
        let entry = moved("x", &endpoint.authority);
        let providers = providers(&entry, vec![client("x", "main", &["new", "old"])]).unwrap();
        let timeout = Duration::from_secs(10);
        let verdict = providers.refresh(&grant("x"), timeout).await.err();
        let verdict = verdict.map(|error| error.verdict);
        assert_eq!(verdict, (tries == 1).then_some(Verdict::Client), "{words}");
        assert_eq!(endpoint.seen().len(), tries, "{words}");
    }
}

// R2, R4: what may have spent the refresh token is not sent again.
#[tokio::test]
async fn only_a_refused_secret_makes_a_second_request() {
    for (body, verdict) in [
        (
            (400, r#"{"error":"invalid_grant"}"#),
            Verdict::Grant(InvalidationReason::GrantRevoked),
        ),
        ((400, r#"{"error":"unauthorized_client"}"#), Verdict::Client),
        ((401, ""), Verdict::Protocol),
        ((500, r#"{"error":"invalid_client"}"#), Verdict::Transient),
        ((429, r#"{"error":"invalid_client"}"#), Verdict::RateLimit),
    ] {
        let (secrets, outcomes) = tried(&[body, GOOD], &["new", "old"]).await;
        assert_eq!(secrets, ["new", "new"], "{body:?}");
        assert_eq!(outcomes, [Some(verdict), None], "{body:?}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let client = client("acme", "main", &["hush"]);
    assert!(!format!("{client:?}").contains("hush"));
    let providers = providers(&acme(LOOPBACK, ""), vec![client]).unwrap();
    assert!(!format!("{providers:?}").contains("hush"));
}
