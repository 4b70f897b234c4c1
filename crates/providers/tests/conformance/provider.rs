//! Stands in for every provider at once: it answers for whatever host it is asked as, over TLS, as told.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::facts::Answer;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// With scheme and host, without query.
    pub url: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Every provider; it ends when this is dropped.
pub struct Provider {
    pub address: SocketAddr,
    /// The authority that its certificates are from, in DER.
    pub authority: Vec<u8>,
    script: Arc<Mutex<Script>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
}

#[derive(Clone)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Provider {
    pub async fn start() -> Self {
        let certificates = Certificates::new();
        let authority = certificates.authority.to_vec();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        let script = Arc::new(Mutex::new(Script::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, acceptor, Arc::clone(&script)));
        Self {
            address,
            authority,
            script,
            _tasks: tasks,
        }
    }

    /// Answers with `answers` in turn from now on, with the last of them for ever, and forgets what it has seen.
    pub fn answers(&self, answers: &[&Answer]) {
        *lock(&self.script) = Script {
            replies: answers.iter().map(|answer| reply(answer)).collect(),
            seen: Vec::new(),
        };
    }

    /// What has arrived since the last answer was set.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.script).seen.clone()
    }
}

fn reply(answer: &Answer) -> Reply {
    let (content_type, body) = answer.body();
    let mut headers = vec![("content-type".to_owned(), content_type.to_owned())];
    headers.extend(answer.headers.clone());
    Reply {
        status: answer.status,
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, script: Arc<Mutex<Script>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a listener accepts");
        let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(|request| answer(request, Arc::clone(&script)));
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<Script>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let headers: BTreeMap<String, String> = head
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    let query = head.uri.query().unwrap_or_default();
    let host = headers.get("host").cloned().unwrap_or_default();
    let seen = Seen {
        method: head.method.to_string(),
        url: format!("https://{host}{}", head.uri.path()),
        query: serde_urlencoded::from_str(query).expect("a query is a form"),
        headers,
        body: String::from_utf8_lossy(&body).into(),
    };
    let mut script = lock(&script);
    script.seen.push(seen);
    let reply = match script.replies.len() {
        0 | 1 => script.replies.front().cloned(),
        _ => script.replies.pop_front(),
    };
    let reply = reply.expect("it was told what to answer");
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    Ok(response
        .body(Full::new(reply.body))
        .expect("the row is a valid answer"))
}

fn lock(script: &Mutex<Script>) -> std::sync::MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a certificate for each name that a client asks for.
struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
    authority: CertificateDer<'static>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

impl Certificates {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .clone();
        Self {
            issuer: Issuer::new(params, key),
            key: KeyPair::generate().expect("a key"),
            authority,
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_owned();
        let params = CertificateParams::new(vec![name]).ok()?;
        let certificate = params.signed_by(&self.key, &self.issuer).ok()?;
        let private = PrivateKeyDer::try_from(self.key.serialize_der()).ok()?;
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private).ok()?;
        Some(Arc::new(CertifiedKey::new(
            vec![certificate.der().clone()],
            signing,
        )))
    }
}
