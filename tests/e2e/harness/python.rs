//! A client in another language: stock grpcio, with stubs that it generates from `proto/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;

const STUBS_WITHIN: Duration = Duration::from_secs(60);

/// The Python environment with the stubs of the wire contract.
pub struct Python {
    stubs: TempDir,
}

impl Python {
    /// Generates the stubs with `grpc_tools.protoc`.
    pub async fn generate_stubs() -> Result<Self> {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
        let stubs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut command = interpreter()?;
        command
            .args(["-m", "grpc_tools.protoc", "--proto_path"])
            .arg(&proto);
        for option in ["--python_out", "--grpc_python_out"] {
            command.arg(option).arg(stubs.path());
        }
        for file in std::fs::read_dir(proto.join("evergrant/v1"))? {
            command.arg(file?.path());
        }
        let mut protoc = Process::spawn("grpc_tools.protoc", command)?;
        let status = protoc.end(STUBS_WITHIN).await?;
        ensure!(status.success(), "protoc failed:\n{}", protoc.stderr());
        Ok(Self { stubs })
    }

    /// Starts `client.py` with `arguments` (see there) against the server at `address`.
    pub fn client(&self, address: SocketAddr, arguments: &[&str]) -> Result<PythonClient> {
        let mut command = interpreter()?;
        command
            .arg(folder().join("client.py"))
            .args(["--target", &address.to_string(), "--stubs"])
            .arg(self.stubs.path())
            .args(arguments);
        Process::spawn("client.py", command).map(|process| PythonClient { process })
    }
}

impl Python {
    /// Runs a script of a test's own, which finds the stubs.
    pub fn script(&self, code: &str) -> Result<Process> {
        let mut command = interpreter()?;
        command
            .args(["-u", "-c", code])
            .env("PYTHONPATH", self.stubs.path());
        Process::spawn("the script", command)
    }
}

/// A client that runs.
pub struct PythonClient {
    process: Process,
}

impl PythonClient {
    /// The next line that the client prints, which is one JSON value.
    pub async fn next(&mut self, within: Duration) -> Result<Value> {
        let line = self.process.line(within, |line| Some(line.to_owned()));
        let line = line.await?;
        serde_json::from_str(&line).with_context(|| format!("the client printed {line:?}"))
    }

    /// Waits until the client ends.
    pub async fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        self.process.end(within).await
    }
}

/// The path of a program of the Python environment, if it has one of that name, else the name for the path to find.
pub fn program_or_system(name: &str) -> PathBuf {
    let program = environment().join("bin").join(name);
    if program.exists() {
        program
    } else {
        PathBuf::from(name)
    }
}

fn interpreter() -> Result<Command> {
    let program = environment().join("bin/python");
    ensure!(
        program.exists(),
        "the Python environment is missing; scripts/test makes it"
    );
    Ok(Command::new(program))
}

/// The environment is in the target folder, beside the folder that Cargo gives to tests.
fn environment() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("e2e-python")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/python")
}
