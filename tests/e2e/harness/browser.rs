//! A person with a browser: headless Chromium, which signs in and clicks on the pages of the OAuth server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::process::Process;
use super::python;

/// Two browsers that start on a busy machine take their time.
const WITHIN: Duration = Duration::from_secs(90);

/// Who sits before the browser, and what they click on.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// The account that they sign in to.
    pub account: &'static str,
    /// Whether they consent, or cancel.
    pub consents: bool,
}

impl Person {
    /// Someone who consents.
    pub fn named(account: &'static str) -> Self {
        Self {
            account,
            consents: true,
        }
    }

    /// Someone who signs in and then cancels.
    pub fn who_refuses(account: &'static str) -> Self {
        Self {
            account,
            consents: false,
        }
    }

    /// Opens `url`, signs in, consents or cancels, and stays where that leads.
    pub async fn visits(self, url: &str) -> Result<Sight> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/node");
        let mut command = Command::new(python::program_or_system("node"));
        command
            .current_dir(folder)
            .arg("browser.mjs")
            .args(["--account", self.account])
            .arg("--chromium")
            .arg(chromium()?);
        if !self.consents {
            command.arg("--refuse");
        }
        command.arg(url);
        let mut process = Process::spawn("browser", command)?;
        let line = process.line(WITHIN, |line| Some(line.to_owned())).await?;
        let sight =
            serde_json::from_str(&line).with_context(|| format!("the browser said {line}"))?;
        process.end(WITHIN).await?;
        Ok(sight)
    }
}

/// What a browser shows.
#[derive(Debug, Clone, Deserialize)]
pub struct Sight {
    /// The address of the page.
    pub url: String,
    /// What is written on it.
    pub text: String,
}

/// `EVERGRANT_E2E_CHROMIUM`, or where systems put it.
fn chromium() -> Result<PathBuf> {
    let named = std::env::var_os("EVERGRANT_E2E_CHROMIUM").map(PathBuf::from);
    let usual = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ];
    let mut paths = named.into_iter().chain(usual.map(PathBuf::from));
    paths
        .find(|path| path.exists())
        .context("there is no Chromium; scripts/test installs it")
}
