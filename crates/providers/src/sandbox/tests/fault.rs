use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Sends a refresh request byte by byte as HTTP/1.1 has it, and returns all that comes back until the
/// connection is closed.
async fn raw_refresh(bench: &Bench, token: &str) -> String {
    let body = format!(
        "grant_type=refresh_token&refresh_token={token}&client_id={DEFAULT_CLIENT_ID}&client_secret={DEFAULT_CLIENT_SECRET}"
    );
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: sandbox\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(bench.sandbox.addr()).await.unwrap();
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
    let mut received = Vec::new();
    within(stream.read_to_end(&mut received)).await.unwrap();
    String::from_utf8(received).unwrap()
}

fn strike(bench: &Bench, fault: Fault) {
    bench.control.add_fault(FaultRule::once(fault)).unwrap();
}

fn last(bench: &Bench) -> Entry {
    bench.control.ledger().entries.pop().unwrap()
}

#[tokio::test]
async fn dropped_before_processing_nothing_comes_back_and_nothing_is_spent() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let token = grant.refresh_token.expose();
    strike(&bench, Fault::DropBeforeProcessing);
    assert_eq!(raw_refresh(&bench, token).await, "");
    let entry = last(&bench);
    assert_eq!(entry.outcome, Some(Outcome::Intercepted));
    assert_eq!(
        (entry.status, entry.delivered, entry.client_left),
        (None, false, None)
    );
    assert_eq!(entry.faults, ["drop_before_processing"]);
    bench.rotate(token).await;
    bench.stop().await;
}

#[tokio::test]
async fn dropped_after_processing_nothing_comes_back_and_the_token_is_spent() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::SingleUse);
    let token = grant.refresh_token.expose();
    strike(&bench, Fault::DropAfterProcessing);
    assert_eq!(raw_refresh(&bench, token).await, "");
    let entry = last(&bench);
    assert_eq!(
        (entry.outcome, entry.delivered),
        (Some(Outcome::Issued), false)
    );
    assert_eq!(bench.refresh(token).await, (400, error("invalid_grant")));
    let ledger = bench.control.ledger();
    assert_eq!(ledger.lost_rotations().len(), 1);
    assert_eq!(ledger.lost_rotations()[0].sequence, entry.sequence);
    bench.stop().await;
}

#[tokio::test]
async fn a_truncated_body_is_half_of_what_its_head_promises() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    strike(&bench, Fault::TruncateBody);
    let received = raw_refresh(&bench, grant.refresh_token.expose()).await;
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    let promised = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let promised: usize = promised.unwrap().parse().unwrap();
    assert!(head.starts_with("HTTP/1.1 200"));
    assert_eq!(body.len(), promised / 2);
    let entry = last(&bench);
    assert_eq!((entry.status, entry.delivered), (Some(200), false));
    bench.stop().await;
}

#[tokio::test]
async fn a_trickled_body_is_whole_in_the_end() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    strike(&bench, Fault::TrickleBody { milliseconds: 1 });
    let next = bench.rotate(grant.refresh_token.expose()).await;
    assert!(last(&bench).delivered);
    bench.rotate(&next).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_canned_answer_spends_the_token_only_after_processing() {
    let bench = Bench::start().await;
    for at in [Point::BeforeProcessing, Point::AfterProcessing] {
        let grant = bench.grant(RotationMode::SingleUse);
        let token = grant.refresh_token.expose();
        strike(
            &bench,
            Fault::Status {
                status: 503,
                body: "<p>invalid_grant</p>".into(),
                content_type: "text/html".into(),
                at,
            },
        );
        let response = bench.request("/token", token).send().await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["content-type"], "text/html");
        assert_eq!(response.text().await.unwrap(), "<p>invalid_grant</p>");
        let spent = bench.refresh(token).await.0 == 400;
        assert_eq!(spent, at == Point::AfterProcessing);
    }
    bench.stop().await;
}

#[tokio::test]
async fn rate_limits_say_when_to_come_back_in_seconds_or_as_a_date() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let token = grant.refresh_token.expose();
    for http_date in [false, true] {
        let fault = Fault::RateLimit {
            retry_after_seconds: Some(7),
            http_date,
        };
        strike(&bench, fault);
        let response = bench.request("/token", token).send().await.unwrap();
        assert_eq!(response.status(), 429);
        let value = response.headers()["retry-after"].to_str().unwrap();
        assert_eq!(value == "7", !http_date);
        assert_eq!(httpdate::parse_http_date(value).is_ok(), http_date);
    }
    bench.rotate(token).await;
    bench.stop().await;
}

#[tokio::test]
async fn the_client_can_be_refused_for_a_while() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let token = grant.refresh_token.expose();
    let rule = FaultRule::always(Fault::InvalidClient);
    bench.control.add_fault(rule).unwrap();
    for _ in 0..3 {
        assert_eq!(bench.refresh(token).await, (401, error("invalid_client")));
    }
    bench.control.clear_faults();
    bench.rotate(token).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_flaky_provider_refuses_a_good_token_which_stays_good() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let token = grant.refresh_token.expose();
    let fault = Fault::FlakyInvalidGrant {
        probability: 1.0,
        seed: 1,
    };
    let rule = FaultRule::once(fault).for_family(&grant.family);
    bench.control.add_fault(rule).unwrap();
    bench
        .rotate(bench.grant(RotationMode::Strict).refresh_token.expose())
        .await;
    assert_eq!(bench.refresh(token).await, (400, error("invalid_grant")));
    bench.rotate(token).await;
    bench.stop().await;
}

#[tokio::test]
async fn expires_in_takes_every_form_that_clients_must_bear() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::None);
    let forms = [
        (ExpiresIn::Missing, None),
        (ExpiresIn::Zero, Some(serde_json::json!(0))),
        (ExpiresIn::Negative, Some(serde_json::json!(-3600))),
        (ExpiresIn::String, Some(serde_json::json!("3600"))),
        (ExpiresIn::Huge, Some(serde_json::json!(u64::MAX))),
        (ExpiresIn::Float, Some(serde_json::json!(3600.5))),
    ];
    for (value, expected) in forms {
        strike(&bench, Fault::ExpiresIn { value });
        let (status, body) = bench.refresh(grant.refresh_token.expose()).await;
        assert_eq!(status, 200);
        assert_eq!(body.get("expires_in"), expected.as_ref(), "{value:?}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn faults_of_one_rule_are_done_together() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::SingleUse);
    let token = grant.refresh_token.expose();
    let delay = Fault::Delay {
        milliseconds: 30,
        at: Point::AfterProcessing,
    };
    let mut rule = FaultRule::once(delay);
    rule.faults.push(Fault::DropAfterProcessing);
    bench.control.add_fault(rule).unwrap();
    let sent = std::time::Instant::now();
    assert_eq!(raw_refresh(&bench, token).await, "");
    assert!(sent.elapsed() >= Duration::from_millis(30));
    assert_eq!(last(&bench).faults, ["delay", "drop_after_processing"]);
    bench.stop().await;
}
