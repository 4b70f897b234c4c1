use std::convert::Infallible;
use std::time::Duration;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::store::EventLog;
use evergrant_core::testing::store::Op;
use futures_util::stream;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::StreamBody;

use super::sample::{Scene, text};
use super::*;

fn post(path: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header(CONTENT_TYPE, content_type)
        .body(Full::new(body.into()))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_report_ends_the_grants_of_the_account_over_all_tenants() {
    let scene = Scene::new();
    let here = scene.connect("t1", "T1").await;
    let there = scene.connect("t2", "T1:U1").await;
    let other = scene.connect("t3", "T2").await;
    assert_eq!(scene.status(scene.uninstalled("Ev1", "T1")).await, 200);
    let died = Some((
        InvalidationReason::GrantRevoked,
        "app_uninstalled".to_owned(),
    ));
    assert_eq!(scene.death(&here).await, died);
    assert_eq!(scene.death(&there).await, died);
    assert_eq!(scene.death(&other).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_replay_has_no_effect_and_looks_like_the_first_delivery() {
    let scene = Scene::new();
    scene.connect("t1", "T1").await;
    assert_eq!(scene.status(scene.uninstalled("Ev1", "T1")).await, 200);
    // Another grant, which is of the same account and as old.
    let second = scene.connect("t2", "T1").await;
    assert_eq!(scene.status(scene.uninstalled("Ev1", "T1")).await, 200);
    assert_eq!(scene.death(&second).await, None);
    assert_eq!(scene.status(scene.uninstalled("Ev2", "T1")).await, 200);
    assert!(scene.death(&second).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_is_unknown_is_answered_like_who_is_known() {
    let scene = Scene::new();
    scene.connect("t1", "T1").await;
    let mut answers = Vec::new();
    for (id, team) in [("Ev1", "T1"), ("Ev2", "T9")] {
        let response = scene.inbox.answer(scene.uninstalled(id, team)).await;
        let head = (response.status(), response.headers().clone());
        answers.push((head, text(response).await));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].1, "");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_could_not_take_is_delivered_again() {
    let scene = Scene::new();
    let key = scene.connect("t1", "T1").await;
    let before = scene.store.position().await.unwrap().head;
    for op in [Op::Snapshot, Op::Apply] {
        scene.store.faults().fail_next(op, 1);
        assert_eq!(scene.status(scene.uninstalled("Ev1", "T1")).await, 503);
        assert_eq!(scene.death(&key).await, None);
    }
    // This time it takes place, and only the answer is lost.
    scene.store.faults().lose_next_answers(Op::Apply, 1);
    assert_eq!(scene.status(scene.uninstalled("Ev1", "T1")).await, 503);
    assert_eq!(scene.status(scene.uninstalled("Ev1", "T1")).await, 200);
    assert!(scene.death(&key).await.is_some());
    let after = scene.store.position().await.unwrap().head;
    assert_eq!(after - before, 1, "it is told once");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_no_reason_to_hang() {
    let scene = Scene::new();
    let held = scene.store.faults().hold_next(Op::Snapshot);
    let began = tokio::time::Instant::now();
    let asked = scene.status(scene.uninstalled("Ev1", "T1"));
    assert_eq!(asked.await, 503);
    assert!(began.elapsed() <= DEALT_WITHIN, "{:?}", began.elapsed());
    held.release();
}

#[tokio::test(start_paused = true)]
async fn of_many_deliveries_at_once_some_wait_for_their_turn() {
    let scene = Scene::new();
    let held = scene.store.faults().hold_next(Op::Snapshot);
    let many =
        (0..=AT_ONCE).map(|number| scene.status(scene.uninstalled(&format!("Ev{number}"), "T1")));
    let many = futures_util::future::join_all(many);
    let turns = &scene.inbox.0.turns;
    tokio::select! {
        _ = many => panic!("the store is held"),
        () = async {
            held.reached().await;
            for _ in 0..10 * AT_ONCE {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    assert_eq!(turns.available_permits(), 0);
    held.release();
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_up_interrupts_nothing() {
    let scene = Scene::new();
    let key = scene.connect("t1", "T1").await;
    let held = scene.store.faults().hold_next(Op::Apply);
    let request = scene.uninstalled("Ev1", "T1");
    tokio::select! {
        _ = scene.inbox.answer(request) => panic!("it is held"),
        () = held.reached() => {}
    }
    held.release();
    while scene.death(&key).await.is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_delivery_is_refused_by_its_form() {
    let scene = Scene::new();
    let json = "application/json";
    for path in ["/", "/other", "/slack/", "/slack/events", "/%73lack"] {
        assert_eq!(scene.status(post(path, json, "{}")).await, 404, "{path}");
    }
    let get = Request::get("/slack").body(Full::default()).unwrap();
    let response = scene.inbox.answer(get).await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()[ALLOW], "POST");
    for (path, wrong) in [
        ("/slack", "text/plain"),
        ("/slack", ""),
        ("/google", json),
        ("/slack", "application/secevent+jwt"),
    ] {
        assert_eq!(
            scene.status(post(path, wrong, "{}")).await,
            415,
            "{path} {wrong}"
        );
    }
    let untyped = Request::post("/slack").body(Full::default()).unwrap();
    assert_eq!(scene.status(untyped).await, 415);
    assert_eq!(scene.status(post("/slack", json, "{}")).await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_refused_security_event_token_is_told_why() {
    let scene = Scene::new();
    let request = post("/google", "Application/SecEvent+JWT", "not a token");
    let response = scene.inbox.answer(request).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(response.headers()["content-language"], "en");
    let body: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["err"], "invalid_request");
    assert!(!body["description"].as_str().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_small_and_comes_soon() {
    let scene = Scene::new();
    let json = "application/json";
    let most = 256 * 1024;
    assert_eq!(
        scene.status(post("/slack", json, vec![b' '; most])).await,
        401
    );
    assert_eq!(
        scene
            .status(post("/slack", json, vec![b' '; most + 1]))
            .await,
        413
    );
    let mut announced = post("/slack", json, "{}");
    announced
        .headers_mut()
        .insert(CONTENT_LENGTH, (most + 1).into());
    assert_eq!(scene.status(announced).await, 413);

    // A byte a second, for ever.
    let drops = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let frame = http_body::Frame::data(Bytes::from_static(b" "));
        Some((Ok::<_, Infallible>(frame), ()))
    });
    let (head, _) = post("/slack", json, "").into_parts();
    let slow = Request::from_parts(head, StreamBody::new(Box::pin(drops)));
    let began = tokio::time::Instant::now();
    assert_eq!(scene.inbox.answer(slow).await.status(), 408);
    assert!(began.elapsed() <= Duration::from_secs(10));
}
