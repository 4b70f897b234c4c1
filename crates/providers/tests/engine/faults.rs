//! What becomes of calls that get no sound answer.

use std::time::{Duration, Instant};

use evergrant_core::provider::{CallError, Delivery, Providers, Verdict};
use tokio::net::TcpListener;

use crate::support::{Endpoint, acme, client, grant, providers, refresh, reply};

async fn fault(endpoint: &Endpoint) -> CallError {
    let entry = acme(&endpoint.authority, "");
    refresh(&entry, &grant("acme")).await.unwrap_err()
}

async fn fault_within(endpoint: &Endpoint, timeout: Duration) -> CallError {
    let entry = acme(&endpoint.authority, "");
    let providers = providers(&entry, vec![client("acme", "main", &["s"])]).unwrap();
    providers
        .refresh(&grant("acme"), timeout)
        .await
        .unwrap_err()
}

// A80, A124, A125
#[tokio::test]
async fn a_closed_port_got_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = refresh(&acme(&authority, ""), &grant("acme"))
        .await
        .unwrap_err();
    assert_eq!(error.verdict, Verdict::Transient);
    assert_eq!(error.delivery, Delivery::NotSent);
    let start = format!("acme cannot be reached at {authority} (token_url): ");
    assert!(error.message.starts_with(&start), "{}", error.message);
}

#[tokio::test]
async fn a_name_without_an_address_is_told_with_the_key_of_its_url_and_nothing_else_of_it() {
    let urls = "refresh_url = \"https://no.such.host.invalid:8443/path?key=value\"\n";
    let error = refresh(&acme("127.0.0.1:9", urls), &grant("acme"))
        .await
        .unwrap_err();
    assert_eq!(error.verdict, Verdict::Transient);
    let start = "acme cannot be reached at no.such.host.invalid:8443 (refresh_url): ";
    assert!(error.message.starts_with(start), "{}", error.message);
    assert!(!error.message.contains("path") && !error.message.contains("value"));
}

#[tokio::test]
async fn a_failed_tls_handshake_sent_nothing() {
    let endpoint = Endpoint::raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", true).await;
    let entry = acme(&endpoint.authority, "").replace("http:", "https:");
    let error = refresh(&entry, &grant("acme")).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Transient);
    assert_eq!(error.delivery, Delivery::NotSent);
}

// A130
#[tokio::test]
async fn an_answer_that_breaks_off_leaves_the_outcome_unknown() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access_token\":\"a\"",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"acc\r\n",
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\n\r\n{\"error\":\"invalid_grant\"}",
    ] {
        let error = fault(&Endpoint::raw(bytes, true).await).await;
        assert_eq!(error.verdict, Verdict::Transient, "{bytes:?}");
        assert_eq!(error.delivery, Delivery::Unknown, "{bytes:?}");
    }
}

#[tokio::test]
async fn json_that_ends_with_the_connection_leaves_the_outcome_unknown() {
    let endpoint = Endpoint::raw(b"HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"a\"", true).await;
    let error = fault(&endpoint).await;
    assert_eq!(error.verdict, Verdict::Protocol);
    assert_eq!(error.delivery, Delivery::Unknown);
}

// B35, W18
#[tokio::test]
async fn a_slow_answer_ends_at_the_timeout_with_the_outcome_unknown() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access_token\":\"a\"",
    ] {
        let endpoint = Endpoint::raw(bytes, false).await;
        let began = Instant::now();
        let error = fault_within(&endpoint, Duration::from_millis(300)).await;
        assert!(began.elapsed() < Duration::from_secs(3));
        assert_eq!(error.verdict, Verdict::Transient);
        assert_eq!(error.delivery, Delivery::Unknown);
    }
}

