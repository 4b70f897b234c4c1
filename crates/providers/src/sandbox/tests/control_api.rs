use serde_json::json;

use super::*;

impl Bench {
    async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.http.post(self.url(path)).json(&body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        answer(self.http.get(self.url(path))).await
    }
}

#[tokio::test]
async fn a_script_makes_uses_and_revokes_a_grant() {
    let bench = Bench::start().await;
    let spec = json!({ "mode": { "grace": { "seconds": 5, "max_uses": 1 } }, "access_token_ttl_seconds": 60 });
    let (status, grant) = bench.post("/control/grants", spec).await;
    assert_eq!((status, &grant["expires_in"]), (200, &json!(60)));
    bench.rotate(&text(&grant, "refresh_token")).await;
    let path = format!("/control/grants/{}", text(&grant["metadata"], "family"));
    let (_, status) = bench.get(&path).await;
    assert_eq!(
        (&status["refreshes"], &status["revoked"]),
        (&json!(1), &json!(false))
    );
    let (_, status) = bench.post(&format!("{path}/revoke"), json!({})).await;
    assert_eq!(status["revoked"], true);
    assert_eq!(bench.refresh(&text(&grant, "refresh_token")).await.0, 400);
    bench.stop().await;
}

#[tokio::test]
async fn the_default_grant_is_strict() {
    let bench = Bench::start().await;
    let (_, grant) = bench.post("/control/grants", json!({})).await;
    let status = bench
        .control
        .grant(&text(&grant["metadata"], "family"))
        .unwrap();
    assert_eq!(status.spec, GrantSpec::with_mode(RotationMode::Strict));
    bench.stop().await;
}

#[tokio::test]
async fn a_script_queues_and_clears_faults_and_changes_secrets() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::None);
    let token = grant.refresh_token.expose();
    let rule = json!({
        "faults": [{ "kind": "status", "status": 503, "body": "down" }],
        "count": 2,
        "family": grant.family,
    });
    let (status, rules) = bench.post("/control/faults", rule).await;
    assert_eq!((status, rules.as_array().map(Vec::len)), (200, Some(1)));
    assert_eq!(bench.refresh(token).await.0, 503);
    assert_eq!(bench.get("/control/faults").await.1[0]["count"], 1);
    let cleared = answer(bench.http.delete(bench.url("/control/faults"))).await;
    assert_eq!(cleared, (200, json!([])));
    assert_eq!(bench.refresh(token).await.0, 200);

    let client = json!({ "client_id": DEFAULT_CLIENT_ID, "secrets": ["new"] });
    assert_eq!(bench.post("/control/clients", client).await.0, 200);
    assert_eq!(bench.refresh(token).await.0, 401);
    bench.stop().await;
}

#[tokio::test]
async fn a_script_waits_at_a_gate_and_opens_it() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let rule = json!({ "where": "after_processing", "family": grant.family });
    let (_, gate) = bench.post("/control/gates", rule).await;
    let path = format!("/control/gates/{}", gate["id"]);
    let (_, early) = bench.get(&format!("{path}?arrivals=1&timeout_ms=1")).await;
    assert_eq!(
        (&early["arrived"], &early["open"]),
        (&json!(0), &json!(false))
    );
    let (answer, ()) = tokio::join!(bench.refresh(grant.refresh_token.expose()), async {
        let (_, held) = bench
            .get(&format!("{path}?arrivals=1&timeout_ms=15000"))
            .await;
        assert_eq!((&held["waiting"], &held["arrived"]), (&json!(1), &json!(1)));
        let (_, open) = bench.post(&format!("{path}/open"), json!({})).await;
        assert_eq!(open["open"], true);
    });
    assert_eq!(answer.0, 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_script_reads_the_ledger_and_its_violations() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::SingleUse);
    let token = grant.refresh_token.expose();
    bench.rotate(token).await;
    let (_, seen) = bench.get("/control/ledger").await;
    assert_eq!(seen["entries"].as_array().map(Vec::len), Some(2));
    assert_eq!(seen["entries"][1]["outcome"], "issued");
    assert_eq!(seen["entries"][1]["mode"], "single_use");
    bench.refresh(token).await;
    let (_, news) = bench
        .get(&format!("/control/ledger?since={}", seen["last"]))
        .await;
    assert_eq!(news["entries"].as_array().map(Vec::len), Some(1));
    assert_eq!(news["entries"][0]["refusal"], "reused_token");

    assert_eq!(
        bench.get("/control/violations").await.1["violations"],
        json!([])
    );
    let (_, found) = bench.get("/control/violations?calls=1").await;
    assert_eq!(found["violations"][0]["violation"], "too_many_calls");
    let read: Ledger = serde_json::from_value(bench.get("/control/ledger").await.1).unwrap();
    assert_eq!(read, bench.control.ledger());
    bench.stop().await;
}

#[tokio::test]
async fn a_script_gets_catalogue_entries() {
    let bench = Bench::start().await;
    let query = "?name=acme&dialect=slack&mode=grace&grace_seconds=9";
    let text = bench.catalogue(query).await;
    let mode = RotationMode::Grace {
        seconds: 9,
        max_uses: 1,
    };
    assert_eq!(
        text,
        bench
            .sandbox
            .catalogue_entry_for("acme", Dialect::Slack, mode)
    );
    let text = bench.catalogue("").await;
    assert_eq!(text, bench.sandbox.catalogue_entry("sandbox"));
    bench.stop().await;
}

#[tokio::test]
async fn what_is_unknown_or_makes_no_sense_is_an_error() {
    let bench = Bench::start().await;
    assert_eq!(
        bench.get("/control/grants/grant-9").await,
        (404, error("grant grant-9 is unknown"))
    );
    assert_eq!(
        bench
            .post("/control/grants/grant-9/revoke", json!({}))
            .await
            .0,
        404
    );
    assert_eq!(
        bench.get("/control/gates/9").await,
        (404, error("gate 9 is unknown"))
    );
    let wrong = [
        ("/control/grants", json!({ "client_id": "nobody" }), 400),
        (
            "/control/grants",
            json!({ "access_token_ttl_seconds": u64::MAX }),
            400,
        ),
        ("/control/grants", json!({ "mod": "strict" }), 422),
        (
            "/control/faults",
            json!({ "faults": [{ "kind": "status", "status": 99 }] }),
            400,
        ),
        (
            "/control/faults",
            json!({ "faults": [{ "kind": "nonsense" }] }),
            422,
        ),
        ("/control/gates", json!({ "where": "nowhere" }), 422),
    ];
    for (path, body, status) in wrong {
        assert_eq!(
            bench.post(path, body.clone()).await.0,
            status,
            "{path} {body}"
        );
    }
    bench.stop().await;
}
