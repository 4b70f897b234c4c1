//! PgBouncer in front of the PostgreSQL of a test. It lends connections by transaction, with what its package sets and
//! nothing else.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use tempfile::TempDir;

use super::eventually::eventually;
use super::ports;
use super::postgres::{self, Postgres, USER};
use super::process::Process;

const READY_WITHIN: Duration = Duration::from_secs(10);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// A PgBouncer on a port of its own, which it keeps when it is started again.
pub struct PgBouncer {
    process: Option<Process>,
    folder: TempDir,
    server: SocketAddr,
    port: u16,
}

impl PgBouncer {
    /// Starts one, and waits until it lends a connection.
    pub async fn start(postgres: &Postgres) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("evergrant-e2e-pgbouncer-")
            .tempdir()?;
        let mut pooler = Self {
            process: None,
            folder,
            server: postgres.address(),
            port: 0,
        };
        for attempt in 1.. {
            pooler.port = ports::free_port()?;
            match pooler.start_again().await {
                Ok(()) => break,
                Err(_) if attempt < ports::ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pooler)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Kills it and starts it again: all connections of clients are cut, and its own to the server as well.
    pub async fn restart(&mut self) -> Result<()> {
        let mut process = self.process.take().context("PgBouncer does not run")?;
        process.signal(Signal::SIGKILL)?;
        process.end(STOPPED_WITHIN).await?;
        self.start_again().await
    }

    async fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "PgBouncer runs already");
        let file = self.folder.path().join("pgbouncer.ini");
        let program = program()?;
        std::fs::write(&file, self.configuration(&program)?)?;
        let mut command = Command::new(program);
        command.arg(&file).current_dir(self.folder.path());
        if geteuid().is_root() {
            let user = User::from_name("postgres")?.context("there is no user postgres")?;
            let (user, group) = (user.uid.as_raw(), user.gid.as_raw());
            chown(self.folder.path(), Some(user), Some(group))?;
            chown(&file, Some(user), Some(group))?;
            command.uid(user).gid(group);
        }
        let mut process = Process::spawn("pgbouncer", command)?;
        let address = self.address();
        let ready =
            eventually(
                "PgBouncer to lend a connection",
                READY_WITHIN,
                async || match process.ended() {
                    Ok(None) => postgres::answers(address).await.then_some(Ok(())),
                    Ok(Some(status)) => Some(Err(status)),
                    Err(_) => None,
                },
            );
        if let Err(status) = ready.await? {
            bail!("PgBouncer ended with {status}:\n{}", process.stderr());
        }
        self.process = Some(process);
        Ok(())
    }

    /// As `docs/postgres.md` has it, but for addresses and users. Few connections, so that they change hands often.
    fn configuration(&self, program: &Path) -> Result<String> {
        let Self { server, port, .. } = self;
        let (host, server_port) = (server.ip(), server.port());
        let mut text = format!(
            "[databases]\n\
             * = host={host} port={server_port} user={USER}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             server_login_retry = 1\n\
             default_pool_size = 5\n\
             max_client_conn = 500\n"
        );
        if knows_prepared_statements(program)? {
            text += "max_prepared_statements = 0\n";
        }
        Ok(text)
    }
}

/// Since 1.21.
fn knows_prepared_statements(program: &Path) -> Result<bool> {
    let output = Command::new(program).arg("--version").output()?;
    let text = String::from_utf8(output.stdout)?;
    let version = text.lines().next().and_then(|line| line.split(' ').nth(1));
    let mut numbers = version.context("it says its version")?.split('.');
    let mut next = || anyhow::Ok(numbers.next().unwrap_or_default().parse::<u32>()?);
    Ok((next()?, next()?) >= (1, 21))
}

fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/opt/homebrew/bin".into()]);
    folders
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
        .context("pgbouncer is missing; scripts/test installs it")
}
