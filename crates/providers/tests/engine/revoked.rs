//! Revocation.

use std::time::Duration;

use evergrant_core::grant::Grant;
use evergrant_core::provider::{CallError, Providers as _, Revocation, Verdict};

use crate::support::{Endpoint, Reply, Seen, acme, client, grant, providers, reply};

async fn revoke_with(
    grant: &Grant,
    rest: &str,
    replies: impl IntoIterator<Item = Reply>,
) -> (Vec<Seen>, Result<Revocation, CallError>) {
    let endpoint = Endpoint::answering(replies).await;
    let url = format!("revoke_url = \"http://{}/revoke\"\n", endpoint.authority);
    let entry = acme(&endpoint.authority, &format!("{url}{rest}"));
    let providers = providers(&entry, vec![client("acme", "main", &["new", "old"])]).unwrap();
    let outcome = providers.revoke(grant, Duration::from_secs(10)).await;
    (endpoint.seen(), outcome)
}

async fn revoke(rest: &str, answer: Reply) -> (Seen, Result<Revocation, CallError>) {
    let (mut seen, outcome) = revoke_with(&grant("acme"), rest, [answer]).await;
    assert_eq!(seen.len(), 1);
    (seen.remove(0), outcome)
}

// RFC 7009 section 2.1
#[tokio::test]
async fn the_refresh_token_is_revoked_as_the_rfc_has_it() {
    let (seen, outcome) = revoke("", reply(200, "")).await;
    assert_eq!((&*seen.method, &*seen.path), ("POST", "/revoke"));
    assert_eq!(
        seen.body,
        "token=old-refresh&token_type_hint=refresh_token&client_id=the-id&client_secret=new"
    );
    assert_eq!(outcome.unwrap(), Revocation::Revoked);
}

#[tokio::test]
async fn without_a_refresh_token_the_access_token_is_revoked() {
    let mut grant = grant("acme");
    grant.tokens.refresh_token = None;
    let (seen, _) = revoke_with(&grant, "", [reply(200, "")]).await;
    assert_eq!(seen[0].fields()["token"], "old-access");
    assert_eq!(seen[0].fields()["token_type_hint"], "access_token");
}

