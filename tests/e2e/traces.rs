//! Where time goes is told to a collector: a caller's trace goes on, and who shares a refresh is led to it.

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::GetTokenRequest;
use evergrant_proto::v1::get_token_request::Rejected;
use evergrant_providers::sandbox::{DEFAULT_CLIENT_SECRET, Fault, Point};
use futures_util::future::join_all;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::Request;

use crate::harness::authority::Authority;
use crate::harness::background::background;
use crate::harness::caller::{reason, request};
use crate::harness::collector::{Collector, Seen};
use crate::harness::eventually::eventually;
use crate::harness::ports::free_port;
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};

const CALLERS: u8 = 20;
const GET_TOKEN: &str = "evergrant.v1.TokenService/GetToken";
/// What a refresh does for which nobody else must be waited.
const STEPS: [&str; 6] = [
    "place",
    "leader lock",
    "lease",
    "provider call",
    "escrow",
    "commit",
];

#[tokio::test]
async fn callers_who_share_a_refresh_are_linked_to_its_one_provider_call() -> Result<()> {
    let collector = Collector::start().await?;
    let scene = traced(&collector.endpoint()).await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.fresh_credential(&replica, "c").await?;
    let hold = scene.sandbox.hold(&grant, Point::AfterProcessing);

    let asked = background(join_all((0..CALLERS).map(|number| {
        let mut tokens = replica.tokens();
        async move { tokens.get_token(refused("c", number, 1)).await }
    })));
    hold.arrival().await?;
    eventually("everybody to join the refresh", SOON, async || {
        let metrics = replica.metrics().await.ok()?;
        let joiners = metrics.sum("evergrant_flight_joiners_total", &[]);
        (joiners >= f64::from(CALLERS - 1)).then_some(())
    })
    .await?;
    hold.open();
    let mut token = String::new();
    for answer in asked.await? {
        token = answer?.into_inner().access_token;
    }
    end(replica).await?;

    let spans = collector.spans();
    let calls = named(&spans, GET_TOKEN);
    let refresh = only(&spans, "refresh")?;
    ensure!(calls.len() == usize::from(CALLERS), "{} calls", calls.len());
    for number in 0..CALLERS {
        let call = calls
            .iter()
            .find(|call| call.span.trace_id == trace(number));
        let call = call.context("a caller's trace ends at the service")?;
        assert_eq!(call.span.parent_span_id, [number + 1; 8]);
        assert_eq!(call.span.kind(), SpanKind::Server);
        assert_eq!(call.get("rpc.system"), "grpc");
        assert_eq!(call.get("rpc.service"), "evergrant.v1.TokenService");
        assert_eq!(call.get("rpc.method"), "GetToken");
        assert_eq!(call.get("rpc.grpc.status_code"), "0");
        assert_eq!(call.linked_to(), [refresh.span.span_id.as_slice()]);
    }
    assert!(refresh.span.parent_span_id.is_empty());
    let first = refresh.linked_to();
    assert!(matches!(&*first, [first] if calls.iter().any(|call| call.span.span_id == *first)));
    assert_eq!(refresh.get("evergrant.cause"), "refusal");
    assert_eq!(refresh.get("evergrant.outcome"), "refreshed");

    let call = only(&spans, "provider call")?;
    assert_eq!(call.span.kind(), SpanKind::Client);
    assert_eq!(call.get("evergrant.provider"), PROVIDER);
    assert_eq!(call.get("evergrant.client"), CLIENT);
    assert_eq!(call.get("evergrant.endpoint"), "token_url");
    assert_eq!(call.get("evergrant.outcome"), "ok");
    assert_eq!(call.get("http.request.method"), "POST");
    assert_eq!(call.get("http.response.status_code"), "200");
    let address = scene.sandbox.address();
    assert_eq!(call.get("server.address"), address.ip().to_string());
    assert_eq!(call.get("server.port"), address.port().to_string());
    for step in STEPS {
        let step = only(&spans, step)?;
        assert_eq!(step.span.trace_id, refresh.span.trace_id);
        assert_eq!(step.span.parent_span_id, refresh.span.span_id);
    }
    for seen in &spans {
        // Libraries have spans too, which are nobody's concern.
        let name = &*seen.span.name;
        let is_ours = name.starts_with("evergrant.v1.") || name == "refresh";
        assert!(is_ours || STEPS.contains(&name), "{name}");
        assert_eq!(seen.resource["service.name"], "evergrant");
        assert_eq!(seen.resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(seen.resource["service.instance.id"].len(), 36);
    }
    let secrets = [
        grant.access_token.expose(),
        grant.refresh_token.expose(),
        DEFAULT_CLIENT_SECRET,
        &token,
    ];
    tells_no_secret(&collector, &secrets)
}

#[tokio::test]
async fn what_came_of_a_call_is_told() -> Result<()> {
    let collector = Collector::start().await?;
    let scene = traced(&collector.endpoint()).await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.fresh_credential(&replica, "c").await?;
    let nonsense = Fault::Status {
        status: 503,
        body: format!("{{\"error\":\"{}\"}}", grant.refresh_token.expose()),
        content_type: "application/json".to_owned(),
        at: Point::BeforeProcessing,
    };
    scene.sandbox.fail_always(&grant, nonsense)?;

    let told = replica.tokens().get_token(refused("c", 0, 1)).await;
    let status = told.err().context("no token could be had")?;
    let (_, reason) = reason(&status);
    assert_eq!(reason, "PROVIDER_UNAVAILABLE");
    let nobody = replica.tokens().get_token(request("nobody")).await;
    assert!(nobody.is_err());
    end(replica).await?;

    let spans = collector.spans();
    let call = only(&spans, "provider call")?;
    assert_eq!(call.get("http.response.status_code"), "503");
    assert_eq!(call.get("evergrant.outcome"), "unavailable");
    assert_eq!(code_of(&call), StatusCode::Error);
    let refresh = only(&spans, "refresh")?;
    assert_eq!(refresh.get("evergrant.outcome"), reason);
    let calls = named(&spans, GET_TOKEN);
    let by_reason = |reason: &str| {
        let of_reason = |call: &&Seen| call.get("evergrant.reason") == reason;
        calls.iter().copied().find(of_reason).context("it is told")
    };
    let failed = by_reason(&reason)?;
    assert_eq!(failed.get("rpc.grpc.status_code"), "14");
    assert_eq!(code_of(failed), StatusCode::Error);
    let mistaken = by_reason("CREDENTIAL_NOT_FOUND")?;
    assert_eq!(mistaken.get("rpc.grpc.status_code"), "5");
    assert_eq!(code_of(mistaken), StatusCode::Unset);
    let secrets = [grant.access_token.expose(), grant.refresh_token.expose()];
    tells_no_secret(&collector, &secrets)
}

#[tokio::test]
async fn a_caller_who_asks_for_a_trace_gets_the_refresh_too_and_others_are_left_out() -> Result<()>
{
    let collector = Collector::start().await?;
    let scene = traced(&collector.endpoint()).await?;
    let scene = scene.set("telemetry.trace_ratio", 0.0);
    let replica = scene.replica("replica").await?;
    scene.fresh_credential(&replica, "c").await?;
    let mut tokens = replica.tokens();

    tokens.get_token(refused("c", 7, 1)).await?;
    let silent = traceparent(refusal("c", 2), 8, "00");
    // It may not be renewed again so soon; that is all the same to its trace.
    let _refused = tokens.get_token(silent).await;
    tokens.get_token(request("c")).await?;
    end(replica).await?;

    let spans = collector.spans();
    let calls = named(&spans, GET_TOKEN);
    assert!(matches!(&*calls, [call] if call.span.trace_id == trace(7)));
    let refresh = only(&spans, "refresh")?;
    assert_eq!(refresh.linked_to(), [calls[0].span.span_id.as_slice()]);
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_away_slows_no_call_and_no_end() -> Result<()> {
    let scene = traced(&format!("http://127.0.0.1:{}", free_port()?)).await?;
    let replica = scene.replica("replica").await?;
    scene.fresh_credential(&replica, "c").await?;
    let caller = replica.caller();
    // More than the queue holds: nobody waits for room, which never comes.
    for _ in 0..3_000 {
        caller.token("c").await?;
    }
    // The shutdown would give up and say so.
    end(replica).await
}

#[tokio::test]
async fn a_collector_behind_tls_is_trusted_by_its_authority_and_no_other() -> Result<()> {
    let authority = Authority::new("collectors")?;
    let stranger = Authority::new("strangers")?;
    let collector = Collector::start_with(&authority.issue(&["localhost"])?).await?;
    let scene = traced(&collector.endpoint()).await?;
    for (trusted, arrives) in [(&stranger, false), (&authority, true)] {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), trusted.pem())?;
        let path = file.path().to_string_lossy().into_owned();
        let replica = Replica::start(&scene.config().env("SSL_CERT_FILE", path)).await?;
        ensure!(replica.tokens().get_token(request("nobody")).await.is_err());
        end(replica).await?;
        let has_arrived = !named(&collector.spans(), GET_TOKEN).is_empty();
        assert_eq!(has_arrived, arrives);
    }
    Ok(())
}

