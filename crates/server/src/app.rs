//! The composition root.

use std::net::SocketAddr;

use thiserror::Error;

use crate::Build;
use crate::config::{Config, ConfigError};

/// Where the service serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Address of the gRPC listener.
    pub grpc: SocketAddr,
    /// Address of the HTTP listener for metrics and probes, unless it is off.
    pub admin: Option<SocketAddr>,
}

/// Why the service did not start or could not go on.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The configuration is wrong in a way that only shows when it is used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A dependency is out of reach at start.
    #[error("{what} is out of reach: {why}")]
    Unreachable {
        /// The dependency, e.g. `the store`.
        what: &'static str,
        /// Why; holds no secret.
        why: String,
    },
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Serves until it is told to stop; `on_ready` is called once, as soon as requests are answered.
pub async fn serve(
    _config: Config,
    _build: Build,
    _on_ready: impl FnOnce(Ready) + Send,
) -> Result<(), ServeError> {
    Err(unassembled())
}

/// Brings the store's schema up to date.
pub async fn migrate(_config: Config) -> Result<(), ServeError> {
    Err(unassembled())
}

/// Shows the main job in one minute.
pub async fn demo(_build: Build, _keep: bool) -> Result<(), ServeError> {
    Err(unassembled())
}

/// Serves the sandbox provider alone.
pub async fn sandbox(
    _listen: SocketAddr,
    _on_ready: impl FnOnce(SocketAddr) + Send,
) -> Result<(), ServeError> {
    Err(unassembled())
}

fn unassembled() -> ServeError {
    ServeError::Failed("this build holds no service".into())
}
