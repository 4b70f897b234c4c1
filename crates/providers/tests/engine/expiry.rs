//! When an access token ends, by whoever knows best; and renewals that come too early.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::clock::Timestamp;
use evergrant_core::provider::{Delivery, Providers, Renewal, Verdict};

use crate::support::{Endpoint, NOW, Reply, Seen, acme, client, grant, providers, refresh, reply};

fn after(seconds: u64) -> Option<Timestamp> {
    Some(NOW.plus(Duration::from_secs(seconds)))
}

/// An access token that ends so many seconds from now.
fn jwt(seconds: i64) -> String {
    let exp = NOW.as_millis() / 1_000 + seconds;
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{exp}}}"));
    format!("e30.{claims}.sig")
}

async fn end_of(rest: &str, answer: &str) -> Option<Timestamp> {
    let endpoint = Endpoint::answering([reply(200, answer)]).await;
    let issued = refresh(&acme(&endpoint.authority, rest), &grant("acme")).await;
    issued.unwrap().expires_at
}

#[tokio::test]
async fn the_answer_counts_but_never_beyond_the_tokens_own_word() {
    let answer =
        |expires_in: &str, token: &str| format!("{{\"access_token\":\"{token}\"{expires_in}}}");
    let usual = "[lifetime]\naccess_token = \"10m\"";
    for (stated, token, end) in [
        (",\"expires_in\":60", "opaque".to_owned(), 60),
        (",\"expires_in\":60", jwt(3600), 60),
        (",\"expires_in\":3600", jwt(60), 60),
        ("", jwt(60), 60),
        ("", jwt(-60), 600),
        ("", "opaque".to_owned(), 600),
        (",\"expires_in\":60", jwt(-60), 60),
    ] {
        assert_eq!(
            end_of(usual, &answer(stated, &token)).await,
            after(end),
            "{stated} {token}"
        );
    }
    assert_eq!(end_of("", &answer("", "opaque")).await, None, "unknown");
}

/// Refreshes with an introspection endpoint that answers so.
async fn introspected(
    rest: &str,
    answer: Reply,
    token_answer: &str,
) -> (Option<Timestamp>, Vec<Seen>) {
    let endpoint = Endpoint::answering([reply(200, token_answer), answer]).await;
    let rest = format!(
        "introspect_url = \"http://{}/introspect\"\n{rest}\n[lifetime]\naccess_token = \"10m\"",
        endpoint.authority
    );
    let issued = refresh(&acme(&endpoint.authority, &rest), &grant("acme")).await;
    (issued.unwrap().expires_at, endpoint.seen())
}

const SILENT: &str = r#"{"access_token":"opaque","refresh_token":"new-refresh"}"#;

// RFC 7662 section 2
#[tokio::test]
async fn the_provider_is_asked_where_nothing_else_tells() {
    let exp = NOW.as_millis() / 1_000 + 90;
    let answer = reply(200, &format!("{{\"active\":true,\"exp\":{exp}}}"));
    let (end, seen) = introspected("", answer.clone(), SILENT).await;
    assert_eq!(end, after(90));
    assert_eq!(seen[1].path, "/introspect");
    assert_eq!(
        seen[1].body,
        "token=opaque&token_type_hint=access_token&client_id=the-id&client_secret=the-secret"
    );
    let rest = "[introspect]\nclient_auth = \"bearer_access_token\"\nmethod = \"GET\"\n\
                omit = [\"token\", \"token_type_hint\"]\nexpires_at = [\"/until\"]";
    let other = reply(200, &format!("{{\"until\":{exp}}}"));
    let (end, seen) = introspected(rest, other, SILENT).await;
    assert_eq!(end, after(90));
    assert_eq!((&*seen[1].method, &*seen[1].query), ("GET", ""));
    assert_eq!(seen[1].header("authorization"), Some("Bearer opaque"));

    for token_answer in [
        r#"{"access_token":"opaque","expires_in":60}"#.to_owned(),
        format!("{{\"access_token\":\"{}\"}}", jwt(60)),
    ] {
        let (end, seen) = introspected("", answer.clone(), &token_answer).await;
        assert_eq!((end, seen.len()), (after(60), 1), "it is known already");
    }
}

