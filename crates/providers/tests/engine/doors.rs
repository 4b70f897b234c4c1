//! Bad input at every door: the error names entry and field, and no grant is harmed.

use std::time::Duration;

use evergrant_core::grant::Grant;
use evergrant_core::provider::{CallError, Delivery, Providers, Verdict};

use crate::support::{Endpoint, acme, client, grant, moved, providers, refresh, reply};

/// An entry whose host is the grant's, with what it allows.
fn open(url: &str, allowed: &str) -> String {
    format!(
        "name = \"acme\"\ntoken_url = \"{url}\"\nallowed_hosts = [\"{allowed}\"]\nsources = [\"a test\"]"
    )
}

fn at(host: &str) -> Grant {
    let mut grant = grant("acme");
    let metadata = &mut grant.tokens.metadata;
    metadata.insert("host".to_owned(), host.to_owned());
    grant
}

fn harmless(error: &CallError) {
    assert!(
        !matches!(error.verdict, Verdict::Grant(_) | Verdict::Client),
        "{error:?}"
    );
}

async fn not_asked(entry: &str, grant: &Grant) -> String {
    let error = refresh(entry, grant).await.unwrap_err();
    harmless(&error);
    assert_eq!(error.verdict, Verdict::Request);
    assert_eq!(error.delivery, Delivery::NotSent);
    error.message
}

#[tokio::test]
async fn a_host_that_no_one_names_or_allows_is_not_asked() {
    let entry = open("https://{host}/token", "*.acme.example");
    assert_eq!(
        not_asked(&entry, &grant("acme")).await,
        "catalogue entry acme: token_url placeholder {host} has no value"
    );
    for host in ["evil.example", "acme.example.evil.example", "127.0.0.1:1"] {
        assert_eq!(
            not_asked(&entry, &at(host)).await,
            "catalogue entry acme: token_url leads to a host outside allowed_hosts (*.acme.example)"
        );
    }
    for host in [
        "a@b.acme.example",
        "b.acme.example/x",
        "b.acme.example#",
        "",
    ] {
        assert_eq!(
            not_asked(&entry, &at(host)).await,
            "catalogue entry acme: token_url the value of placeholder {host} does not fit there"
        );
    }
}

