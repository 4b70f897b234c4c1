//! The composition root.

use std::net::SocketAddr;

use evergrant_providers::sandbox::{Sandbox, SandboxOptions};
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;

use crate::config::{Config, ConfigError};
use crate::journal::Journal;
use crate::lifecycle::Lifecycle;
use crate::replica::{Replica, StartError, Unfinished};
use crate::store::{OpenStoreError, Restored, SqlStore};
use crate::{Build, demo, sight};

/// Where the service serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Address of the gRPC listener.
    pub grpc: SocketAddr,
    /// Address of the HTTP listener for metrics and probes, unless it is off.
    pub admin: Option<SocketAddr>,
    /// Address of the HTTP listener for users who come back from a provider, unless it is off.
    pub callback: Option<SocketAddr>,
    /// Address of the listener for what providers report, if it is on.
    pub inbound: Option<SocketAddr>,
}

/// Why the service did not start or could not go on.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The configuration is wrong in a way that only shows when it is used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The same, found by what uses the value; the message names the key.
    #[error("{0}")]
    Unusable(String),
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

impl From<StartError> for ServeError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => Self::Config(error),
            error if error.is_configuration() => Self::Unusable(error.to_string()),
            error if error.is_unreachable() => Self::Unreachable {
                what: "the store",
                why: error.to_string(),
            },
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<Unfinished> for ServeError {
    fn from(left: Unfinished) -> Self {
        Self::Failed(left.to_string())
    }
}

/// Serves until it is told to stop; `on_ready` is called once, as soon as requests are answered.
pub async fn serve(
    config: Config,
    build: Build,
    on_ready: impl FnOnce(Ready) + Send,
) -> Result<(), ServeError> {
    let metrics = recorder(build)?;
    let life = Lifecycle::new();
    let starting = Replica::start(&config, metrics, life.clone());
    // A signal during the start ends it: nothing has been begun that must be finished.
    let replica = tokio::select! {
        replica = starting => replica?,
        signalled = life.until_signalled() => return signalled.map_err(failed),
    };
    on_ready(Ready {
        grpc: replica.grpc(),
        admin: replica.admin(),
        callback: replica.callback(),
        inbound: replica.inbound(),
    });
    life.until_signalled().await.map_err(failed)?;
    Ok(replica.finish().await?)
}

/// Brings the store's schema up to date.
pub async fn migrate(config: Config) -> Result<(), ServeError> {
    let applied = SqlStore::migrate(&config.store.url)
        .await
        .map_err(StartError::from)?;
    tracing::info!(applied, "the schema is up to date");
    Ok(())
}

/// Tells the store that it was restored from a backup. Replicas that run are an error, unless `force`.
pub async fn restored(config: Config, force: bool) -> Result<Restored, ServeError> {
    let in_use = |why: &str| {
        ServeError::Failed(format!(
            "{why}; stop all replicas first, or, if none runs, say --force; nothing was changed"
        ))
    };
    // A replica on SQLite that runs on may have the file open that was there before, and has its journal.
    if let Some(path) = config.refresh.journal.as_ref().filter(|_| !force)
        && Journal::is_open(path)
    {
        let path = path.display();
        return Err(in_use(&format!(
            "another process has the journal {path} open"
        )));
    }
    match SqlStore::restored(&config.store.url, force).await {
        Err(error @ OpenStoreError::InUse(_)) => Err(in_use(&error.to_string())),
        restored => Ok(restored.map_err(StartError::from)?),
    }
}

/// Gives the event log a new epoch, after a restore that may have lost events. Answers the epoch.
pub async fn renew_epoch(config: Config) -> Result<String, ServeError> {
    let epoch = SqlStore::renew_epoch(&config.store.url).await;
    Ok(epoch.map_err(StartError::from)?.0.to_string())
}

/// Shows the main job in one minute.
pub async fn demo(build: Build, keep: bool) -> Result<(), ServeError> {
    demo::run(recorder(build)?, keep).await
}

/// Serves the sandbox provider alone.
pub async fn sandbox(
    listen: SocketAddr,
    on_ready: impl FnOnce(SocketAddr) + Send,
) -> Result<(), ServeError> {
    let life = Lifecycle::new();
    let sandbox = Sandbox::start(SandboxOptions { listen }, life.stop())
        .await
        .map_err(|error| ServeError::Failed(format!("cannot listen on {listen}: {error}")))?;
    on_ready(sandbox.addr());
    life.until_signalled().await.map_err(failed)?;
    sandbox.closed().await;
    Ok(())
}

fn recorder(build: Build) -> Result<PrometheusHandle, ServeError> {
    let metrics = sight::install().map_err(|error| ServeError::Failed(error.to_string()))?;
    sight::tell_build(build.version, build.revision);
    Ok(metrics)
}

fn failed(error: std::io::Error) -> ServeError {
    ServeError::Failed(error.to_string())
}
