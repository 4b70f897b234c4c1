use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn a_spent_refresh_token_revokes_the_family() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let first = grant.refresh_token.expose();
    let (_, second) = bench.refresh(first).await;
    assert_eq!(bench.resource(&text(&second, "access_token")).await, 200);

    assert_eq!(bench.refresh(first).await, (400, error("invalid_grant")));
    assert_eq!(
        bench.refresh(&text(&second, "refresh_token")).await,
        (400, error("invalid_grant"))
    );
    assert_eq!(bench.resource(&text(&second, "access_token")).await, 401);
    assert_eq!(bench.resource(grant.access_token.expose()).await, 401);
    assert!(bench.control.grant(&grant.family).unwrap().revoked);
    let refusals = bench.control.ledger();
    let refusals = refusals.token_requests().map(|entry| entry.refusal);
    assert_eq!(
        refusals.collect::<Vec<_>>(),
        [
            None,
            Some(Refusal::ReusedToken),
            Some(Refusal::RevokedToken)
        ]
    );
    bench.stop().await;
}

#[tokio::test]
async fn of_twenty_simultaneous_uses_exactly_one_succeeds() {
    let bench = Bench::start().await;
    for mode in [RotationMode::SingleUse, RotationMode::Strict] {
        let grant = bench.grant(mode);
        let gate = bench.control.add_gate(GateRule {
            point: Point::BeforeProcessing,
            family: Some(grant.family.clone()),
        });
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            calls.spawn(answer(
                bench.request("/token", grant.refresh_token.expose()),
            ));
        }
        within(gate.wait_for_arrivals(20)).await;
        gate.open();
        let mut successes = Vec::new();
        while let Some(call) = calls.join_next().await {
            match call.unwrap() {
                (200, body) => successes.push(body),
                refused => assert_eq!(refused, (400, error("invalid_grant"))),
            }
        }
        assert_eq!(successes.len(), 1);
        let alive = bench.resource(&text(&successes[0], "access_token")).await == 200;
        assert_eq!(alive, mode == RotationMode::SingleUse);
    }
    assert_eq!(bench.control.ledger().spent_twice(), []);
    bench.stop().await;
}

#[tokio::test]
async fn grace_returns_the_same_successor() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Grace {
        seconds: 600,
        max_uses: 1,
    });
    let first = grant.refresh_token.expose();
    let (_, once) = bench.refresh(first).await;
    let (status, again) = bench.refresh(first).await;
    assert_eq!(status, 200);
    for field in ["access_token", "refresh_token"] {
        assert_eq!(text(&once, field), text(&again, field));
    }
    assert_eq!(bench.refresh(first).await.0, 400);
    let outcomes = bench.control.ledger();
    let outcomes = outcomes
        .token_requests()
        .map(|entry| entry.outcome.unwrap());
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        [Outcome::Issued, Outcome::Replayed, Outcome::Refused]
    );
    bench.stop().await;
}

#[tokio::test]
async fn answers_leave_the_refresh_token_out_where_the_grant_says_so() {
    let bench = Bench::start().await;
    let spec = GrantSpec {
        omit_refresh_token: true,
        ..GrantSpec::with_mode(RotationMode::None)
    };
    let grant = bench.control.create_grant(spec.clone()).unwrap();
    for _ in 0..2 {
        let (status, body) = bench.refresh(grant.refresh_token.expose()).await;
        assert_eq!((status, body.get("refresh_token")), (200, None));
    }
    let strict = GrantSpec {
        mode: RotationMode::Strict,
        ..spec
    };
    assert!(matches!(
        bench.control.create_grant(strict),
        Err(ControlError::Invalid(_))
    ));
    bench.stop().await;
}

#[tokio::test]
async fn an_answer_states_lifetimes_type_and_scope_and_forbids_caching() {
    let bench = Bench::start().await;
    let spec = GrantSpec {
        access_token_ttl_seconds: 77,
        refresh_token_ttl_seconds: Some(99),
        scopes: vec!["a".into(), "b".into()],
        ..GrantSpec::default()
    };
    let grant = bench.control.create_grant(spec).unwrap();
    let request = bench.request("/token", grant.refresh_token.expose());
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let (_, body) = body_of(response).await;
    assert_eq!(body["expires_in"], 77);
    assert_eq!(body["refresh_token_expires_in"], 99);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["scope"], "a b");
    bench.stop().await;
}

#[tokio::test]
async fn a_revoked_refresh_token_ends_its_family_and_an_unknown_one_is_no_error() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::None);
    let call = |path: &str, token: &str| {
        answer(bench.http.post(bench.url(path)).form(&[
            ("token", token),
            ("client_id", DEFAULT_CLIENT_ID),
            ("client_secret", DEFAULT_CLIENT_SECRET),
        ]))
    };
    let token = grant.refresh_token.expose();
    assert_eq!(call("/introspect", token).await.1["active"], true);
    assert_eq!(call("/revoke", "nonsense").await.0, 200);
    assert_eq!(call("/revoke", token).await.0, 200);
    assert_eq!(call("/introspect", token).await.1["active"], false);
    assert_eq!(bench.resource(grant.access_token.expose()).await, 401);
    assert_eq!(bench.refresh(token).await.0, 400);
    bench.stop().await;
}

#[tokio::test]
async fn slack_says_200_for_failures_and_successes_alike() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::SingleUse);
    let first = grant.refresh_token.expose();
    let call = |token: &str| answer(bench.request("/slack/token", token));
    let failure = |code: &str| (200, serde_json::json!({ "ok": false, "error": code }));

    let (status, body) = call(first).await;
    assert_eq!((status, &body["ok"]), (200, &Value::Bool(true)));
    let second = text(&body, "refresh_token");
    assert_eq!(call(first).await, failure("invalid_refresh_token"));
    bench.control.revoke_grant(&grant.family).unwrap();
    assert_eq!(call(&second).await, failure("token_revoked"));
    let last = bench.control.ledger().entries.pop().unwrap();
    assert_eq!(last.dialect, Dialect::Slack);
    bench
        .control
        .set_client(DEFAULT_CLIENT_ID, &["changed".into()]);
    assert_eq!(call(first).await, failure("bad_client_secret"));
    bench.stop().await;
}
