//! The sandbox over real HTTP.

mod authorize;
mod client;
mod control_api;
mod device;
mod fault;
mod gate;
mod minting;
mod played;
mod rotation;

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::*;

/// Longer than anything here takes; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A sandbox, a client of it, and the means to end it.
struct Bench {
    sandbox: Sandbox,
    control: Control,
    http: reqwest::Client,
    shutdown: CancellationToken,
}

/// Status and JSON body of an answer; `null` for what is no JSON.
type Answer = (u16, Value);

impl Bench {
    async fn start() -> Self {
        let shutdown = CancellationToken::new();
        let sandbox = Sandbox::start(SandboxOptions::default(), shutdown.clone())
            .await
            .unwrap();
        Self {
            control: sandbox.control(),
            sandbox,
            http: http_client(),
            shutdown,
        }
    }

    fn grant(&self, mode: RotationMode) -> NewGrant {
        self.control
            .create_grant(GrantSpec::with_mode(mode))
            .unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.base_url())
    }

    /// A refresh request as most clients send it.
    fn request(&self, path: &str, refresh_token: &str) -> RequestBuilder {
        self.http.post(self.url(path)).form(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", DEFAULT_CLIENT_ID),
            ("client_secret", DEFAULT_CLIENT_SECRET),
        ])
    }

    async fn refresh(&self, refresh_token: &str) -> Answer {
        answer(self.request("/token", refresh_token)).await
    }

    /// Refreshes, and returns the new refresh token.
    async fn rotate(&self, refresh_token: &str) -> String {
        let (status, body) = self.refresh(refresh_token).await;
        assert_eq!(status, 200, "{body}");
        text(&body, "refresh_token")
    }

    /// Status of the resource behind an access token.
    async fn resource(&self, access_token: &str) -> u16 {
        let request = self.http.get(self.url("/resource"));
        answer(request.bearer_auth(access_token)).await.0
    }

    /// The text of a catalogue entry that the control API gives out.
    async fn catalogue(&self, query: &str) -> String {
        let url = self.url(&format!("/control/catalogue{query}"));
        let response = self.http.get(url).send().await.unwrap();
        response.text().await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        within(self.sandbox.closed()).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "these tests are a stranger's client, not the product's"
)]
fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

async fn answer(request: RequestBuilder) -> Answer {
    body_of(request.send().await.unwrap()).await
}

async fn body_of(response: Response) -> Answer {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn text(body: &Value, field: &str) -> String {
    let value = body[field].as_str();
    value
        .unwrap_or_else(|| panic!("no text {field}"))
        .to_owned()
}

fn error(code: &str) -> Value {
    serde_json::json!({ "error": code })
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it takes far less than this")
}

#[tokio::test]
async fn shutdown_ends_every_task_and_frees_the_port_though_a_call_is_held() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    let gate = bench.control.add_gate(GateRule {
        point: Point::BeforeProcessing,
        family: None,
    });
    let request = bench.request("/token", grant.refresh_token.expose());
    let (addr, control) = (bench.sandbox.addr(), bench.control.clone());
    let (sent, ()) = tokio::join!(request.send(), async {
        within(gate.wait_for_arrivals(1)).await;
        bench.stop().await;
    });
    assert!(sent.is_err());
    let held = control.ledger().entries.pop().unwrap();
    assert_eq!((held.outcome, held.delivered), (None, false));
    assert!(held.ended.is_some() && held.client_left.is_none());
    drop(TcpListener::bind(addr).await.unwrap());
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let bench = Bench::start().await;
    let options = SandboxOptions {
        listen: bench.sandbox.addr(),
    };
    let second = Sandbox::start(options, CancellationToken::new()).await;
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    bench.stop().await;
}

#[tokio::test]
async fn the_catalogue_entries_point_at_the_running_sandbox() {
    let bench = Bench::start().await;
    let url_in = |text: String| {
        let entry: toml::Table = text.parse().unwrap();
        entry["token_url"].as_str().unwrap().to_owned()
    };
    let sandbox = &bench.sandbox;
    assert_eq!(url_in(sandbox.catalogue_entry("a")), sandbox.token_url());
    assert_eq!(
        url_in(sandbox.catalogue_entry_slack("a")),
        sandbox.slack_token_url()
    );
    bench.stop().await;
}

#[tokio::test]
async fn what_debug_shows_holds_no_token() {
    let bench = Bench::start().await;
    let grant = bench.grant(RotationMode::Strict);
    bench.rotate(grant.refresh_token.expose()).await;
    let shown = format!(
        "{:?} {:?} {:?}",
        bench.sandbox,
        grant,
        bench.control.ledger()
    );
    assert!(!shown.contains("sbx_"), "{shown}");
    bench.stop().await;
}
