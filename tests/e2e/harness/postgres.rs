//! A PostgreSQL server of one test.
//!
//! `initdb` runs once per version and user; each server starts from a copy of what it made. The server does not
//! wait for the disk: the tests end processes, never the machine. As root it runs as the user `postgres`, since it
//! refuses to be root.

mod installation;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::installation::Installation;
pub use self::installation::USER;
use super::eventually::eventually;
use super::ports;
use super::process::{self, Process};

const DATABASE: &str = "postgres";
const READY_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// A PostgreSQL server on a port of its own, which it keeps when it is stopped and started.
pub struct Postgres {
    // Before the folder, so that it has ended when its files go.
    process: Option<Process>,
    installation: Installation,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts a server with an empty database and waits until it takes connections.
    pub async fn start() -> Result<Self> {
        let installation = Installation::find()?;
        let folder = installation.copy_of_template().await?;
        let mut server = Self {
            process: None,
            installation,
            folder,
            port: 0,
        };
        for attempt in 1.. {
            server.port = ports::free_port()?;
            match server.start_again().await {
                Ok(()) => break,
                Err(_) if attempt < ports::ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
        Ok(server)
    }

    /// The connection URL.
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// The connection URL by way of `address`, e.g. of a proxy.
    pub fn url_at(&self, address: SocketAddr) -> String {
        format!("postgres://{USER}@{address}/{DATABASE}")
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The folder with all files of the server.
    pub fn files(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server that was stopped or killed, with its data and on its port.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "PostgreSQL runs already");
        let address = self.address();
        let mut command = self.installation.command("postgres", self.folder.path());
        command
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args([
                &format!("--port={}", self.port),
                "--listen_addresses=127.0.0.1",
                "--unix_socket_directories=",
                "--fsync=off",
                "--max_connections=200",
                "--shared_buffers=16MB",
            ]);
        let mut process = Process::spawn("postgres", command)?;
        let ready =
            eventually(
                "PostgreSQL to take connections",
                READY_WITHIN,
                async || match process.ended() {
                    Ok(None) => answers(address).await.then_some(Ok(())),
                    Ok(Some(status)) => Some(Err(status)),
                    Err(_) => None,
                },
            );
        if let Err(status) = ready.await? {
            bail!("PostgreSQL ended with {status}:\n{}", process.stderr());
        }
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server in good order; connections are cut.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        let mut process = self.process.take().context("PostgreSQL does not run")?;
        process.signal(Signal::SIGINT)?;
        process.end(STOPPED_WITHIN).await
    }

    /// Kills the server and all its connections at once, as a crash of the machine's kernel would.
    pub async fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("PostgreSQL does not run")?;
        // Stopped first, so that it cannot start another child meanwhile.
        process.freeze()?;
        let children = process::children_of(process.id())?;
        process::signal_all(&children, Signal::SIGKILL);
        process.signal(Signal::SIGKILL)?;
        process.end(STOPPED_WITHIN).await?;
        // Until the last of them is gone, they hold the memory that a new server needs.
        eventually(
            "the connections of PostgreSQL to end",
            STOPPED_WITHIN,
            async || (!process::any_runs(&children)).then_some(()),
        )
        .await
    }

    /// Stops the server in good order and starts it again.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    /// Freezes the server and all its connections: they stay open and say nothing.
    pub fn freeze(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("PostgreSQL does not run")?;
        process.signal(Signal::SIGSTOP)?;
        process::signal_all(&process::children_of(process.id())?, Signal::SIGSTOP);
        Ok(())
    }

    /// Ends a [`freeze`](Self::freeze).
    pub fn thaw(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("PostgreSQL does not run")?;
        process::signal_all(&process::children_of(process.id())?, Signal::SIGCONT);
        process.signal(Signal::SIGCONT)
    }

    /// Backs the database up while it is used, to a file beside the server's own.
    pub async fn dump(&self) -> Result<PathBuf> {
        let file = self.folder.path().join("backup.dump");
        let mut dump = self.installation.command("pg_dump", self.folder.path());
        dump.arg("--format=custom").arg("--file").arg(&file);
        dump.arg("--dbname").arg(self.url());
        installation::run(dump).await?;
        Ok(file)
    }

    /// Puts what a [`dump`](Self::dump) holds in the place of what is there.
    pub async fn restore(&self, dump: &Path) -> Result<()> {
        let mut restore = self.installation.command("pg_restore", self.folder.path());
        restore.args(["--clean", "--if-exists", "--single-transaction"]);
        restore.arg("--dbname").arg(self.url()).arg(dump);
        installation::run(restore).await.map(drop)
    }

    /// Whether the server takes a connection now, within a second.
    pub async fn answers(&self) -> bool {
        answers(self.address()).await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The children of a frozen server would outlive it.
        if let Some(process) = &self.process {
            let children = process::children_of(process.id()).unwrap_or_default();
            process::signal_all(&children, Signal::SIGKILL);
        }
    }
}

/// Whether a session may begin: the answer to a start-up message is a request to authenticate (protocol version 3).
pub async fn answers(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let mut message = 196_608_u32.to_be_bytes().to_vec();
        message.extend(format!("user\0{USER}\0database\0{DATABASE}\0\0").into_bytes());
        let length = u32::try_from(message.len() + 4).expect("the message is short");
        stream.write_u32(length).await?;
        stream.write_all(&message).await?;
        stream.read_u8().await
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(1), ask).await,
        Ok(Ok(b'R'))
    )
}
