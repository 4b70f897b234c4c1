//! A Redis server of one test, which keeps nothing on disk.

use std::net::SocketAddr;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::eventually::eventually;
use super::ports;
use super::process::Process;

const READY_WITHIN: Duration = Duration::from_secs(10);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// A Redis server on a port of its own, which it keeps when it is stopped and started.
pub struct Redis {
    // Before the folder, so that it has ended when its files go.
    process: Option<Process>,
    folder: TempDir,
    port: u16,
}

impl Redis {
    /// Starts an empty server and waits until it answers.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("evergrant-e2e-redis-")
            .tempdir()?;
        let mut server = Self {
            process: None,
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
        format!("redis://{address}")
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Starts the server that was stopped or killed, empty and on its port.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "Redis runs already");
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.folder.path());
        let mut process = Process::spawn("redis-server", command)?;
        let address = self.address();
        let ready = eventually("Redis to answer", READY_WITHIN, async || {
            match process.ended() {
                Ok(None) => answers(address).await.then_some(Ok(())),
                Ok(Some(status)) => Some(Err(status)),
                Err(_) => None,
            }
        });
        if let Err(status) = ready.await? {
            bail!("Redis ended with {status}:\n{}", process.stdout());
        }
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server in good order.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.end_by(Signal::SIGTERM).await
    }

    /// Kills the server.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.end_by(Signal::SIGKILL).await
    }

    /// Kills the server and starts it again, empty.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill().await?;
        self.start_again().await
    }

    /// Freezes the server: its connections stay open and say nothing.
    pub fn freeze(&mut self) -> Result<()> {
        self.running()?.signal(Signal::SIGSTOP)
    }

    /// Ends a [`freeze`](Self::freeze).
    pub fn thaw(&mut self) -> Result<()> {
        self.running()?.signal(Signal::SIGCONT)
    }

    /// Forgets all keys.
    pub async fn flush_all(&self) -> Result<()> {
        self.command(&["FLUSHALL"]).await.map(drop)
    }

    /// All keys and values, as the server writes them to disk without compression.
    pub async fn dump(&self) -> Result<Vec<u8>> {
        self.command(&["CONFIG", "SET", "rdbcompression", "no"])
            .await?;
        self.command(&["SAVE"]).await?;
        Ok(std::fs::read(self.folder.path().join("dump.rdb"))?)
    }

    /// Whether the server answers a PING now, within a second.
    pub async fn answers(&self) -> bool {
        answers(self.address()).await
    }

    /// Sends one command over a new connection, and gives its answer if that is a string, a number or nil (`None`).
    pub async fn command(&self, words: &[&str]) -> Result<Option<String>> {
        command(self.address(), words).await
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("Redis does not run")
    }

    async fn end_by(&mut self, signal: Signal) -> Result<ExitStatus> {
        let mut process = self.process.take().context("Redis does not run")?;
        process.signal(signal)?;
        process.end(STOPPED_WITHIN).await
    }
}

async fn answers(address: SocketAddr) -> bool {
    matches!(command(address, &["PING"]).await, Ok(Some(answer)) if answer == "PONG")
}

/// One command and its answer in RESP 2, within a second.
async fn command(address: SocketAddr, words: &[&str]) -> Result<Option<String>> {
    let exchange = async {
        let mut stream = BufReader::new(TcpStream::connect(address).await?);
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(request.as_bytes()).await?;

        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("+" | ":", answer)) => Ok(Some(answer.to_owned())),
            Some(("$", "-1")) => Ok(None),
            Some(("$", length)) => {
                let mut answer = vec![0; length.parse()?];
                stream.read_exact(&mut answer).await?;
                Ok(Some(String::from_utf8(answer)?))
            }
            _ => bail!("Redis answered {line:?} to {words:?}"),
        }
    };
    tokio::time::timeout(Duration::from_secs(1), exchange)
        .await
        .context("Redis did not answer within a second")?
}
