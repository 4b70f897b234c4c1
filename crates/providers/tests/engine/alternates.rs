//! Grants that may belong to another client of the same provider.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::ids::ClientName;
use evergrant_core::provider::{CallError, Issued, Providers, Verdict};
use evergrant_providers::{CodeExchange, OAuthClient};

use crate::support::{Endpoint, Reply, acme, client, grant, providers, reply};

const MARKED: &str =
    "[errors]\nunauthorized_client = { verdict = \"client\", try_alternate_client = true }";

fn with_alternates(name: &str, alternates: &[&str]) -> OAuthClient {
    let mut made = client("acme", name, &[&format!("{name}-secret")]);
    made.client_id = format!("{name}-id");
    made.alternates = alternates
        .iter()
        .map(|name| ClientName::parse(name).unwrap())
        .collect();
    made
}

/// Refreshes a grant of `main`, whose alternate is `other`. Answers which clients asked.
async fn refresh(
    rest: &str,
    replies: impl IntoIterator<Item = Reply>,
    accepted_before: Option<&str>,
) -> (Vec<(String, String)>, Result<Issued, CallError>) {
    let endpoint = Endpoint::answering(replies).await;
    let clients = vec![
        with_alternates("main", &["other"]),
        with_alternates("other", &[]),
    ];
    let providers = providers(&acme(&endpoint.authority, rest), clients).unwrap();
    let mut grant = grant("acme");
    if let Some(name) = accepted_before {
        let metadata = &mut grant.tokens.metadata;
        metadata.insert("oauth_client".to_owned(), name.to_owned());
    }
    let outcome = providers.refresh(&grant, Duration::from_secs(10)).await;
    let asked = endpoint.seen().into_iter().map(|seen| {
        let mut fields = seen.fields();
        assert_eq!(fields["refresh_token"], "old-refresh");
        let mut take = |name: &str| fields.remove(name).unwrap();
        (take("client_id"), take("client_secret"))
    });
    (asked.collect(), outcome)
}