// W20, A95
#[tokio::test]
async fn a_large_body_is_not_read_to_its_end() {
    let body = format!(
        "{{\"access_token\":\"a\",\"x\":\"{}\"}}",
        "x".repeat(10 << 20)
    );
    let endpoint = Endpoint::answering([reply(200, &body)]).await;
    let error = fault(&endpoint).await;
    assert_eq!(error.verdict, Verdict::Protocol);
    assert_eq!(error.delivery, Delivery::Unknown);
    assert_eq!(
        error.message,
        "acme answered HTTP 200 at its token_url with more than 1 MiB"
    );
}

// W20
#[tokio::test]
async fn a_large_body_of_unknown_length_is_not_read_to_its_end() {
    static BODY: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"".to_vec();
        bytes.resize(bytes.len() + (2 << 20), b'x');
        bytes
    });
    // The server never closes, so only the limit can end the call.
    let endpoint = Endpoint::raw(&BODY, false).await;
    let error = fault(&endpoint).await;
    assert_eq!(error.verdict, Verdict::Protocol);
    assert_eq!(
        error.message,
        "acme answered HTTP 200 at its token_url with more than 1 MiB"
    );
}

// W20
#[tokio::test]
async fn an_answer_that_is_only_said_to_be_compressed_is_read() {
    let packed = reply(200, r#"{"access_token":"a"}"#).with("content-encoding", "gzip");
    let endpoint = Endpoint::answering([packed]).await;
    let entry = acme(&endpoint.authority, "");
    let issued = refresh(&entry, &grant("acme")).await.unwrap();
    assert_eq!(issued.access_token.expose(), "a");
}

// W20
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Endpoint::answering([reply(200, r#"{"access_token":"a"}"#)]).await;
    let location = format!("http://{}/token", elsewhere.authority);
    for status in [301, 302, 303, 307, 308] {
        let redirect = reply(status, "{}").with("location", &location);
        let endpoint = Endpoint::answering([redirect]).await;
        let error = fault(&endpoint).await;
        assert_eq!(error.verdict, Verdict::Protocol, "{status}");
        assert_eq!(error.delivery, Delivery::Answered, "{status}");
    }
    assert_eq!(elsewhere.seen().len(), 0);
}

// B36, W60
#[tokio::test]
async fn an_html_page_of_503_that_mentions_invalid_grant_is_transient() {
    let page = reply(
        503,
        "<html>error=invalid_grant {\"error\":\"invalid_grant\"}</html>",
    )
    .with("content-type", "text/html")
    .with("retry-after", "3");
    let error = fault(&Endpoint::answering([page]).await).await;
    assert_eq!(error.verdict, Verdict::Transient);
    assert_eq!(error.code, "");
    assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
    assert_eq!(
        error.message,
        "acme answered HTTP 503 at its token_url with a page of HTML in place of JSON"
    );
}

// B37, A127
#[tokio::test]
async fn a_bare_400_harms_no_grant_unless_the_catalogue_says_so() {
    let bare = || reply(400, "Bad Request").with("content-type", "text/plain");
    let endpoint = Endpoint::answering([bare(), bare()]).await;
    assert_eq!(fault(&endpoint).await.verdict, Verdict::Protocol);
    let strict = acme(&endpoint.authority, "[uncoded]\n400 = \"grant\"");
    let error = refresh(&strict, &grant("acme")).await.unwrap_err();
    assert!(matches!(error.verdict, Verdict::Grant(_)));
}

#[tokio::test]
async fn each_call_is_one_request_on_a_connection_of_its_own() {
    let good = || reply(200, r#"{"access_token":"a"}"#);
    let endpoint = Endpoint::answering([good(), good()]).await;
    let entry = acme(&endpoint.authority, "");
    let providers = providers(&entry, vec![client("acme", "main", &["s"])]).unwrap();
    for _ in 0..2 {
        providers
            .refresh(&grant("acme"), Duration::from_secs(10))
            .await
            .unwrap();
    }
    let peers: Vec<_> = endpoint.seen().iter().map(|seen| seen.peer).collect();
    assert_eq!(peers.len(), 2);
    assert_ne!(peers[0], peers[1]);
}
