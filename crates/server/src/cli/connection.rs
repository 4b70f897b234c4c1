//! The way to the server that client verbs talk to.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use self::first_words::Expected;
use super::exit::Failure;
use crate::config::duration;

mod first_words;
pub mod hint;

const DEFAULT_SERVER: &str = "http://127.0.0.1:7070";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server is listened to before it is asked.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// Where the server is, and who asks about which tenant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct Connection {
    #[command(flatten)]
    server: Server,
    /// Tenant of what is named; "default" where none is given
    #[arg(
        long,
        env = "EVERGRANT_TENANT",
        default_value = "",
        hide_default_value = true,
        value_name = "TENANT",
        global = true
    )]
    pub tenant: String,
}

impl std::ops::Deref for Connection {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// Where the server is, and who asks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct Server {
    /// The server, http://127.0.0.1:7070 by default; https:// for TLS
    #[arg(long, env = "EVERGRANT_SERVER", value_name = "URL", global = true)]
    server: Option<String>,
    /// Bearer token that names the caller; the environment keeps it out of the process list
    #[arg(
        long,
        env = "EVERGRANT_AUTH_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        global = true
    )]
    auth_token: Option<String>,
    /// File with that token, read again for each call, e.g. the token of a Kubernetes service account
    #[arg(
        long,
        env = "EVERGRANT_AUTH_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "auth_token",
        global = true
    )]
    auth_token_file: Option<PathBuf>,
    /// Certificate authorities to trust instead of the system's, in PEM
    #[arg(long, env = "EVERGRANT_TLS_CA", value_name = "FILE", global = true)]
    tls_ca: Option<PathBuf>,
    /// Client certificate, in PEM
    #[arg(
        long,
        env = "EVERGRANT_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key",
        global = true
    )]
    tls_cert: Option<PathBuf>,
    /// Private key of the client certificate, in PEM
    #[arg(
        long,
        env = "EVERGRANT_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert",
        global = true
    )]
    tls_key: Option<PathBuf>,
    /// How long a call may take
    #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "DURATION", global = true)]
    timeout: Duration,
}

/// A channel whose calls say who asks.
pub type Service = InterceptedService<Channel, Caller>;

impl Server {
    /// Whether a server was named, rather than left to the default.
    pub fn is_given(&self) -> bool {
        self.server.as_ref().is_some_and(|url| !url.is_empty())
    }

    fn server(&self) -> &str {
        self.server.as_deref().unwrap_or(DEFAULT_SERVER)
    }

    /// Connects; calls end after the timeout that was asked for.
    pub async fn connect(&self) -> Result<Service, Failure> {
        self.connect_with(Some(self.timeout)).await
    }

    /// Connects; calls may take for ever, as streams do.
    pub async fn connect_for_stream(&self) -> Result<Service, Failure> {
        self.connect_with(None).await
    }

    async fn connect_with(&self, timeout: Option<Duration>) -> Result<Service, Failure> {
        let caller = Caller {
            authorization: self.authorization()?,
            timeout,
        };
        let unreachable = |why: &str| {
            let server = self.server();
            Failure::Unreachable(format!("server {server} cannot be reached: {why}"))
        };
        let expected = match self.server().starts_with("https://") {
            true => Expected::Tls,
            false => Expected::Http2,
        };
        let (connector, first_words) = first_words::connector(expected);
        let channel = self.endpoint()?.connect_with_connector(connector).await;
        let channel = channel.map_err(|error| unreachable(&innermost(&error)))?;
        // Whoever speaks HTTP/2 says so at once, so a server that says nothing is left to the call.
        if let Ok(Ok(Err(why))) = tokio::time::timeout(FIRST_WORDS, first_words).await {
            return Err(unreachable(why));
        }
        Ok(InterceptedService::new(channel, caller))
    }

