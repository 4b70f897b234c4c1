//! Codes whose token is exchanged at once for another one: two requests, one outcome.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::{CallError, Delivery, Verdict};
use evergrant_providers::engine::{Lack, Unusable};
use evergrant_providers::{CodeExchange, Consented};
use secrecy::ExposeSecret;

use crate::support::{Endpoint, NOW, Reply, Seen, acme, client, grant, providers, reply};

const BACK: &str = "https://us.example/back";
const FIRST: &str = r#"{"access_token":"short-lived","refresh_token":"of-the-first","expires_in":3600,
    "user_id":1020,"scope":"a,b","id_token":"e.y.j","team":"T1","region":"eu"}"#;
const SECOND: &str = r#"{"access_token":"long-lived","expires_in":5183944,"region":"us"}"#;
const LONG: Duration = Duration::from_secs(10);

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

/// An entry with a second request at `path` of the same endpoint.
fn two_step(authority: &str, rest: &str) -> String {
    acme(
        authority,
        &format!(
            r#"
            [grants.authorization_code.response]
            account = "/user_id"
            metadata = {{ team = "/team", region = "/region" }}
            [grants.authorization_code.then]
            url = "http://{authority}/exchange"
            method = "GET"
            grant_type = "exchange"
            omit = ["client_id"]
            parameters = {{ token = "{{access_token}}", team = "{{team}}" }}
            [grants.authorization_code.then.response.metadata]
            region = "/region"
            {rest}
            "#
        ),
    )
}

struct Run {
    seen: Vec<Seen>,
    outcome: Result<Consented, CallError>,
}

impl Run {
    fn error(self) -> CallError {
        self.outcome
            .map(|consented| consented.issued.scopes)
            .unwrap_err()
    }
}

async fn exchange(entry: &str, endpoint: &Endpoint, timeout: Duration) -> Run {
    let providers = providers(entry, vec![client("acme", "main", &["the-secret"])]);
    let key = grant("acme").facts.client;
    let code = CodeExchange {
        client: &key,
        code: "the-code",
        redirect_uri: BACK,
        code_verifier: Some("the-verifier"),
        state: "the-state",
        nonce: None,
        placeholders: &map(&[
            ("team", "of the consent"),
            ("access_token", "of the consent"),
        ]),
    };
    let outcome = providers.unwrap().exchange_code(&code, timeout).await;
    Run {
        seen: endpoint.seen(),
        outcome,
    }
}

async fn run(replies: impl IntoIterator<Item = Reply>, timeout: Duration) -> Run {
    let endpoint = Endpoint::answering(replies).await;
    exchange(&two_step(&endpoint.authority, ""), &endpoint, timeout).await
}

#[tokio::test]
async fn the_second_answer_counts_and_what_it_lacks_is_taken_from_the_first() {
    let run = run([reply(200, FIRST), reply(200, SECOND)], LONG).await;
    let [first, second] = run.seen.as_slice() else {
        panic!("{} requests were sent", run.seen.len());
    };
    assert_eq!(first.fields()["code"], "the-code");
    assert_eq!(
        (second.method.as_str(), second.path.as_str()),
        ("GET", "/exchange")
    );
    assert_eq!(
        second.query,
        "grant_type=exchange&client_secret=the-secret&team=T1&token=short-lived"
    );
    let consented = run.outcome.unwrap();
    assert_eq!(consented.account.as_deref(), Some("1020"));
    assert_eq!(consented.id_token.unwrap().expose_secret(), "e.y.j");
    let issued = consented.issued;
    assert_eq!(issued.access_token.expose(), "long-lived");
    assert_eq!(issued.refresh_token.unwrap().expose(), "of-the-first");
    assert_eq!(issued.scopes.unwrap(), ["a", "b"]);
    let end = NOW.plus(Duration::from_secs(5_183_944));
    assert_eq!(issued.expires_at, Some(end), "not that of the first");
    assert_eq!(issued.metadata["team"], "T1");
    assert_eq!(issued.metadata["region"], "us", "the second knows better");
}

#[tokio::test]
async fn the_first_answers_end_is_never_that_of_the_second_token() {
    let second = reply(200, r#"{"access_token":"long-lived"}"#);
    let outcome = run([reply(200, FIRST), second], LONG).await.outcome;
    assert_eq!(outcome.unwrap().issued.expires_at, None);
}

#[tokio::test]
async fn a_refusal_between_the_two_is_told_as_the_seconds_and_leaves_nothing() {
    let refusal = r#"{"error":"invalid_grant",
        "error_description":"short-lived or the-code or the-verifier or the-secret is bad"}"#;
    let run = run([reply(200, FIRST), reply(400, refusal)], LONG).await;
    assert_eq!(run.seen.len(), 2, "neither request is repeated");
    let error = run.error();
    assert_eq!(
        error.verdict,
        Verdict::Grant(InvalidationReason::GrantRevoked)
    );
    assert_eq!(error.code, "invalid_grant");
    assert_eq!(
        error.message,
        "in the second of two requests acme answered HTTP 400 at its grants.authorization_code.then.url with invalid_grant: \
         [removed] or [removed] or [removed] or [removed] is bad; \
         the code is spent, so the user has to consent again"
    );
}

