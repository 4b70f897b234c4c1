//! The program under test as a command that does one thing and ends.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use tokio::time::timeout;

use super::replica::config::ReplicaConfig;
use super::scene::SOON;

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `evergrant WORDS` with the configuration that replicas have. It is named in the environment, so that verbs
/// that know none take no notice.
pub async fn evergrant(config: &ReplicaConfig, words: &[&str]) -> Result<Ended> {
    let folder = tempfile::Builder::new()
        .prefix("evergrant-e2e-cli-")
        .tempdir()?;
    let file = config.write_to(folder.path())?;
    let mut command = Command::new(config.executable());
    forget_environment(&mut command);
    command
        .args(words)
        .env("EVERGRANT_CONFIG", file)
        .envs(config.environment())
        .current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    drop(folder);
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

/// The same with `typed` on its standard input, a pipe that stays open. An error unless it ends nevertheless.
pub async fn evergrant_piped(config: &ReplicaConfig, words: &[&str], typed: &str) -> Result<Ended> {
    let mut command = Command::new(config.executable());
    forget_environment(&mut command);
    command.args(words).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("it is a pipe")?;
    input.write_all(typed.as_bytes())?;
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = timeout(SOON, ended).await;
    drop(input);
    let output = output.context("it waits for more")???;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

/// What a developer's shell holds must not reach the program.
pub fn forget_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("EVERGRANT_") || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
}
