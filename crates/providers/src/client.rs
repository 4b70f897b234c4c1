//! The one HTTP client: no redirects, no proxies, no reused connections, limits on time and size.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use tokio::time::{Instant, timeout_at};

use crate::request::TokenRequest;

/// No answer of a token endpoint is near this size.
const MAX_BODY_BYTES: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What is sent as `User-Agent` unless the catalogue says otherwise.
pub(crate) const USER_AGENT: &str = concat!("evergrant/", env!("CARGO_PKG_VERSION"));

/// Sends token requests.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient(reqwest::Client);

/// An answer, as far as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<String>,
    /// When the provider sent it, by the provider's own clock.
    pub(crate) date: Option<String>,
    pub(crate) body: Result<Bytes, BodyFault>,
}

/// Why there is no whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It is larger than 1 MiB, and the rest was not read.
    TooLarge,
    /// The connection broke, or time ran out.
    Cut(String),
}

/// Why there is no answer. Neither says which URL was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendFault {
    /// No address, no connection or no TLS session: the provider saw nothing of the request.
    NotSent(String),
    /// The request was sent at least in part.
    Unknown(String),
}

impl HttpClient {
    /// Fails if TLS cannot be set up on this machine.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one client that everything else must use"
    )]
    pub(crate) fn new() -> Result<Self, String> {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            // A kept connection that the provider closes just now looks like a request whose outcome is
            // unknown, which may cost a single-use refresh token. A handshake per refresh costs less.
            .pool_max_idle_per_host(0)
            .http1_only()
            .build()
            .map(Self)
            .map_err(|error| cause(&error.without_url()))
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
        } = request;
        let mut builder = self.0.request(method, url).headers(headers);
        if let Some(body) = body {
            builder = builder.body(body);
        }
        let mut patience = Patience::until(deadline);
        let response = match patience.wait(builder.send()).await {
            Ok(Ok(response)) => response,
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
            date: header(DATE),
            body: read_body(response, patience).await,
        })
    }
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
fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().to_lowercase()
}