#[tokio::test]
async fn a_refused_code_is_told_as_the_firsts_and_no_second_request_follows() {
    let run = run([reply(400, r#"{"error":"invalid_grant"}"#)], LONG).await;
    assert_eq!(run.seen.len(), 1);
    assert_eq!(
        run.error().message,
        "in the first of two requests acme answered HTTP 400 at its token_url with invalid_grant"
    );
}

#[tokio::test]
async fn a_failure_that_passes_between_the_two_costs_the_user_nothing() {
    let busy = [reply(200, FIRST), reply(503, ""), reply(200, SECOND)];
    let run = run(busy, LONG).await;
    assert_eq!(
        run.outcome.unwrap().issued.access_token.expose(),
        "long-lived"
    );
    let paths: Vec<&str> = run.seen.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!(paths, ["/token", "/exchange", "/exchange"]);
}

#[tokio::test]
async fn the_second_request_is_repeated_until_the_deadline_and_the_code_is_not() {
    let always = (0..20).map(|_| reply(503, r#"{"error":"temporarily_unavailable"}"#));
    let replies = std::iter::once(reply(200, FIRST)).chain(always);
    let begun = Instant::now();
    let run = run(replies, Duration::from_secs(3)).await;
    assert!(begun.elapsed() < Duration::from_secs(4));
    let with_code = run.seen.iter().filter(|seen| seen.path == "/token").count();
    assert_eq!(with_code, 1);
    assert!(
        (2..=4).contains(&(run.seen.len() - 1)),
        "{}",
        run.seen.len()
    );
    let error = run.error();
    assert_eq!(error.verdict, Verdict::Transient);
    assert_eq!(
        (error.delivery, error.status),
        (Delivery::Answered, Some(503))
    );
}

#[tokio::test]
async fn a_limit_is_waited_for_only_if_the_provider_says_how_long() {
    let limit = || reply(429, r#"{"error":"too_many"}"#);
    let silent = run([reply(200, FIRST), limit(), reply(200, SECOND)], LONG).await;
    assert_eq!(silent.seen.len(), 2);
    assert_eq!(silent.error().verdict, Verdict::RateLimit);

    let soon = limit().with("retry-after", "1");
    let waited = run([reply(200, FIRST), soon, reply(200, SECOND)], LONG).await;
    assert!(waited.outcome.is_ok());

    let late = limit().with("retry-after", "60");
    let late = run([reply(200, FIRST), late, reply(200, SECOND)], LONG).await;
    assert_eq!(late.seen.len(), 2);
    let error = late.error();
    assert_eq!(error.retry_after, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn a_second_endpoint_that_cannot_be_reached_or_leads_elsewhere_gets_no_token() {
    let endpoint = Endpoint::answering([reply(200, FIRST)]).await;
    let entry = two_step(&endpoint.authority, "").replace(
        &format!("{}/exchange", endpoint.authority),
        "127.0.0.1:1/exchange",
    );
    let error = exchange(&entry, &endpoint, Duration::from_secs(1))
        .await
        .error();
    assert_eq!(error.verdict, Verdict::Transient);
    assert_eq!(error.delivery, Delivery::NotSent);
    assert!(
        error.message.contains("in the second of two requests"),
        "{}",
        error.message
    );

    let elsewhere = reply(302, "").with("location", "http://127.0.0.1:1/");
    let run = run([reply(200, FIRST), elsewhere], LONG).await;
    assert_eq!(run.seen.len(), 2);
    assert_eq!(run.error().verdict, Verdict::Protocol);
}

/// A host that the first answer names.
#[tokio::test]
async fn the_first_answer_cannot_send_the_token_to_a_host_outside_allowed_hosts() {
    let endpoint = Endpoint::answering([reply(200, FIRST)]).await;
    let entry = two_step(&endpoint.authority, "").replace(
        &format!("http://{}/exchange", endpoint.authority),
        "https://{region}.acme.example/exchange",
    );
    let allowed = "allowed_hosts = [\"us.acme.example\"]\n";
    let entry = entry.replacen('\n', &format!("\n{allowed}"), 1);
    let run = exchange(&entry, &endpoint, LONG).await;
    assert_eq!(run.seen.len(), 1);
    let error = run.error();
    assert_eq!(
        (error.verdict, error.delivery),
        (Verdict::Request, Delivery::NotSent)
    );
    assert!(
        error
            .message
            .contains("grants.authorization_code.then.url leads to a host outside allowed_hosts"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn another_secret_is_tried_in_the_second_request_too() {
    let refused = reply(401, r#"{"error":"invalid_client"}"#);
    let endpoint = Endpoint::answering([reply(200, FIRST), refused, reply(200, SECOND)]).await;
    let entry = two_step(&endpoint.authority, "");
    let providers = providers(&entry, vec![client("acme", "main", &["old", "new"])]).unwrap();
    let code = CodeExchange {
        client: &grant("acme").facts.client,
        code: "the-code",
        redirect_uri: BACK,
        code_verifier: None,
        state: "the-state",
        nonce: None,
        placeholders: &BTreeMap::new(),
    };
    providers.exchange_code(&code, LONG).await.unwrap();
    let seen = endpoint.seen();
    assert!(seen[1].query.contains("client_secret=old"));
    assert!(seen[2].query.contains("client_secret=new"));
}

fn check(rest: &str, placeholders: &[(&str, &str)]) -> Result<(), Unusable> {
    let entry = two_step("127.0.0.1:9", "").replace("team = \"{team}\"", rest);
    let providers = providers(&entry, vec![client("acme", "main", &["s"])]).unwrap();
    let key = grant("acme").facts.client;
    providers.check_consent(&key, BACK, &map(placeholders))
}

#[test]
fn what_the_second_request_lacks_is_told_before_a_user_is_sent() {
    assert_eq!(
        check("team = \"{team}\"", &[]),
        Ok(()),
        "the first answer gives it"
    );
    let shop = "shop = \"{shop}\"";
    let error = check(shop, &[]).unwrap_err();
    assert_eq!(error.lack, Lack::Placeholder("shop".to_owned()));
    assert_eq!(
        error.to_string(),
        "catalogue entry acme: grants.authorization_code.then.parameters.shop placeholder {shop} has no value"
    );
    assert_eq!(check(shop, &[("shop", "seven")]), Ok(()));
}
