//! Providers of the catalogue, played; what an entry has no word for is refused.

use serde_json::json;

use super::*;

const FORM: [(&str, &str); 4] = [
    ("grant_type", "refresh_token"),
    ("refresh_token", "spent"),
    ("client_id", DEFAULT_CLIENT_ID),
    ("client_secret", DEFAULT_CLIENT_SECRET),
];

impl Bench {
    async fn asks(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        answer(self.http.post(self.url(path)).form(form)).await
    }
}

#[tokio::test]
async fn refusals_are_in_the_providers_own_words() {
    let bench = Bench::start().await;
    let slack = bench.asks("/as/slack/token", &FORM).await;
    assert_eq!(
        slack,
        (
            200,
            json!({ "ok": false, "error": "invalid_refresh_token" })
        )
    );
    let mut wrong = FORM;
    wrong[3].1 = "wrong";
    let slack = bench.asks("/as/slack/token", &wrong).await;
    assert_eq!(
        slack,
        (200, json!({ "ok": false, "error": "bad_client_secret" }))
    );
    let airtable = bench.http.post(bench.url("/as/airtable/token"));
    let airtable = airtable.basic_auth(DEFAULT_CLIENT_ID, Some(DEFAULT_CLIENT_SECRET));
    let airtable = answer(airtable.form(&FORM[..2])).await;
    assert_eq!(airtable, (400, error("invalid_grant")));
    let body: Value = FORM.iter().map(|(name, value)| (*name, *value)).collect();
    let lark = answer(bench.http.post(bench.url("/as/lark/token")).json(&body)).await;
    assert_eq!(lark, (400, json!({ "code": 20026 })));
    let (terms, _) = bench.control.terms_as("openai").unwrap();
    let grant = bench.control.create_grant(terms).unwrap();
    let openai = [
        FORM[0],
        ("refresh_token", grant.refresh_token.expose()),
        FORM[2],
    ];
    let openai = [&openai[..], &[("scope", "openid profile email")]].concat();
    assert_eq!(bench.asks("/as/openai/token", &openai).await.0, 200);
    let again = bench.asks("/as/openai/token", &openai).await;
    assert_eq!(again, (400, error("refresh_token_reused")));
    // A code that says so beside certain words alone.
    let jira = bench.http.post(bench.url("/as/jira/token"));
    let jira = jira.basic_auth(DEFAULT_CLIENT_ID, Some(DEFAULT_CLIENT_SECRET));
    let (status, jira) = answer(jira.form(&FORM[..2])).await;
    let expected =
        json!({ "error": "unauthorized_client", "error_description": "refresh_token is invalid" });
    assert_eq!((status, jira), (400, expected));
    let x = bench.http.post(bench.url("/as/x/token"));
    let x = x.basic_auth(DEFAULT_CLIENT_ID, Some(DEFAULT_CLIENT_SECRET));
    let (status, x) = answer(x.form(&FORM[..2])).await;
    let expected = json!({ "error": "invalid_request", "error_description": "passed for the token was invalid" });
    assert_eq!((status, x), (400, expected));
    // No code: the status says it.
    let dropbox = bench.asks("/as/dropbox/token", &wrong).await;
    assert_eq!(dropbox, (400, json!({})));
    let of_slack = bench.control.ledger().entries.remove(0);
    assert_eq!(of_slack.refusal, Some(Refusal::UnknownToken));
    assert_eq!(of_slack.provider.as_deref(), Some("slack"));
    bench.stop().await;
}

#[tokio::test]
async fn a_request_that_is_put_together_otherwise_is_refused_and_spends_nothing() {
    let bench = Bench::start().await;
    let (terms, _) = bench.control.terms_as("tiktok").unwrap();
    let grant = bench.control.create_grant(terms).unwrap();
    let token = grant.refresh_token.expose();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_key", DEFAULT_CLIENT_ID),
        ("client_secret", DEFAULT_CLIENT_SECRET),
    ];
    let path = "/as/tiktok/token";
    let code = |(_, body): Answer| text(&body, "error");
    let malformed = "invalid_request";
    let post = || bench.http.post(bench.url(path));
    let object: Value = form.iter().map(|(name, value)| (*name, *value)).collect();
    assert_eq!(code(answer(post().json(&object)).await), malformed);
    assert_eq!(
        code(answer(bench.http.get(bench.url(path)).query(&form)).await),
        malformed
    );
    let with = |name, value| {
        form.iter()
            .copied()
            .chain([(name, value)])
            .collect::<Vec<_>>()
    };
    assert_eq!(
        code(bench.asks(path, &with("scope", "read")).await),
        malformed
    );
    assert_eq!(
        code(bench.asks(path, &with("client_id", "sandbox")).await),
        malformed
    );
    let mut other = form;
    other[2].0 = "client_id";
    assert_eq!(code(bench.asks(path, &other).await), "invalid_client");
    other = form;
    other[0].1 = "password";
    assert_eq!(
        code(bench.asks(path, &other).await),
        "unsupported_grant_type"
    );
    let basic = post().basic_auth(DEFAULT_CLIENT_ID, Some(DEFAULT_CLIENT_SECRET));
    assert_eq!(code(answer(basic.form(&form[..2])).await), "invalid_client");

    let (status, tokens) = bench.asks(path, &form).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(tokens["open_id"], "sandbox-user");
    bench.stop().await;
}