#[tokio::test]
async fn a_token_is_not_lost_to_a_question_about_it() {
    for answer in [
        reply(500, "{}"),
        reply(401, r#"{"error":"invalid_client"}"#),
        reply(200, r#"{"active":false,"exp":1700000090}"#),
        reply(200, r#"{"active":true}"#),
        reply(200, "<html>"),
        reply(302, "").with("location", "http://127.0.0.1:9/"),
    ] {
        let (end, seen) = introspected("", answer, SILENT).await;
        assert_eq!((end, seen.len()), (after(600), 2));
    }
}

// A90: Instagram
#[tokio::test]
async fn an_expiry_that_must_be_a_number_is_refused_as_a_text() {
    let rest = "[response]\nnumbers_only = true";
    let end = end_of(rest, r#"{"access_token":"a","expires_in":60}"#).await;
    assert_eq!(end, after(60));
    assert_eq!(end_of(rest, r#"{"access_token":"a"}"#).await, None);
    let endpoint =
        Endpoint::answering([reply(200, r#"{"access_token":"a","expires_in":"60"}"#)]).await;
    let error = refresh(&acme(&endpoint.authority, rest), &grant("acme"))
        .await
        .unwrap_err();
    assert_eq!(error.verdict, Verdict::Protocol);
    assert_eq!(
        error.message,
        "acme answered HTTP 200 at its token_url with an expiry that is no number"
    );
}

#[tokio::test]
async fn a_refresh_token_ends_of_age_or_of_idleness_whichever_is_sooner() {
    let end_of = async |lifetime: &str, answer: &str| {
        let endpoint = Endpoint::answering([reply(200, answer)]).await;
        let entry = acme(&endpoint.authority, &format!("[lifetime]\n{lifetime}"));
        let issued = refresh(&entry, &grant("acme")).await.unwrap();
        issued.refresh_expires_at
    };
    let (new, old) = (SILENT, r#"{"access_token":"a"}"#);
    let (age, idle) = ("refresh_token = \"100s\"", "refresh_token_idle = \"50s\"");
    assert_eq!(end_of(age, new).await, after(100));
    assert_eq!(end_of(age, old).await, None, "an old one grows no younger");
    assert_eq!(end_of(idle, new).await, after(50));
    assert_eq!(end_of(idle, old).await, after(50), "using it is enough");
    assert_eq!(end_of(&format!("{age}\n{idle}"), new).await, after(50));
    assert_eq!(
        end_of("grant = \"10s\"", new).await,
        None,
        "core knows the consent"
    );
    let stated = r#"{"access_token":"a","refresh_token":"r","refresh_token_expires_in":7}"#;
    assert_eq!(
        end_of(age, stated).await,
        after(7),
        "the answer knows better"
    );
}

// A89, W28: Instagram
#[tokio::test]
async fn a_token_that_renews_itself_is_redeemed_in_place_of_a_refresh_token() {
    let rest = r#"
        [renewal]
        self_renewing = true
        [grants.refresh_token]
        method = "GET"
        client_auth = "none"
        omit = ["client_id"]
        grant_type = "ig_refresh_token"
        names = { refresh_token = "access_token" }
    "#;
    let endpoint = Endpoint::answering([reply(200, r#"{"access_token":"a"}"#)]).await;
    let mut grant = grant("acme");
    grant.tokens.refresh_token = None;
    let issued = refresh(&acme(&endpoint.authority, rest), &grant).await;
    assert_eq!(issued.unwrap().access_token.expose(), "a");
    let seen = endpoint.seen();
    assert_eq!(
        seen[0].query,
        "grant_type=ig_refresh_token&access_token=old-access"
    );
}

#[tokio::test]
async fn a_token_that_is_too_young_is_left_in_peace() {
    let endpoint = Endpoint::answering([reply(200, SILENT)]).await;
    let entry = acme(&endpoint.authority, "[renewal]\nmin_age = \"24h\"");
    let mut grant = grant("acme");
    grant.facts.issued_at = NOW.minus(Duration::from_secs(86_399));
    let error = refresh(&entry, &grant).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Transient);
    assert_eq!(error.delivery, Delivery::NotSent);
    assert_eq!(error.retry_after, Some(Duration::from_secs(1)));
    assert_eq!(error.message, "acme renews no token this young");
    assert_eq!(endpoint.seen().len(), 0);
    grant.facts.issued_at = NOW.minus(Duration::from_secs(86_400));
    assert!(refresh(&entry, &grant).await.is_ok());
}

#[tokio::test]
async fn a_token_that_was_brought_late_in_its_life_is_older_than_it_seems() {
    let endpoint = Endpoint::answering([reply(200, SILENT)]).await;
    let entry = acme(&endpoint.authority, "[renewal]\nmin_age = \"24h\"");
    let mut grant = grant("acme");
    grant.facts.issued_at = NOW;
    grant.facts.expires_at = Some(NOW.plus(Duration::from_secs(86_399)));
    assert!(refresh(&entry, &grant).await.is_ok());
}

#[test]
fn a_profile_tells_how_grants_are_renewed() {
    let renewal = |rest: &str| {
        let providers = providers(
            &acme("127.0.0.1:9", rest),
            vec![client("acme", "main", &["s"])],
        );
        let profile = providers.unwrap().profile(&grant("acme").facts.client);
        profile.unwrap().renewal
    };
    let stated =
        "[renewal]\nself_renewing = true\nmin_age = \"24h\"\nrefresh_only_while_valid = true";
    let expected = Renewal {
        self_renewing: true,
        min_age: Some(Duration::from_secs(86_400)),
        only_while_valid: true,
        ..Renewal::default()
    };
    assert_eq!(renewal(stated), expected);
    let margin = renewal("[renewal]\nrefresh_token_margin = \"1d\"").refresh_token_margin;
    assert_eq!(margin, Some(Duration::from_secs(86_400)));
    for (rest, end_moves) in [
        ("", true),
        ("[rotation]\nmode = \"none\"", false),
        (
            "[rotation]\nmode = \"none\"\n[lifetime]\nrefresh_token = \"90d\"",
            false,
        ),
        (
            "[rotation]\nmode = \"none\"\n[lifetime]\nrefresh_token_idle = \"90d\"",
            false,
        ),
        ("[lifetime]\nrefresh_token = \"60d\"", true),
        ("[lifetime]\ngrant = \"365d\"", false),
        (
            "[lifetime]\ngrant = \"365d\"\nrefresh_token = \"60d\"",
            true,
        ),
        (
            "[lifetime]\ngrant = \"365d\"\nrefresh_token_idle = \"60d\"",
            true,
        ),
    ] {
        assert_eq!(renewal(rest).end_moves, end_moves, "{rest}");
    }
    let idle = "[lifetime]\nrefresh_token_idle = \"365d\"";
    let kept = format!("[rotation]\nmode = \"none\"\n{idle}");
    let year = Some(Duration::from_secs(365 * 86_400));
    assert_eq!(renewal(&kept).refresh_token_idle, year);
    assert_eq!(
        renewal(idle).refresh_token_idle,
        None,
        "its successor counts"
    );
    assert_eq!(renewal("[lifetime]\ngrant = \"365d\"").grant_lifetime, year);
}