#[tokio::test]
async fn a_line_of_the_log_bears_the_trace_that_it_belongs_to() -> Result<()> {
    for format in ["json", "text"] {
        let collector = Collector::start().await?;
        let scene = traced(&collector.endpoint()).await?;
        let scene = scene.set("telemetry.format", format);
        let mut replica = scene.replica("replica").await?;
        let dead = scene.fresh_credential(&replica, "c").await?;
        scene.sandbox.control().revoke_grant(&dead.family)?;
        let refused = replica.tokens().get_token(refused("c", 3, 1)).await;
        ensure!(refused.is_err(), "its provider revoked it");
        replica.terminate()?;
        replica.end().await?;

        let spans = collector.spans();
        let refresh = only(&spans, "refresh")?;
        let trace = hex(&refresh.span.trace_id);
        let log = replica.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&trace)).collect();
        ensure!(!lines.is_empty(), "no line is of the refresh: {log}");
        let of_trace = spans
            .iter()
            .filter(|seen| hex(&seen.span.trace_id) == trace);
        let ids: Vec<_> = of_trace.map(|seen| hex(&seen.span.span_id)).collect();
        for line in lines {
            let span = match format {
                "json" => {
                    let line: serde_json::Value = serde_json::from_str(line)?;
                    assert_eq!(line["trace_id"], trace.as_str());
                    line["span_id"].as_str().unwrap_or_default().to_owned()
                }
                _ => {
                    let (_, ids) = line.rsplit_once(" trace_id=").context("it ends so")?;
                    let (of_line, span) = ids.split_once(" span_id=").context("it ends so")?;
                    assert_eq!(of_line, trace);
                    span.to_owned()
                }
            };
            ensure!(
                ids.contains(&span),
                "{span} is no span of the trace: {line}"
            );
        }
        let begun = log.lines().find(|line| line.contains("evergrant starts"));
        let begun = begun.context("it says so")?;
        ensure!(!begun.contains("trace_id"), "it is of no trace: {begun}");
    }
    Ok(())
}

