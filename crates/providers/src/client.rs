//! The one HTTP client: no redirects, no proxies, no reused connections, limits on time and size.

mod guard;

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::guard::{Guard, NotPublic, is_not_public};
use crate::request::TokenRequest;

/// No answer of a token endpoint is near this size.
const MAX_BODY_BYTES: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What is sent as `User-Agent` unless the catalogue says otherwise.
pub(crate) const USER_AGENT: &str = concat!("evergrant/", env!("CARGO_PKG_VERSION"));

/// Sends token requests.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    /// Goes where an entry leads.
    plain: reqwest::Client,
    /// Goes to public addresses alone, where a credential leads. Made when it is first needed, since most catalogues
    /// are used without it, and reading the certificates of the system takes time.
    guarded: OnceLock<reqwest::Client>,
}

/// An answer, as far as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// Whether the body is said to be compressed.
    pub(crate) is_packed: bool,
    pub(crate) retry_after: Option<String>,
    /// The host that a redirect leads to, as [`host`] shows it.
    pub(crate) redirect_to: Option<String>,
    /// When the provider sent it, by the provider's own clock.
    pub(crate) date: Option<String>,
    pub(crate) body: Result<Bytes, BodyFault>,
}

/// Why there is no whole body: what came instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BodyFault {
    /// It is larger than 1 MiB, and the rest was not read.
    #[error("more than 1 MiB")]
    TooLarge,
    /// It is compressed, which was not asked for.
    #[error("a compressed body, which it was asked not to")]
    Packed,
    /// The connection broke, or time ran out.
    #[error("a broken body: {0}")]
    Cut(String),
}

/// Why there is no answer. Neither says which URL was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendFault {
    /// A credential leads to where nothing may be sent. Nothing was.
    NotAllowed(String),
    /// No address, no connection or no TLS session: the provider saw nothing of the request.
    NotSent(String),
    /// The request was sent at least in part.
    Unknown(String),
}

/// A network in which one server is every provider, for tests.
#[cfg(feature = "testing")]
#[derive(Debug, Clone)]
pub struct Network {
    /// Where every host name leads, whatever port the URL means.
    pub address: std::net::SocketAddr,
    /// The only certificate authority that is trusted, in DER.
    pub authority: Vec<u8>,
}

impl HttpClient {
    /// Fails if TLS cannot be set up on this machine.
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self {
            plain: made(builder())?,
            guarded: OnceLock::new(),
        })
    }

    /// A client that trusts these authorities, in PEM, instead of the system's, and has no guard.
    pub(crate) fn trusting(authorities: &[u8]) -> Result<Self, String> {
        let authorities = reqwest::Certificate::from_pem_bundle(authorities);
        let authorities = authorities.map_err(|error| cause(&error))?;
        let plain = made(builder().tls_certs_only(authorities))?;
        Ok(Self {
            plain,
            guarded: OnceLock::new(),
        })
    }

    fn guarded(&self) -> Result<&reqwest::Client, SendFault> {
        if let Some(client) = self.guarded.get() {
            return Ok(client);
        }
        let client = made(builder().dns_resolver(Guard::of_system()));
        let client = client.map_err(SendFault::NotSent)?;
        Ok(self.guarded.get_or_init(|| client))
    }

    /// A client that knows no other network than this one.
    #[cfg(feature = "testing")]
    pub(crate) fn within(network: &Network) -> Result<Self, String> {
        let authority =
            reqwest::Certificate::from_der(&network.authority).map_err(|error| cause(&error))?;
        let within = || {
            builder()
                .tls_certs_only([authority.clone()])
                .dns_resolver(OneAddress(network.address))
        };
        Ok(Self {
            plain: made(within())?,
            guarded: made(within())?.into(),
        })
    }

    /// Sends `request` once. Ends by `deadline`, body included.
    pub(crate) async fn send(
        &self,
        request: TokenRequest,
        deadline: Instant,
    ) -> Result<Answer, SendFault> {
        let TokenRequest {
            method,
            url,
            headers,
            body,
            guarded,
        } = request;
        let client = if guarded {
            guard::check_literal(&url).map_err(|why| SendFault::NotAllowed(why.to_string()))?;
            self.guarded()?
        } else {
            &self.plain
        };
        let mut builder = client.request(method, url).headers(headers);
        if let Some(body) = body {
            builder = builder.body(body);
        }
        let mut patience = Patience::until(deadline);
        let response = match patience.wait(builder.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if is_not_public(&error) => {
                return Err(SendFault::NotAllowed(NotPublic.to_string()));
            }
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                return Err(SendFault::NotSent(cause(&error.without_url())));
            }
            Ok(Err(error)) => return Err(SendFault::Unknown(cause(&error.without_url()))),
            Err(Elapsed) => return Err(SendFault::Unknown("no answer in time".to_owned())),
        };
        let header = |name| {
            let value = response.headers().get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: header(CONTENT_TYPE).unwrap_or_default(),
            retry_after: header(RETRY_AFTER),
            redirect_to: header(LOCATION)
                .filter(|_| response.status().is_redirection())
                .and_then(|location| Some(host(&response.url().join(&location).ok()?))),
            date: header(DATE),
            is_packed: header(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity"),
            body: read_body(response, patience).await,
        })
    }
}

/// The host of a URL, with its port if it is not the usual one. Nothing else of a URL is shown, since it may hold what a
/// credential brought.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one client that everything else must use"
)]
fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        // A kept connection that the provider closes just now looks like a request whose outcome is unknown, which
        // may cost a single-use refresh token. A handshake per refresh costs less.
        .pool_max_idle_per_host(0)
        .http1_only()
}

fn made(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, String> {
    let client = builder.build();
    client.map_err(|error| cause(&error.without_url()))
}

async fn read_body(
    mut response: reqwest::Response,
    mut patience: Patience,
) -> Result<Bytes, BodyFault> {
    let announced = response.content_length().unwrap_or(0);
    if announced > MAX_BODY_BYTES as u64 {
        return Err(BodyFault::TooLarge);
    }
    let mut body = BytesMut::new();
    loop {
        match patience.wait(response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > MAX_BODY_BYTES => {
                return Err(BodyFault::TooLarge);
            }
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None)) => return Ok(body.freeze()),
            Ok(Err(error)) => return Err(BodyFault::Cut(cause(&error.without_url()))),
            Err(Elapsed) => {
                return Err(BodyFault::Cut("the answer did not end in time".to_owned()));
            }
        }
    }
}

/// How much longer a call waits than it should, once: a process that was paused finds its timer run out and the
/// provider's answer in its socket at the same moment. That answer may hold the only good refresh token.
const LAST_LOOK: Duration = Duration::from_millis(100);

/// A deadline for all steps of one call.
struct Patience {
    deadline: Instant,
    looked: bool,
}

/// The deadline passed.
struct Elapsed;

impl Patience {
    fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            looked: false,
        }
    }

    async fn wait<T>(&mut self, step: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut step = pin!(step);
        if let Ok(done) = timeout_at(self.deadline, &mut step).await {
            return Ok(done);
        }
        if self.looked {
            return Err(Elapsed);
        }
        self.looked = true;
        self.deadline = Instant::now() + LAST_LOOK;
        timeout_at(self.deadline, step).await.map_err(|_| Elapsed)
    }
}

/// The innermost cause, which says what happened; the outer ones only say that something did.
fn cause(error: &dyn StdError) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().to_lowercase()
}

#[cfg(feature = "testing")]
struct OneAddress(std::net::SocketAddr);

#[cfg(feature = "testing")]
impl reqwest::dns::Resolve for OneAddress {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let addresses: reqwest::dns::Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}
