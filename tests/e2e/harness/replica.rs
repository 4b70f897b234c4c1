//! One replica of the program under test: the built binary, as `evergrant serve` with a configuration of the test's.

pub mod config;

use std::net::SocketAddr;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_proto::v1::credential_service_client::CredentialServiceClient;
use evergrant_proto::v1::event_service_client::EventServiceClient;
use evergrant_proto::v1::integration_service_client::IntegrationServiceClient;
use evergrant_proto::v1::token_service_client::TokenServiceClient;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;

use self::config::ReplicaConfig;
use super::http;
use super::metrics::Metrics;
use super::process::Process;

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// A replica that serves. It is killed when dropped; its log is shown if the test fails.
pub struct Replica {
    process: Process,
    ready: Ready,
    // Holds the configuration and the catalogue entries for as long as the process may read them.
    folder: TempDir,
}

/// The addresses of the line that a replica prints once it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ready {
    grpc: SocketAddr,
    admin: SocketAddr,
    callback: Option<SocketAddr>,
    inbound: Option<SocketAddr>,
}

impl Replica {
    /// Starts a replica and waits until it is ready. The error of one that is not has its log.
    pub async fn start(config: &ReplicaConfig) -> Result<Self> {
        let (mut process, folder) = spawn(config)?;
        let ready = process.line(READY_WITHIN, Ready::parse).await?;
        Ok(Self {
            process,
            ready,
            folder,
        })
    }

    /// Starts a replica that is expected to end by itself, e.g. since its configuration is wrong: its exit code, if it
    /// was not ended by a signal, and what it wrote to standard error.
    pub async fn run_to_end(config: &ReplicaConfig) -> Result<(Option<i32>, String)> {
        let (mut process, _folder) = spawn(config)?;
        let status = process.end(READY_WITHIN).await?;
        Ok((status.code(), process.stderr()))
    }

    /// Where gRPC is served.
    pub fn grpc(&self) -> SocketAddr {
        self.ready.grpc
    }

    /// Where users come back to who consent at a provider.
    pub fn callback_url(&self) -> Result<String> {
        let address = self.ready.callback.context("the callback is off")?;
        Ok(format!("http://{address}/oauth/callback"))
    }

    /// A URL of the admin listener; `path` begins with a slash.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ready.admin)
    }

    /// A URL of the listener for what providers report, which the test must have configured; `path` begins with a slash.
    pub fn inbound_url(&self, path: &str) -> String {
        let inbound = self.ready.inbound.expect("the test configured it");
        format!("http://{inbound}{path}")
    }

    /// A connection of its own to this replica, made when it is first used.
    pub fn channel(&self) -> Channel {
        channel_to(self.ready.grpc)
    }

    /// A client of `TokenService` on a connection of its own.
    pub fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.channel())
    }

    /// A client of `CredentialService` on a connection of its own.
    pub fn credentials(&self) -> CredentialServiceClient<Channel> {
        CredentialServiceClient::new(self.channel())
    }

    /// A client of `IntegrationService` on a connection of its own.
    pub fn integrations(&self) -> IntegrationServiceClient<Channel> {
        IntegrationServiceClient::new(self.channel())
    }

    /// A client of `EventService` on a connection of its own.
    pub fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel())
    }

    /// A client of `grpc.health.v1.Health` on a connection of its own.
    pub fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel())
    }

    /// What `/metrics` says now.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::parse(&self.metrics_text().await?)
    }

    /// What `/metrics` says now, as it is.
    pub async fn metrics_text(&self) -> Result<String> {
        let answer = http::client().get(self.admin_url("/metrics")).send();
        Ok(answer.await?.error_for_status()?.text().await?)
    }

    /// The HTTP status of a path of the admin listener, e.g. `/readyz`.
    pub async fn admin_status(&self, path: &str) -> Result<u16> {
        let answer = http::client().get(self.admin_url(path)).send().await?;
        Ok(answer.status().as_u16())
    }

    /// Asks the replica to finish (SIGTERM), without waiting. A second time tells it to stop at once.
    pub fn terminate(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)
    }

    /// Changes the configuration file, which the replica reads again by itself. Its environment stays.
    pub fn reconfigure(&mut self, config: &ReplicaConfig) -> Result<()> {
        config.write_to(self.folder.path()).map(drop)
    }

    /// Asks the replica to read its files again now (SIGHUP).
    pub fn hang_up(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGHUP)
    }

    /// Freezes the replica (SIGSTOP): its connections stay open and say nothing.
    pub fn freeze(&mut self) -> Result<()> {
        self.process.freeze()
    }

    /// Ends a [`freeze`](Self::freeze) (SIGCONT).
    pub fn thaw(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Kills the replica (SIGKILL) and waits until it is gone.
    pub async fn kill(mut self) -> Result<()> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.end(STOPPED_WITHIN).await.map(drop)
    }

    /// Waits until the replica ends, e.g. after [`terminate`](Self::terminate).
    pub async fn end(&mut self) -> Result<ExitStatus> {
        self.process.end(STOPPED_WITHIN).await
    }

    /// The last lines of the replica's log.
    pub fn log(&self) -> String {
        self.process.stderr()
    }
}