async fn traced(endpoint: &str) -> Result<Scene> {
    let scene = Scene::on_sqlite().await?;
    Ok(scene.set("telemetry.otlp_endpoint", endpoint))
}

/// A replica that ends sends what it has.
async fn end(mut replica: Replica) -> Result<()> {
    replica.terminate()?;
    let status = replica.end().await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

fn refusal(credential: &str, generation: u64) -> GetTokenRequest {
    GetTokenRequest {
        rejected: Some(Rejected::RejectedGeneration(generation)),
        ..request(credential)
    }
}

/// A request of the caller of that number, who traces.
fn refused(credential: &str, number: u8, generation: u64) -> Request<GetTokenRequest> {
    traceparent(refusal(credential, generation), number, "01")
}

fn traceparent(message: GetTokenRequest, number: u8, flags: &str) -> Request<GetTokenRequest> {
    let (trace, span) = (hex(&trace(number)), hex(&[number + 1; 8]));
    let header = format!("00-{trace}-{span}-{flags}").parse();
    let mut request = Request::new(message);
    let header = header.expect("it is plain");
    request.metadata_mut().insert("traceparent", header);
    request
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn trace(number: u8) -> [u8; 16] {
    [number + 100; 16]
}

fn named<'a>(spans: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|seen| seen.span.name == name).collect()
}

fn only(spans: &[Seen], name: &str) -> Result<Seen> {
    match &*named(spans, name) {
        [only] => Ok((*only).clone()),
        several => anyhow::bail!("{} spans are named {name}", several.len()),
    }
}

fn code_of(seen: &Seen) -> StatusCode {
    let status = seen.span.status.clone().unwrap_or_default();
    status.code()
}

fn tells_no_secret(collector: &Collector, secrets: &[&str]) -> Result<()> {
    let told = collector.bytes();
    for secret in secrets {
        let secret = secret.as_bytes();
        let found = told.windows(secret.len()).any(|part| part == secret);
        ensure!(!found, "a secret is in a span");
    }
    Ok(())
}
