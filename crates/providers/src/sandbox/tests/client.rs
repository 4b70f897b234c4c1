use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_client_proves_itself_in_the_body_by_basic_or_in_json() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::None);
    let token = grant.refresh_token.expose();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let post = || bench.http.post(bench.sandbox.token_url());

    let (status, _) = bench.refresh(token).await;
    assert_eq!(status, 200);
    let basic = post()
        .basic_auth(DEFAULT_CLIENT_ID, Some(DEFAULT_CLIENT_SECRET))
        .form(&refresh);
    assert_eq!(answer(basic).await.0, 200);
    let json = post().json(&serde_json::json!({
        "grant_type": "refresh_token",
        "refresh_token": token,
        "client_id": DEFAULT_CLIENT_ID,
        "client_secret": DEFAULT_CLIENT_SECRET,
    }));
    assert_eq!(answer(json).await.0, 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_wrong_client_is_told_invalid_client_and_harms_no_grant() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let token = grant.refresh_token.expose();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let post = || bench.http.post(bench.sandbox.token_url()).form(&refresh);

    let wrong = post().basic_auth(DEFAULT_CLIENT_ID, Some("wrong"));
    let response = wrong.send().await.unwrap();
    assert!(response.headers().contains_key("www-authenticate"));
    assert_eq!(body_of(response).await, (401, error("invalid_client")));
    for request in [post(), post().basic_auth("nobody", Some("x"))] {
        assert_eq!(answer(request).await, (401, error("invalid_client")));
    }
    bench.rotate(token).await;
    bench.stop().await;
}

#[tokio::test]
async fn changed_secrets_are_good_at_once_and_several_may_be() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::None);
    let token = grant.refresh_token.expose();
    bench.control.set_client(DEFAULT_CLIENT_ID, &["new".into()]);
    assert_eq!(bench.refresh(token).await, (401, error("invalid_client")));
    let both = ["new".into(), DEFAULT_CLIENT_SECRET.into()];
    bench.control.set_client(DEFAULT_CLIENT_ID, &both);
    assert_eq!(bench.refresh(token).await.0, 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_token_of_another_client_is_refused() {
    let bench = Bench::start().await;
    bench.control.set_client("other", &["hush".into()]);
    let grant = bench.control.create_grant(GrantSpec {
        client_id: "other".into(),
        ..GrantSpec::default()
    });
    let token = grant.unwrap().refresh_token;
    assert_eq!(
        bench.refresh(token.expose()).await,
        (400, error("invalid_grant"))
    );
    let last = bench.control.ledger().entries.pop().unwrap();
    assert_eq!(last.refusal, Some(Refusal::TokenOfAnotherClient));
    bench.stop().await;
}

#[tokio::test]
async fn requests_that_break_the_form_are_refused_and_spend_nothing() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let token = grant.refresh_token.expose();
    let client = format!("client_id={DEFAULT_CLIENT_ID}&client_secret={DEFAULT_CLIENT_SECRET}");
    let cases = [
        (
            FORM,
            format!("{client}&grant_type=refresh_token"),
            "invalid_request",
        ),
        (
            FORM,
            format!("{client}&refresh_token={token}"),
            "invalid_request",
        ),
        (
            FORM,
            format!(
                "{client}&grant_type=refresh_token&refresh_token={token}&refresh_token={token}"
            ),
            "invalid_request",
        ),
        (
            "text/plain",
            format!("{client}&grant_type=refresh_token&refresh_token={token}"),
            "invalid_request",
        ),
        (
            FORM,
            format!("{client}&grant_type=password&refresh_token={token}"),
            "unsupported_grant_type",
        ),
        (
            FORM,
            format!("{client}&grant_type=refresh_token&refresh_token={token}&scope=admin"),
            "invalid_scope",
        ),
    ];
    for (content_type, body, code) in cases {
        let request = bench.http.post(bench.sandbox.token_url());
        let request = request.header("content-type", content_type).body(body);
        let (status, body) = answer(request).await;
        assert_eq!((status, text(&body, "error").as_str()), (400, code));
    }
    bench.rotate(token).await;
    bench.stop().await;
}

#[tokio::test]
async fn two_proofs_of_the_client_are_one_too_many() {
    let bench = Bench::start().await;
    let request = bench.request("/token", "any");
    let request = request.basic_auth(DEFAULT_CLIENT_ID, Some(DEFAULT_CLIENT_SECRET));
    let (status, body) = answer(request).await;
    assert_eq!(
        (status, text(&body, "error").as_str()),
        (400, "invalid_request")
    );
    bench.stop().await;
}

#[tokio::test]
async fn the_resource_wants_a_bearer_in_any_case_of_letters() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let get = || bench.http.get(bench.url("/resource"));
    let lower = format!("bearer {}", grant.access_token.expose());
    assert_eq!(answer(get().header("authorization", lower)).await.0, 200);
    let wrong = get().bearer_auth("nonsense").send().await.unwrap();
    assert!(wrong.headers().contains_key("www-authenticate"));
    assert_eq!(body_of(wrong).await, (401, error("invalid_token")));
    assert_eq!(answer(get()).await.0, 401);
    bench.stop().await;
}

#[tokio::test]
async fn basic_credentials_that_cannot_be_read_are_a_malformed_request() {
    let bench = Bench::start().await;
    let request = bench.request("/token", "any");
    let request = request.header("authorization", "Basic %%%");
    let (status, body) = answer(request).await;
    assert_eq!(
        (status, text(&body, "error").as_str()),
        (400, "invalid_request")
    );
    bench.stop().await;
}
