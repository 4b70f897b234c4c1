//! Consents: the page, the code, and what a code is good for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use super::*;

const BACK: &str = "http://127.0.0.1:9/callback?tab=2";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(token::sha256(VERIFIER))
}

impl Bench {
    /// Where the browser is sent after a decision, as parameters.
    async fn decide(&self, further: &[(&str, &str)]) -> Vec<(String, String)> {
        let challenge = challenge();
        let mut form = vec![
            ("response_type", "code"),
            ("client_id", DEFAULT_CLIENT_ID),
            ("redirect_uri", BACK),
            ("state", "the-state"),
            ("scope", "read"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        form.retain(|(name, _)| further.iter().all(|(other, _)| other != name));
        form.extend(further);
        let request = self.http.post(self.url("/authorize")).form(&form);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 303);
        let to = response.headers()["location"].to_str().unwrap();
        assert!(to.starts_with(BACK), "{to}");
        let to = Url::parse(to).unwrap();
        to.query_pairs()
            .skip(1)
            .map(|(a, b)| (a.into_owned(), b.into_owned()))
            .collect()
    }

    async fn code(&self) -> String {
        let back = self.decide(&[("decision", "approve")]).await;
        assert_eq!(back[1], ("state".to_owned(), "the-state".to_owned()));
        assert_eq!(back[0].0, "code");
        back[0].1.clone()
    }

    async fn redeem(&self, code: &str, further: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
            ("client_id", DEFAULT_CLIENT_ID),
            ("client_secret", DEFAULT_CLIENT_SECRET),
        ];
        form.retain(|(name, _)| further.iter().all(|(other, _)| other != name));
        form.extend(further.iter().filter(|(_, value)| !value.is_empty()));
        answer(self.http.post(self.url("/token")).form(&form)).await
    }
}

#[tokio::test]
async fn a_code_brings_a_strict_grant_of_the_scopes_that_were_consented_to() {
    let bench = Bench::start().await;
    let (status, body) = bench.redeem(&bench.code().await, &[]).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(text(&body, "scope"), "read");
    assert_eq!(bench.resource(&text(&body, "access_token")).await, 200);
    bench.rotate(&text(&body, "refresh_token")).await;
    assert_eq!(bench.control.ledger().violations(), []);
    bench.stop().await;
}

// RFC 6749 section 4.1.2
#[tokio::test]
async fn a_code_that_comes_back_is_refused_and_revokes_what_it_brought() {
    let bench = Bench::start().await;
    let code = bench.code().await;
    let (_, body) = bench.redeem(&code, &[]).await;
    let (status, refusal) = bench.redeem(&code, &[]).await;
    assert_eq!(
        (status, text(&refusal, "error").as_str()),
        (400, "invalid_grant")
    );
    assert_eq!(bench.resource(&text(&body, "access_token")).await, 401);
    bench.stop().await;
}

// Some providers want it there.
#[tokio::test]
async fn a_state_beside_the_code_must_be_that_of_its_consent() {
    let bench = Bench::start().await;
    let code = bench.code().await;
    let (status, refusal) = bench.redeem(&code, &[("state", "another")]).await;
    assert_eq!(
        (status, text(&refusal, "error").as_str()),
        (400, "invalid_request")
    );
    let (status, body) = bench.redeem(&code, &[("state", "the-state")]).await;
    assert_eq!(status, 200, "{body}");
    bench.stop().await;
}

#[tokio::test]
async fn a_code_is_good_for_its_client_its_redirect_uri_and_its_verifier_alone() {
    let bench = Bench::start().await;
    bench.control.set_client("other", &["s".to_owned()]);
    for odd in [
        &[("redirect_uri", "http://127.0.0.1:9/callback")][..],
        &[("redirect_uri", "")],
        &[("code_verifier", "another")],
        &[("code_verifier", "")],
        &[("client_id", "other"), ("client_secret", "s")],
    ] {
        let code = bench.code().await;
        let (status, refusal) = bench.redeem(&code, odd).await;
        assert_eq!(
            (status, text(&refusal, "error").as_str()),
            (400, "invalid_grant"),
            "{odd:?}"
        );
        assert_eq!(
            bench.redeem(&code, &[]).await.0,
            200,
            "it is not spent by that: {odd:?}"
        );
    }
    let (status, _) = bench.redeem("sbx_code_unknown", &[]).await;
    assert_eq!(status, 400);
    let plain = [
        ("code_challenge", ""),
        ("code_challenge_method", ""),
        ("decision", "approve"),
    ];
    let code = bench.decide(&plain).await[0].1.clone();
    let (status, _) = bench.redeem(&code, &[]).await;
    assert_eq!(
        status, 400,
        "a verifier without a challenge (RFC 9700 section 4.8.2)"
    );
    assert_eq!(bench.redeem(&code, &[("code_verifier", "")]).await.0, 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_refusal_and_a_wrong_question_go_back_to_the_client() {
    let bench = Bench::start().await;
    for (further, error) in [
        (&[("decision", "deny")][..], "access_denied"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
    ] {
        let back = bench.decide(further).await;
        assert_eq!(back[0], ("error".to_owned(), error.to_owned()));
        assert_eq!(back.last().unwrap().1, "the-state");
    }
    bench.stop().await;
}

#[tokio::test]
async fn nobody_is_sent_to_where_no_client_can_be() {
    let bench = Bench::start().await;
    for (client, redirect_uri) in [
        (DEFAULT_CLIENT_ID, "http://evil.example/"),
        (DEFAULT_CLIENT_ID, "javascript:alert(1)"),
        (DEFAULT_CLIENT_ID, "https://app.example/#x"),
        (DEFAULT_CLIENT_ID, ""),
        ("nobody", BACK),
    ] {
        let query = [
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", redirect_uri),
        ];
        let request = bench.http.get(bench.url("/authorize")).query(&query);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 400, "{client} {redirect_uri}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn the_page_repeats_nothing_as_markup() {
    let bench = Bench::start().await;
    let query = [
        ("response_type", "code"),
        ("client_id", DEFAULT_CLIENT_ID),
        ("redirect_uri", BACK),
        ("scope", "<script>x</script>"),
        ("state", "\"><script>y</script>"),
    ];
    let request = bench.http.get(bench.url("/authorize")).query(&query);
    let page = request.send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains("Approve") && !page.contains("<script"),
        "{page}"
    );
    bench.stop().await;
}