#[tokio::test]
async fn an_entry_may_revoke_in_another_way() {
    let rest = r#"
        [response]
        failure = { pointer = "/ok", equals = false }
        [revoke]
        method = "GET"
        client_auth = "bearer_access_token"
        token = "access_token"
        omit = ["token", "token_type_hint"]
        parameters = { test = "0", team = "{team_id?}" }
        [errors]
        not_yet = "transient"
    "#;
    let mut grant = grant("acme");
    let metadata = &mut grant.tokens.metadata;
    metadata.insert("team_id".to_owned(), "T1".to_owned());
    let (seen, outcome) = revoke_with(&grant, rest, [reply(200, r#"{"ok":true}"#)]).await;
    assert_eq!(seen[0].method, "GET");
    assert_eq!(seen[0].query, "team=T1&test=0");
    assert_eq!(seen[0].header("authorization"), Some("Bearer old-access"));
    assert_eq!(outcome.unwrap(), Revocation::Revoked);
    let answer = reply(200, r#"{"ok":false,"error":"not_yet"}"#);
    let (_, outcome) = revoke_with(&grant, rest, [answer]).await;
    assert_eq!(outcome.unwrap_err().verdict, Verdict::Transient);

    let rest = "[revoke]\nmethod = \"DELETE\"\nbody = \"json\"\nclient_auth = \"basic\"\n\
                names = { token = \"access_token\" }\nomit = [\"token_type_hint\"]\n\
                token = \"access_token\"\nsuccess = [204, 404]";
    let (seen, outcome) = revoke(rest, reply(404, "")).await;
    assert_eq!(seen.method, "DELETE");
    assert_eq!(seen.body, r#"{"access_token":"old-access"}"#);
    assert!(seen.header("authorization").unwrap().starts_with("Basic "));
    assert_eq!(outcome.unwrap(), Revocation::Revoked);
    let (_, outcome) = revoke(rest, reply(200, "")).await;
    assert!(outcome.is_err());
}

#[tokio::test]
async fn a_grant_that_is_dead_already_is_revoked() {
    for answer in [
        reply(400, r#"{"error":"invalid_token"}"#),
        reply(400, r#"{"error":"invalid_grant"}"#),
    ] {
        let (_, outcome) = revoke("", answer).await;
        assert_eq!(outcome.unwrap(), Revocation::Revoked);
    }
}

#[tokio::test]
async fn a_policy_that_forbids_the_revocation_confirms_nothing() {
    let consent =
        "[errors]\nconsent_required = { verdict = \"grant\", reason = \"access_denied\" }";
    for (rest, code) in [
        ("", "access_denied"),
        (consent, "consent_required"),
        (
            "[revoke]\nclient_auth = \"bearer_access_token\"",
            "invalid_token",
        ),
    ] {
        let answer = reply(403, &format!(r#"{{"error":"{code}"}}"#));
        let (_, outcome) = revoke(rest, answer).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.verdict, &*error.code), (Verdict::Request, code));
    }
}

#[tokio::test]
async fn a_provider_that_cannot_revoke_says_so_or_has_no_url() {
    let (_, outcome) = revoke("", reply(400, r#"{"error":"unsupported_token_type"}"#)).await;
    assert_eq!(outcome.unwrap(), Revocation::NotSupported);
    let providers = providers(
        &acme("127.0.0.1:9", ""),
        vec![client("acme", "main", &["s"])],
    );
    let outcome = providers
        .unwrap()
        .revoke(&grant("acme"), Duration::from_secs(1))
        .await;
    assert_eq!(outcome.unwrap(), Revocation::NotSupported);
}

#[tokio::test]
async fn failures_are_told_and_a_refused_secret_is_followed_by_the_next() {
    let (_, outcome) = revoke("", reply(503, "")).await;
    assert_eq!(outcome.unwrap_err().verdict, Verdict::Transient);
    let (_, outcome) = revoke("", reply(302, "")).await;
    assert_eq!(outcome.unwrap_err().verdict, Verdict::Protocol);
    let replies = [reply(401, r#"{"error":"invalid_client"}"#), reply(200, "")];
    let (seen, outcome) = revoke_with(&grant("acme"), "", replies).await;
    let secrets: Vec<String> = seen
        .iter()
        .map(|seen| seen.fields()["client_secret"].clone())
        .collect();
    assert_eq!(secrets, ["new", "old"]);
    assert_eq!(outcome.unwrap(), Revocation::Revoked);
}

// RFC 7009 section 2.2: the body of a success is ignored.
#[tokio::test]
async fn a_success_is_believed_whatever_it_says() {
    for (content_type, body) in [
        ("application/json", "{}"),
        ("application/json", r#"{"revoked":true}"#),
        ("text/plain", "OK"),
        ("text/plain", "Token revoked; bye <user>"),
        ("text/html; charset=utf-8", ""),
        ("text/html", " \r\n"),
        ("text/html", "revoked"),
    ] {
        let answer = reply(200, body).with("content-type", content_type);
        let (_, outcome) = revoke("", answer).await;
        assert_eq!(
            outcome.unwrap(),
            Revocation::Revoked,
            "{content_type} {body}"
        );
    }
    let empty = reply(200, "").with("content-encoding", "gzip");
    let (_, outcome) = revoke("", empty).await;
    assert_eq!(outcome.unwrap(), Revocation::Revoked);
}

#[tokio::test]
async fn a_page_and_a_compressed_answer_confirm_nothing() {
    let page =
        reply(200, "\n<!doctype html><form action=/login>").with("content-type", "text/html");
    let packed = reply(200, "\u{1f}packed").with("content-encoding", "gzip");
    for (answer, what) in [
        (page, "with a page of HTML in place of a sign of success"),
        (packed, "with a compressed body, which it was asked not to"),
    ] {
        let (_, outcome) = revoke("", answer).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.verdict, Verdict::Protocol);
        let message = format!("acme answered HTTP 200 at its revoke_url {what}");
        assert_eq!(error.message, message);
    }
}

#[tokio::test]
async fn a_redirect_is_told_with_the_endpoint_and_the_host_that_it_leads_to_and_no_more() {
    for (location, to) in [
        (
            "https://login.acme.example/sign-in?next=hush",
            " to login.acme.example",
        ),
        (
            "https://login.acme.example:8443/",
            " to login.acme.example:8443",
        ),
        ("https://old-refresh.acme.example/", ""),
        ("https://", ""),
    ] {
        let (_, outcome) = revoke("", reply(302, "<p>moved").with("location", location)).await;
        let message = format!(
            "acme answered HTTP 302 at its revoke_url, a redirect{to}, which is not followed"
        );
        assert_eq!(outcome.unwrap_err().message, message, "{location}");
    }
}