#[tokio::test]
async fn headers_and_parameters_that_an_entry_adds_are_asked_for() {
    let bench = Bench::start().await;
    let body = json!({ "grant_type": "refresh_token", "refresh_token": "x" });
    let notion = || {
        let request = bench.http.post(bench.url("/as/notion/token")).json(&body);
        request.basic_auth(DEFAULT_CLIENT_ID, Some(DEFAULT_CLIENT_SECRET))
    };
    let (_, without) = answer(notion()).await;
    assert_eq!(without["error"], "invalid_request");
    let (_, with) = answer(notion().header("notion-version", "2022-06-28")).await;
    assert_eq!(with["error"], "invalid_grant");
    bench.stop().await;
}

#[tokio::test]
async fn the_control_api_gives_out_entries_and_grants_of_a_provider() {
    let bench = Bench::start().await;
    let entry = bench.catalogue("?as=github").await;
    let entry: toml::Table = entry.parse().unwrap();
    let base = bench.sandbox.base_url();
    assert_eq!(entry["name"].as_str(), Some("github"));
    assert_eq!(entry["base"].as_str(), Some("github"));
    assert_eq!(
        entry["token_url"].as_str(),
        Some(&*format!("{base}/as/github/token"))
    );
    let revoke = format!("{base}/as/github/{{client_id}}/revoke");
    assert_eq!(entry["revoke_url"].as_str(), Some(&*revoke));
    let lark = bench.control.catalogue_entry_as("lark", "own").unwrap();
    assert!(
        lark.contains("base = \"feishu\"") && lark.contains("name = \"own\""),
        "{lark}"
    );
    assert!(lark.contains("/as/lark/client_credentials"), "{lark}");
    for wrong in ["?as=nobody", "?as=github&mode=none"] {
        let url = bench.url(&format!("/control/catalogue{wrong}"));
        assert_eq!(answer(bench.http.get(url)).await.0, 400, "{wrong}");
    }

    let grant = async |query: &str, terms: Value| {
        let request = bench
            .http
            .post(bench.url(&format!("/control/grants{query}")));
        answer(request.json(&terms)).await
    };
    let (_, shopify) = grant("?as=shopify", json!({})).await;
    assert_eq!(shopify["metadata"]["shop"], "sandbox");
    let (_, meta) = grant("?as=meta-ads", json!({ "access_token_ttl_seconds": 9 })).await;
    assert_eq!(
        (&meta["expires_in"], meta.get("refresh_token")),
        (&9.into(), None)
    );
    assert_eq!(
        grant("?as=meta-ads", json!({ "mode": "none" })).await.0,
        400
    );
    assert_eq!(grant("?as=nobody", json!({})).await.0, 400);
    // What google does in its own mode does not stand against another.
    let (status, google) = grant("?as=google", json!({ "mode": "strict" })).await;
    assert_eq!(status, 200, "{google}");
    let omitting = json!({ "mode": "strict", "omit_refresh_token": true });
    assert_eq!(grant("?as=google", omitting).await.0, 400);
    for (mode, omits) in [("strict", false), ("none", true)] {
        let (_, google) = grant("?as=google", json!({ "mode": mode })).await;
        let family = text(&google["metadata"], "family");
        let status = bench.control.grant(&family).unwrap();
        assert_eq!(status.spec.omit_refresh_token, omits, "{mode}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn nothing_is_played_that_the_entry_does_not_have() {
    let bench = Bench::start().await;
    for path in [
        "/as/nobody/token",
        "/as/slack/device",
        "/as/slack/client_credentials",
        "/as/slack/nonsense",
        "/as/attio/refresh_token",
    ] {
        assert_eq!(bench.asks(path, &FORM).await.0, 404, "{path}");
    }
    bench.stop().await;
}

// As each says so itself: X in another code's words, GitHub and Zoho by a code of their own, Airtable as the RFC has it.
#[tokio::test]
async fn a_bad_authorization_code_is_refused_as_the_entry_tells_of_it() {
    let bench = Bench::start().await;
    let code = |name: &str| json!({ "error": name });
    let of_x = json!({
        "error": "invalid_request",
        "error_description": "passed for the authorization code was invalid",
    });
    let form = [
        ("grant_type", "authorization_code"),
        ("code", "bad"),
        ("redirect_uri", "http://127.0.0.1/callback"),
        ("code_verifier", "v"),
        FORM[2],
        FORM[3],
    ];
    for (provider, is_basic, expected) in [
        ("x", true, of_x),
        ("airtable", true, code("invalid_grant")),
        ("zoho-desk", false, code("invalid_code")),
        ("github", false, code("bad_verification_code")),
    ] {
        let request = bench.http.post(bench.url(&format!("/as/{provider}/token")));
        let request = match is_basic {
            true => request
                .basic_auth(DEFAULT_CLIENT_ID, Some(DEFAULT_CLIENT_SECRET))
                .form(&form[..4]),
            false => request.header("accept", "application/json").form(&form),
        };
        let (_, body) = answer(request).await;
        assert_eq!(body, expected, "{provider}");
    }
    let refusals = bench.control.ledger().entries.into_iter();
    for entry in refusals {
        assert_eq!(entry.refusal, Some(Refusal::UnknownCode));
    }
    bench.stop().await;
}