// W20: the name is allowed, and whoever owns it lets it lead to this machine.
#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_asked() {
    let endpoint = Endpoint::answering([reply(200, r#"{"access_token":"a"}"#)]).await;
    let host = endpoint.authority.replace("127.0.0.1", "localhost");
    let entry = open("http://{host}/token", &host);
    assert_eq!(
        not_asked(&entry, &at(&host)).await,
        "catalogue entry acme: token_url leads to an address that is not public"
    );
    assert_eq!(endpoint.seen().len(), 0);

    // The same address is asked where the entry itself leads there.
    let fixed = acme(&host, "");
    assert!(refresh(&fixed, &grant("acme")).await.is_ok());
    assert_eq!(endpoint.seen().len(), 1);
}

#[tokio::test]
async fn an_address_that_is_not_public_is_not_asked_though_the_list_has_it() {
    for host in [
        "10.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[::ffff:10.0.0.1]",
    ] {
        let entry = open("{host}/token", host);
        assert_eq!(
            not_asked(&entry, &at(&format!("https://{host}"))).await,
            "catalogue entry acme: token_url leads to an address that is not public",
            "{host}"
        );
    }
}

// Of what a credential may change, nothing but the host decides where a request goes.
#[tokio::test]
async fn a_redirect_of_an_open_host_is_refused_too() {
    let elsewhere = Endpoint::answering([reply(200, r#"{"access_token":"a"}"#)]).await;
    let location = format!("http://{}/token", elsewhere.authority);
    let endpoint = Endpoint::answering([reply(307, "").with("location", &location)]).await;
    let entry = open("http://{host}/token", &endpoint.authority);
    let error = refresh(&entry, &at(&endpoint.authority)).await.unwrap_err();
    harmless(&error);
    assert_eq!(error.verdict, Verdict::Protocol);
    assert_eq!(
        error.message,
        format!(
            "acme answered HTTP 307 at its token_url, a redirect to {}, which is not followed",
            elsewhere.authority
        )
    );
    assert_eq!(elsewhere.seen().len(), 0);
}

// W20: nothing is asked for compressed, and what comes compressed all the same is not unpacked.
#[tokio::test]
async fn a_gzip_bomb_stays_packed() {
    // The head of a gzip file, and 900 kB that would unpack to far more.
    static BOMB: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let mut body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec();
        body.resize(900_000, 0);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), &body].concat()
    });
    let endpoint = Endpoint::raw(&BOMB, true).await;
    let entry = open("http://{host}/token", &endpoint.authority);
    let error = refresh(&entry, &at(&endpoint.authority)).await.unwrap_err();
    harmless(&error);
    assert_eq!(error.verdict, Verdict::Protocol);
    assert_eq!(
        error.message,
        "acme answered HTTP 200 at its token_url with a compressed body, which it was asked not to"
    );
    assert_eq!(
        error.delivery,
        Delivery::Unknown,
        "tokens may be lost in it"
    );
}

#[tokio::test]
async fn an_access_token_that_no_header_could_carry_is_no_token() {
    let long = "x".repeat(65_537);
    for token in [r"a\r\nX: y", "t\u{f6}k", "a b", &long] {
        let answer = reply(200, &format!(r#"{{"access_token":"{token}"}}"#));
        let endpoint = Endpoint::answering([answer]).await;
        let error = refresh(&acme(&endpoint.authority, ""), &grant("acme"))
            .await
            .unwrap_err();
        harmless(&error);
        assert_eq!(error.verdict, Verdict::Protocol);
        assert!(error.message.contains("no visible ASCII"), "{error}");
    }
}

#[tokio::test]
async fn html_is_no_answer_whatever_its_status() {
    let page =
        "<html><body>invalid_grant {\"error\":\"invalid_grant\"} error=invalid_grant</body></html>";
    for status in [200, 400, 401, 403, 404] {
        let answer = reply(status, page).with("content-type", "text/html");
        let endpoint = Endpoint::answering([answer]).await;
        let error = refresh(&acme(&endpoint.authority, ""), &grant("acme"))
            .await
            .unwrap_err();
        harmless(&error);
        assert_eq!(error.verdict, Verdict::Protocol, "{status}");
        assert_eq!(error.code, "", "{status}");
    }
}

#[tokio::test]
async fn a_body_without_an_end_ends_with_the_limit_or_the_time() {
    static ENDLESS: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..200 {
            bytes.extend_from_slice(b"4000\r\n");
            bytes.resize(bytes.len() + 0x4000, b' ');
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    });
    let endpoint = Endpoint::raw(&ENDLESS, false).await;
    let entry = acme(&endpoint.authority, "");
    let error = refresh(&entry, &grant("acme")).await.unwrap_err();
    harmless(&error);
    assert_eq!(
        error.message,
        "acme answered HTTP 200 at its token_url with more than 1 MiB"
    );

    let drip = b"HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"err\r\n";
    let endpoint = Endpoint::raw(drip, false).await;
    let entry = acme(&endpoint.authority, "");
    let providers = providers(&entry, vec![client("acme", "main", &["s"])]).unwrap();
    let error = providers
        .refresh(&grant("acme"), Duration::from_millis(300))
        .await
        .unwrap_err();
    harmless(&error);
    assert_eq!(error.verdict, Verdict::Transient);
    assert_eq!(error.delivery, Delivery::Unknown);
}

// A value from a credential stays in its place, whatever it is.
#[tokio::test]
async fn a_tenant_cannot_leave_its_segment_of_the_path() {
    for (tenant, path) in [
        ("../../evil", "/..%2F..%2Fevil/oauth2/v2.0/token"),
        ("a?b=c#d", "/a%3Fb%3Dc%23d/oauth2/v2.0/token"),
    ] {
        let endpoint = Endpoint::answering([reply(200, r#"{"access_token":"a"}"#)]).await;
        let mut grant = grant("microsoft");
        let metadata = &mut grant.tokens.metadata;
        metadata.insert("tenant".to_owned(), tenant.to_owned());
        let entry = moved("microsoft", &endpoint.authority);
        refresh(&entry, &grant).await.unwrap();
        assert_eq!(endpoint.seen()[0].path, path);
    }
}
