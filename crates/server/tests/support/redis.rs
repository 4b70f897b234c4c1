//! A Redis server of a test's own, as a child process.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

/// A server on a free port of loopback that keeps nothing on disk. It ends with this value.
pub struct RedisServer {
    port: u16,
    password: Option<&'static str>,
    folder: TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// A server that answers.
    pub fn start() -> Self {
        let mut server = Self::stopped();
        server.restart();
        server
    }

    /// A server that asks for a password.
    pub fn start_with_password(password: &'static str) -> Self {
        let mut server = Self::stopped();
        server.password = Some(password);
        server.restart();
        server
    }

    /// A place for a server, without one.
    pub fn stopped() -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        Self {
            port: free.local_addr().expect("it is bound").port(),
            password: None,
            folder: tempfile::tempdir().expect("there is room for a folder"),
            child: None,
        }
    }

    /// The port of loopback that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens, without a password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it listens, for that password.
    pub fn url_with_password(&self, password: &str) -> String {
        format!("redis://:{password}@127.0.0.1:{}", self.port)
    }

    /// Starts a server on the same port, empty, and waits until it answers.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let mut command = Command::new("redis-server");
        command
            .args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
            .args(["--port", &self.port.to_string(), "--dir"])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("redis-server does not start ({error}); scripts/test names what the tests need")
        });
        self.child = Some(child);

        let begin = Instant::now();
        while self.try_command(&["PING"]).is_err() {
            assert!(begin.elapsed() < PATIENCE, "redis-server never answered");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
        }
    }

    /// Stops it from running while its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it run on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it is running");
        let pid = i32::try_from(child.id()).expect("a process id fits");
        kill(Pid::from_raw(pid), signal).expect("it is our child");
    }

    /// Sends one command over a connection of its own and answers with the raw reply.
    pub fn command(&self, words: &[&str]) -> String {
        self.try_command(words).expect("redis answers")
    }

    fn try_command(&self, words: &[&str]) -> io::Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let mut request = Vec::new();
        if let Some(password) = self.password {
            write_command(&mut request, &["AUTH", password]);
        }
        write_command(&mut request, words);
        write_command(&mut request, &["QUIT"]);
        connection.write_all(&request)?;
        let mut reply = Vec::new();
        connection.read_to_end(&mut reply)?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn write_command(request: &mut Vec<u8>, words: &[&str]) {
    request.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}
