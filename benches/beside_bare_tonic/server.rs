//! The servers that are compared, as processes, and what `/proc` says of them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_proto::v1::credential_service_client::CredentialServiceClient;
use evergrant_proto::v1::{CreateCredentialRequest, Credential, TokenMaterial};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::BARE;

/// The credential whose token everybody asks for.
pub const CREDENTIAL: &str = "bench";

/// A server process; it is killed when dropped.
pub struct Server {
    child: Child,
    address: String,
    _folder: Option<TempDir>,
}

impl Server {
    /// Evergrant on SQLite, with limits that let everybody in.
    pub fn evergrant() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        std::fs::create_dir(path.join("providers.d"))?;
        // Never called: the token stays good for the whole run.
        let entry = "name = \"acme\"\ntoken_url = \"http://127.0.0.1:1/token\"\nsources = [\"this benchmark\"]\n";
        std::fs::write(path.join("providers.d/acme.toml"), entry)?;
        let config = r#"
server = { listen = "127.0.0.1:0", admin_listen = "" }
store = { url = "sqlite://bench.db" }
events = { max_streams = 20000, max_streams_per_caller = 20000, heartbeat = "5m" }
telemetry = { level = "warn" }
clients.acme-main = { provider = "acme", client_id = "id", client_secret = "secret" }
"#;
        std::fs::write(path.join("evergrant.toml"), config)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
        command
            .args(["serve", "--config", "evergrant.toml"])
            .current_dir(path);
        Self::start(command, Some(folder))
    }

    /// The bare tonic server.
    pub fn bare() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(BARE);
        Self::start(command, None)
    }

    fn start(mut command: Command, folder: Option<TempDir>) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let address = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, address) = line.split_once("ready grpc=")?;
                address.split(' ').next().map(str::to_owned)
            })
            .context("the server ended before it was ready")?;
        Ok(Self {
            child,
            address,
            _folder: folder,
        })
    }

    /// So many connections to this server.
    pub async fn channels(&self, count: usize) -> Result<Vec<Channel>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            channels.push(endpoint.connect().await?);
        }
        Ok(channels)
    }

    /// Stores the credential that everything is about.
    pub async fn store(&self) -> Result<()> {
        let channel = self.channels(1).await?.remove(0);
        let credential = Credential {
            credential_id: CREDENTIAL.to_owned(),
            provider: "acme".to_owned(),
            ..Credential::default()
        };
        CredentialServiceClient::new(channel)
            .create_credential(CreateCredentialRequest {
                credential: Some(credential),
                material: Some(material()),
            })
            .await?;
        Ok(())
    }

    /// Processor time spent so far, in user and kernel mode.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // After the name, which is in parentheses and may hold spaces: state is field 3, utime 14, stime 15.
        let (_, fields) = stat
            .rsplit_once(')')
            .context("the name is in parentheses")?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // USER_HZ is 100 on every architecture that Linux still supports.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("a process has memory")?;
        let kibibytes = line.trim().trim_end_matches(" kB").parse::<u64>()?;
        Ok(kibibytes * 1024)
    }
}

/// The tokens that Evergrant is given.
pub fn material() -> TokenMaterial {
    TokenMaterial {
        access_token: token(),
        refresh_token: "r".repeat(64),
        ..TokenMaterial::default()
    }
}

/// As long as an opaque token of a large provider.
pub fn token() -> String {
    "t".repeat(96)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Neither can fail for a child that has not been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