fn good() -> Reply {
    reply(200, r#"{"access_token":"a"}"#)
}

fn bad(code: &str) -> Reply {
    reply(401, &format!("{{\"error\":\"{code}\"}}"))
}

fn pair(name: &str) -> (String, String) {
    (format!("{name}-id"), format!("{name}-secret"))
}

// Gemini: two registered clients, and no way to tell from a token which of them it was issued to.
#[tokio::test]
async fn a_marked_refusal_is_followed_by_the_same_request_of_the_alternate() {
    let (asked, outcome) = refresh(MARKED, [bad("unauthorized_client"), good()], None).await;
    assert_eq!(asked, [pair("main"), pair("other")]);
    assert_eq!(outcome.unwrap().metadata["oauth_client"], "other");
}

#[tokio::test]
async fn the_client_that_was_accepted_is_tried_first_from_then_on() {
    let (asked, outcome) = refresh(MARKED, [good()], Some("other")).await;
    assert_eq!(asked, [pair("other")]);
    assert_eq!(outcome.unwrap().metadata["oauth_client"], "other");
    let replies = [bad("unauthorized_client"), good()];
    let (asked, outcome) = refresh(MARKED, replies, Some("other")).await;
    assert_eq!(asked, [pair("other"), pair("main")]);
    assert_eq!(outcome.unwrap().metadata["oauth_client"], "main");
    let (asked, _) = refresh(MARKED, [good()], Some("stranger")).await;
    assert_eq!(asked, [pair("main")]);
}

#[tokio::test]
async fn each_client_is_tried_once() {
    let replies = [
        bad("unauthorized_client"),
        bad("unauthorized_client"),
        good(),
    ];
    let (asked, outcome) = refresh(MARKED, replies, None).await;
    assert_eq!(asked.len(), 2);
    assert_eq!(outcome.unwrap_err().verdict, Verdict::Client);
}

#[tokio::test]
async fn an_alternate_that_is_rejected_itself_is_passed_over_and_not_held_against_the_client() {
    let names = ["main", "broken", "other"];
    let ask = async |replies: Vec<Reply>| {
        let endpoint = Endpoint::answering(replies).await;
        let clients = vec![
            with_alternates("main", &["broken", "other"]),
            with_alternates("broken", &[]),
            with_alternates("other", &[]),
        ];
        let providers = providers(&acme(&endpoint.authority, MARKED), clients).unwrap();
        let outcome = providers
            .refresh(&grant("acme"), Duration::from_secs(10))
            .await;
        let asked = endpoint.seen().into_iter();
        let asked: Vec<String> = asked
            .map(|seen| seen.fields()["client_id"].clone())
            .collect();
        assert_eq!(asked, names.map(|name| format!("{name}-id")));
        outcome
    };
    let found = ask(vec![
        bad("unauthorized_client"),
        bad("invalid_client"),
        good(),
    ]);
    assert_eq!(found.await.unwrap().metadata["oauth_client"], "other");

    let refused = ask(vec![
        bad("unauthorized_client"),
        bad("invalid_client"),
        bad("unauthorized_client"),
    ]);
    let refused = refused.await.unwrap_err();
    assert_eq!(refused.verdict, Verdict::Client);
    assert_eq!(
        refused.code, "unauthorized_client",
        "it is what main was told"
    );
    assert!(refused.grant_specific);
    assert_eq!(
        refused.message.matches("HTTP 401").count(),
        3,
        "{}",
        refused.message
    );
}

// RFC 6749 section 5.2: a client that a grant was not issued to is told that it is invalid.
#[tokio::test]
async fn no_other_client_can_tell_that_the_grant_of_a_rejected_one_is_dead() {
    let replies = [bad("invalid_client"), bad("invalid_grant")];
    let (asked, outcome) = refresh(MARKED, replies, Some("other")).await;
    assert_eq!(asked, [pair("other"), pair("main")]);
    let refused = outcome.unwrap_err();
    assert_eq!(refused.verdict, Verdict::Client);
    assert_eq!(refused.code, "invalid_client");
    assert!(refused.grant_specific, "main is not to blame");
}

// R2, R4: what may have spent the refresh token is not sent again.
#[tokio::test]
async fn no_other_refusal_is_followed_by_a_second_request() {
    for (rest, answer) in [
        ("", bad("unauthorized_client")),
        (MARKED, bad("invalid_grant")),
        (MARKED, bad("invalid_client")),
        (MARKED, reply(500, r#"{"error":"unauthorized_client"}"#)),
        (MARKED, reply(429, r#"{"error":"unauthorized_client"}"#)),
    ] {
        let (asked, outcome) = refresh(rest, [answer, good()], None).await;
        assert_eq!(asked, [pair("main")]);
        assert!(outcome.is_err());
    }
}

#[test]
fn an_alternate_is_another_client_of_the_same_provider() {
    let entry = acme("127.0.0.1:9", "");
    for alternate in ["main", "stranger"] {
        let refused = providers(&entry, vec![with_alternates("main", &[alternate])]);
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!(
                "client main has the alternate {alternate}, which is no other client of its provider"
            )
        );
    }
}

#[tokio::test]
async fn a_client_without_alternates_leaves_no_mark() {
    let endpoint = Endpoint::answering([good()]).await;
    let providers = providers(
        &acme(&endpoint.authority, MARKED),
        vec![with_alternates("main", &[])],
    );
    let outcome = providers
        .unwrap()
        .refresh(&grant("acme"), Duration::from_secs(10))
        .await;
    assert!(outcome.unwrap().metadata.is_empty());
}

// A code belongs to the client that sent the user.
#[tokio::test]
async fn a_code_is_not_tried_with_an_alternate() {
    let endpoint = Endpoint::answering([bad("unauthorized_client"), good()]).await;
    let clients = vec![
        with_alternates("main", &["other"]),
        with_alternates("other", &[]),
    ];
    let providers = providers(&acme(&endpoint.authority, MARKED), clients).unwrap();
    let exchange = CodeExchange {
        client: &grant("acme").facts.client,
        code: "c",
        redirect_uri: "https://us.example/back",
        code_verifier: None,
        state: "the-state",
        nonce: None,
        placeholders: &BTreeMap::new(),
    };
    let outcome = providers
        .exchange_code(&exchange, Duration::from_secs(10))
        .await;
    assert_eq!(outcome.unwrap_err().verdict, Verdict::Client);
    assert_eq!(endpoint.seen().len(), 1);
}