    fn endpoint(&self) -> Result<Endpoint, Failure> {
        let server = self.server();
        let unusable = |why: String| Failure::Usage(format!("--server {server:?} {why}"));
        let is_tls = server.starts_with("https://");
        if !is_tls && !server.starts_with("http://") {
            return Err(unusable("must begin with http:// or https://".into()));
        }
        let endpoint = Endpoint::from_shared(server.to_owned())
            .map_err(|_| unusable("is no URL".into()))?
            .connect_timeout(CONNECT_TIMEOUT);
        let tls = self.tls()?;
        match (is_tls, tls) {
            (true, tls) => endpoint
                .tls_config(tls.unwrap_or_else(|| ClientTlsConfig::new().with_native_roots()))
                .map_err(|error| Failure::Usage(format!("TLS options: {}", innermost(&error)))),
            (false, None) => Ok(endpoint),
            (false, Some(_)) => Err(unusable(
                "must begin with https:// if TLS options are given".into(),
            )),
        }
    }

    fn tls(&self) -> Result<Option<ClientTlsConfig>, Failure> {
        let tls_ca = given(self.tls_ca.as_ref());
        let tls_cert = given(self.tls_cert.as_ref());
        let tls_key = given(self.tls_key.as_ref());
        if tls_ca.is_none() && tls_cert.is_none() {
            return Ok(None);
        }
        let mut tls = ClientTlsConfig::new();
        tls = match tls_ca {
            Some(path) => tls.ca_certificate(Certificate::from_pem(read("--tls-ca", path)?)),
            None => tls.with_native_roots(),
        };
        if let (Some(cert), Some(key)) = (tls_cert, tls_key) {
            let (cert, key) = (read("--tls-cert", cert)?, read("--tls-key", key)?);
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        Ok(Some(tls))
    }

    fn authorization(&self) -> Result<Authorization, Failure> {
        if let Some(path) = given(self.auth_token_file.as_ref()) {
            // Whether it is of use is seen now, and not at the first call.
            from_file(path).map_err(Failure::Usage)?;
            return Ok(Authorization::File(path.to_owned()));
        }
        match self.auth_token.as_deref().filter(|token| !token.is_empty()) {
            None => Ok(Authorization::None),
            Some(token) => bearer(token)
                .map(Authorization::Value)
                .ok_or_else(|| Failure::Usage(format!("--auth-token {NO_HEADER}"))),
        }
    }
}

/// An empty variable of the environment names no file.
fn given(path: Option<&PathBuf>) -> Option<&Path> {
    path.map(PathBuf::as_path)
        .filter(|path| !path.as_os_str().is_empty())
}

const NO_HEADER: &str = "holds a character that no header takes";

/// The bearer token of each call.
#[derive(Debug, Clone)]
enum Authorization {
    None,
    Value(MetadataValue<Ascii>),
    /// It may be another one for each call.
    File(PathBuf),
}

fn bearer(token: &str) -> Option<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn from_file(path: &Path) -> Result<MetadataValue<Ascii>, String> {
    let told = |why: &str| format!("--auth-token-file {}: {why}", path.display());
    let token = std::fs::read_to_string(path).map_err(|error| told(&error.to_string()))?;
    match token.trim() {
        "" => Err(told("it is empty")),
        token => bearer(token).ok_or_else(|| told(&format!("it {NO_HEADER}"))),
    }
}

/// Adds the bearer token and the deadline to each call.
#[derive(Debug, Clone)]
pub struct Caller {
    authorization: Authorization,
    timeout: Option<Duration>,
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let authorization = match &self.authorization {
            Authorization::None => None,
            Authorization::Value(value) => Some(value.clone()),
            Authorization::File(path) => Some(from_file(path).map_err(Status::unauthenticated)?),
        };
        if let Some(authorization) = authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization);
        }
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        Ok(request)
    }
}

/// Reads a duration argument.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "write a number and a unit, such as 15s or 5m".into())
}

fn read(argument: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::Usage(format!("{argument} {}: {error}", path.display())))
}

/// What is at the bottom of an error, since the transport's own words are only "transport error".
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
