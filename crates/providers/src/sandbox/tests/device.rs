//! Consents on another device (RFC 8628), by the page and by polling.

use super::*;

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

impl Bench {
    async fn begin(&self) -> Value {
        let request = self.http.post(self.url("/device_authorization")).form(&[
            ("client_id", DEFAULT_CLIENT_ID),
            ("client_secret", DEFAULT_CLIENT_SECRET),
            ("scope", "read"),
        ]);
        let (status, begun) = answer(request).await;
        assert_eq!(status, 200, "{begun}");
        begun
    }

    async fn poll(&self, begun: &Value) -> Answer {
        let request = self.http.post(self.url("/token")).form(&[
            ("grant_type", DEVICE),
            ("device_code", &text(begun, "device_code")),
            ("client_id", DEFAULT_CLIENT_ID),
            ("client_secret", DEFAULT_CLIENT_SECRET),
        ]);
        answer(request).await
    }

    async fn decide_on_page(&self, begun: &Value, decision: &str) -> u16 {
        let code = text(begun, "user_code");
        let form = [("user_code", code.as_str()), ("decision", decision)];
        let request = self.http.post(text(begun, "verification_uri")).form(&form);
        answer(request).await.0
    }
}

#[tokio::test]
async fn a_device_gets_tokens_once_after_its_user_approved_on_the_page() {
    let bench = Bench::start().await;
    let begun = bench.begin().await;
    assert_eq!(
        bench.poll(&begun).await,
        (400, error("authorization_pending"))
    );
    assert_eq!(bench.poll(&begun).await, (400, error("slow_down")));
    let page = bench.http.get(text(&begun, "verification_uri_complete"));
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains("<li>read</li>") && page.contains("Approve"),
        "{page}"
    );
    assert_eq!(bench.decide_on_page(&begun, "approve").await, 200);
    assert_eq!(
        bench.decide_on_page(&begun, "deny").await,
        400,
        "it is decided"
    );
    // The penalty holds, whatever the user did.
    assert_eq!(bench.poll(&begun).await, (400, error("slow_down")));

    let other = bench.begin().await;
    assert_eq!(bench.decide_on_page(&other, "approve").await, 200);
    let (status, tokens) = bench.poll(&other).await;
    assert_eq!(
        (status, &tokens["scope"]),
        (200, &"read".into()),
        "{tokens}"
    );
    bench.rotate(&text(&tokens, "refresh_token")).await;
    assert_eq!(bench.poll(&other).await, (400, error("invalid_grant")));
    bench.stop().await;
}

#[tokio::test]
async fn a_user_may_deny_and_only_a_known_client_may_begin() {
    let bench = Bench::start().await;
    let begun = bench.begin().await;
    assert_eq!(bench.decide_on_page(&begun, "deny").await, 200);
    assert_eq!(bench.poll(&begun).await, (400, error("access_denied")));
    let form = [("client_id", DEFAULT_CLIENT_ID), ("client_secret", "wrong")];
    let wrong = bench.http.post(bench.url("/device_authorization"));
    assert_eq!(
        answer(wrong.form(&form)).await,
        (401, error("invalid_client"))
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_fault_strikes_the_endpoint_where_devices_begin() {
    let bench = Bench::start().await;
    let rule = FaultRule {
        endpoint: Endpoint::Device,
        ..FaultRule::once(Fault::InvalidClient)
    };
    bench.control.add_fault(rule).unwrap();
    let form = [
        ("client_id", DEFAULT_CLIENT_ID),
        ("client_secret", DEFAULT_CLIENT_SECRET),
    ];
    let begin = || {
        bench
            .http
            .post(bench.url("/device_authorization"))
            .form(&form)
    };
    assert_eq!(answer(begin()).await, (401, error("invalid_client")));
    assert_eq!(answer(begin()).await.0, 200);
    bench.stop().await;
}
