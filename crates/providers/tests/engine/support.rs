//! A token endpoint that answers as told, and grants to try it with.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::grant::Grant;
use evergrant_core::ids::{ClientName, ProviderName};
use evergrant_core::provider::{CallError, Issued, Limits, Providers};
use evergrant_core::testing::sample;
use evergrant_providers::catalogue::BUILTIN;
use evergrant_providers::{Catalogue, ClientConfigError, HttpProviders, OAuthClient};
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub peer: SocketAddr,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The fields of a form or a flat JSON object.
    pub fn fields(&self) -> BTreeMap<String, String> {
        if self.header("content-type") == Some("application/json") {
            return serde_json::from_str(&self.body).unwrap();
        }
        serde_urlencoded::from_str(&self.body).unwrap()
    }
}

/// What to answer.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

pub fn reply(status: u16, body: &str) -> Reply {
    let headers = vec![("content-type", "application/json".to_owned())];
    let body = body.to_owned();
    Reply {
        status,
        headers,
        body,
    }
}

impl Reply {
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A token endpoint; it ends when this is dropped.
pub struct Endpoint {
    pub authority: String,
    script: Arc<Mutex<Script>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
}

impl Endpoint {
    /// Gives these answers in turn, and 599 after the last.
    pub async fn answering(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Arc::new(Mutex::new(Script {
            replies: replies.into_iter().collect(),
            seen: Vec::new(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let router = Router::new()
            .fallback(serve)
            .with_state(script.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            authority,
            script,
            _tasks: tasks,
        }
    }

    /// Reads each request and writes these bytes; then closes the connection, or keeps it open for ever.
    pub async fn raw(bytes: &'static [u8], close: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                read_request(&mut stream).await;
                // The client may have seen enough before everything is written.
                let _ = stream.write_all(bytes).await;
                if !close {
                    open.push(stream);
                }
            }
        });
        Self {
            authority,
            script: Arc::default(),
            _tasks: tasks,
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }
}

/// Reads to the end of a request, since a connection that is closed with bytes unread is reset. A TLS
/// handshake is read as far as it comes at once.
async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await.unwrap() == 0 || request[0] == 0x16 {
            return;
        }
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return;
        }
    }
}

async fn serve(
    State(script): State<Arc<Mutex<Script>>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut script = script.lock().unwrap();
    script.seen.push(Seen {
        peer,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let reply = script.replies.pop_front().unwrap_or(reply(599, "{}"));
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}

/// The text of a built-in entry, with its token URL moved to `authority` on loopback.
pub fn moved(name: &str, authority: &str) -> String {
    let file = format!("{name}.toml");
    let (_, text) = BUILTIN.iter().find(|(known, _)| *known == file).unwrap();
    let lines = text.lines().map(|line| {
        let Some(url) = line.strip_prefix("token_url = \"https://") else {
            let list = line.starts_with("allowed_hosts");
            return if list {
                format!("allowed_hosts = [\"{authority}\"]")
            } else if line.starts_with("host = ") {
                format!("host = \"{authority}\"")
            } else {
                line.to_owned()
            };
        };
        let (host, path) = url.split_once('/').unwrap();
        let host = if host.contains('{') { host } else { authority };
        format!("token_url = \"http://{host}/{path}")
    });
    lines.map(|line| line + "\n").collect()
}

/// An entry of the name `acme` whose token URL is on loopback.
pub fn acme(authority: &str, rest: &str) -> String {
    format!(
        "name = \"acme\"\ntoken_url = \"http://{authority}/token\"\nsources = [\"a test\"]\n{rest}"
    )
}

pub struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

pub fn client(provider: &str, name: &str, secrets: &[&str]) -> OAuthClient {
    OAuthClient {
        name: ClientName::parse(name).unwrap(),
        provider: ProviderName::parse(provider).unwrap(),
        client_id: "the-id".to_owned(),
        client_secrets: secrets.iter().map(|secret| (*secret).into()).collect(),
        redirect_uris: Vec::new(),
        parameters: BTreeMap::new(),
        limits: Limits::default(),
        private_key: None,
        key_id: None,
        alternates: Vec::new(),
    }
}

pub fn providers(
    entry: &str,
    clients: Vec<OAuthClient>,
) -> Result<HttpProviders, ClientConfigError> {
    let mut catalogue = Catalogue::empty();
    catalogue.add(entry, "test").unwrap();
    HttpProviders::new(Arc::new(catalogue), clients, Arc::new(Fixed))
}

/// A grant of the client `main`.
pub fn grant(provider: &str) -> Grant {
    sample::grant(sample::client(provider), sample::tokens(), NOW)
}

/// Refreshes a grant of `entry`'s provider with a client of one secret.
pub async fn refresh(entry: &str, grant: &Grant) -> Result<Issued, CallError> {
    let provider = grant.facts.client.provider.as_str();
    let providers = providers(entry, vec![client(provider, "main", &["the-secret"])]).unwrap();
    providers.refresh(grant, Duration::from_secs(10)).await
}
