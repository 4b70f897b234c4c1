//! A private Postgres: its own data, a free port of loopback, gone with the process that started it.
//!
//! It uses the standard library alone, so that any test can take it in with `#[path]`.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Runs as the user of the server. It ends the server, by its process id, and removes the data as soon as
/// its standard input ends: when [`Postgres`] is dropped, and however the process of the tests ends.
const SUPERVISE: &str = r#"
set -eu
bin=$1 port=$2
data=$(mktemp -d "${TMPDIR:-/tmp}/evergrant-postgres.XXXXXX")
server=
finish() {
    if [ -n "$server" ]; then kill -INT "$server" 2>/dev/null && wait "$server" || true; fi
    rm -rf "$data"
}
trap finish EXIT
"$bin/initdb" --pgdata="$data" --username=postgres --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8 >"$data.log" 2>&1 || { cat "$data.log" >&2; rm -f "$data.log"; exit 1; }
mv "$data.log" "$data/initdb.log"
"$bin/postgres" -D "$data" -h 127.0.0.1 -p "$port" -k "$data" -c fsync=off -c full_page_writes=off \
    -c max_connections=200 -c deadlock_timeout=100ms </dev/null >"$data/server.log" 2>&1 &
server=$!
echo "$server $data"
cat >/dev/null
"#;

/// A running server.
pub struct Postgres {
    supervisor: Child,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    /// The server of this test binary, started at the first call.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server. Panics if no Postgres is installed: a test that cannot run has failed.
    pub fn start() -> Self {
        let bin = binaries();
        let port = free_port();
        let mut command = as_ordinary_user();
        command.args(["sh", "-c", SUPERVISE, "supervise"]);
        command.arg(&bin).arg(port.to_string());
        let mut supervisor = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let mut started = String::new();
        let output = supervisor.stdout.take().expect("it is piped");
        BufReader::new(output)
            .read_line(&mut started)
            .expect("the supervisor tells the process id");
        assert!(!started.is_empty(), "initdb failed; its words are above");
        let server = Self {
            supervisor,
            bin,
            port,
        };
        server.wait_until_ready(&started);
        server
    }

    /// The url of a new and empty database.
    pub fn new_database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let created = self
            .client("createdb")
            .arg(&name)
            .output()
            .expect("createdb runs");
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stderr)
        );
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    fn wait_until_ready(&self, started: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let ready = self
                .client("pg_isready")
                .arg("--quiet")
                .status()
                .expect("pg_isready runs");
            if ready.success() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "postgres is not ready: {started}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-p",
            &self.port.to_string(),
        ]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// The folder of the newest Postgres: of `EVERGRANT_TEST_POSTGRES_BIN`, of the distribution, or of the path.
fn binaries() -> PathBuf {
    if let Some(named) = std::env::var_os("EVERGRANT_TEST_POSTGRES_BIN") {
        return named.into();
    }
    let packaged = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let packaged = packaged.map(|version| version.path().join("bin"));
    let mut found: Vec<PathBuf> = packaged
        .filter(|bin| bin.join("postgres").is_file())
        .collect();
    found.sort_by_key(|bin| version(bin));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut on_path = std::env::split_paths(&on_path).filter(|bin| bin.join("initdb").is_file());
    found.pop().or_else(|| on_path.next()).expect(
        "these tests need Postgres 14 or newer: install it (scripts/test says how) or name the folder of its \
         programs in EVERGRANT_TEST_POSTGRES_BIN",
    )
}

fn version(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

/// Postgres refuses to run as root; then its own user runs it.
fn as_ordinary_user() -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
    if is_root {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--",
        ]);
        command
    } else {
        Command::new("env")
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}
