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

use super::exit::Failure;
use crate::config::duration;

const DEFAULT_SERVER: &str = "http://127.0.0.1:7070";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Certificate authorities to trust instead of the system's, in PEM
    #[arg(long, value_name = "FILE", global = true)]
    tls_ca: Option<PathBuf>,
    /// Client certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key", global = true)]
    tls_cert: Option<PathBuf>,
    /// Private key of the client certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", global = true)]
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
        let channel = self.endpoint()?.connect().await.map_err(|error| {
            Failure::Unreachable(format!(
                "server {} cannot be reached: {}",
                self.server(),
                innermost(&error)
            ))
        })?;
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
        let Self {
            tls_ca,
            tls_cert,
            tls_key,
            ..
        } = self;
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

    fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, Failure> {
        let Some(token) = self.auth_token.as_deref().filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| {
            Failure::Usage("--auth-token holds a character that no header takes".into())
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Adds the bearer token and the deadline to each call.
#[derive(Debug, Clone)]
pub struct Caller {
    authorization: Option<MetadataValue<Ascii>>,
    timeout: Option<Duration>,
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.clone());
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