/// Runs another verb of the program to its end, and gives what it printed. An error unless it succeeds.
pub async fn verb(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let notes = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{arguments:?}: {notes}");
    Ok(String::from_utf8(output.stdout)?)
}

/// A connection of its own to `address`, e.g. of a proxy before a replica, made when it is first used.
pub fn channel_to(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address makes a URL")
        .connect_timeout(Duration::from_secs(5))
        .connect_lazy()
}

fn spawn(config: &ReplicaConfig) -> Result<(Process, TempDir)> {
    let folder = tempfile::Builder::new()
        .prefix("evergrant-e2e-replica-")
        .tempdir()?;
    let file = config.write_to(folder.path())?;
    let mut command = Command::new(config.executable());
    command.arg("serve").arg("--config").arg(file);
    super::cli::forget_environment(&mut command);
    command
        .envs(config.environment())
        .current_dir(folder.path());
    let log = config.log().map(std::fs::File::create_new).transpose()?;
    let process =
        Process::spawn_logged(config.name(), command, log).context("the replica does not start")?;
    Ok((process, folder))
}

impl Ready {
    /// `evergrant ready grpc=127.0.0.1:7070 admin=127.0.0.1:7071`, and perhaps ` inbound=127.0.0.1:7072`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("evergrant ready ")?.split(' ');
        let grpc = words.next()?.strip_prefix("grpc=")?.parse().ok()?;
        let admin = words.next()?.strip_prefix("admin=")?.parse().ok()?;
        let mut ready = Self {
            grpc,
            admin,
            callback: None,
            inbound: None,
        };
        for word in words {
            match word.split_once('=')? {
                ("callback", address) => ready.callback = Some(address.parse().ok()?),
                ("inbound", address) => ready.inbound = Some(address.parse().ok()?),
                _ => return None,
            }
        }
        Some(ready)
    }
}

#[test]
fn the_ready_line_gives_all_addresses() {
    let line = "evergrant ready grpc=127.0.0.1:7070 admin=127.0.0.1:7071";
    let both = Ready {
        grpc: ([127, 0, 0, 1], 7070).into(),
        admin: ([127, 0, 0, 1], 7071).into(),
        callback: None,
        inbound: None,
    };
    assert_eq!(Ready::parse(line), Some(both));
    let all = Ready {
        callback: Some(([127, 0, 0, 1], 7073).into()),
        inbound: Some(([127, 0, 0, 1], 7072).into()),
        ..both
    };
    let line = format!("{line} callback=127.0.0.1:7073 inbound=127.0.0.1:7072");
    assert_eq!(Ready::parse(&line), Some(all));
    assert_eq!(Ready::parse("evergrant ready grpc=127.0.0.1:7070"), None);
    assert_eq!(Ready::parse("listening on 127.0.0.1:7070"), None);
}
