//! A consent at the sandbox, with nothing else installed.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_providers::sandbox::RotationMode;
use serde_json::Value;

use crate::harness::eventually::eventually;
use crate::harness::http;
use crate::harness::process::Process;
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, Scene};

const SOON: Duration = Duration::from_secs(30);

/// How `evergrant connect` ended.
pub struct Ended {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
    /// The status of the page that the browser ended on.
    pub page: u16,
}

/// A sandbox whose users can come back to the command line.
pub async fn scene() -> Result<Scene> {
    let scene = Scene::on_sqlite().await?;
    let redirect_uris = vec!["http://127.0.0.1/callback".to_owned()];
    Ok(scene.set(&format!("clients.{CLIENT}.redirect_uris"), redirect_uris))
}

/// Connects credential `c` at the sandbox, as a user who decides so.
pub async fn connect(replica: &Replica, decision: &str) -> Result<Ended> {
    connect_to(PROVIDER, replica, decision).await
}

/// The same with a provider that a sandbox plays.
pub async fn connect_to(provider: &str, replica: &Replica, decision: &str) -> Result<Ended> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
    let server = format!("http://{}", replica.grpc());
    command
        .args(["connect", provider, "--no-browser", "--credential", "c"])
        .args(["--scope", "read", "-o", "json", "--server", &server]);
    let mut process = Process::spawn("connect", command)?;
    let url = eventually("the address", SOON, async || {
        let text = process.stderr();
        let mut lines = text.lines().map(str::trim);
        lines
            .find(|line| line.starts_with("http://"))
            .map(str::to_owned)
    });
    let url = reqwest::Url::parse(&url.await?)?;
    let page = http::client().get(url.clone()).send().await?.text().await?;
    assert!(
        page.contains("Approve") && page.contains("<li>read</li>"),
        "{page}"
    );

    // What the page's button sends.
    let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    form.push(("decision".to_owned(), decision.to_owned()));
    let mut action = url;
    action.set_query(None);
    let landed = http::client().post(action).form(&form).send().await?;
    let ended = process.end(SOON).await?;
    Ok(Ended {
        success: ended.success(),
        stdout: process.stdout(),
        stderr: process.stderr(),
        page: landed.status().as_u16(),
    })
}

#[tokio::test]
async fn a_user_of_the_sandbox_consents_and_the_credential_is_kept_alive() -> Result<()> {
    let scene = scene().await?;
    let replica = scene.replica("replica").await?;
    let denied = connect(&replica, "deny").await?;
    assert_eq!(
        (denied.success, denied.page),
        (false, 400),
        "{}",
        denied.stderr
    );
    let approved = connect(&replica, "approve").await?;
    assert_eq!(
        (approved.success, approved.page),
        (true, 200),
        "{}",
        approved.stderr
    );
    let printed: Value = serde_json::from_str(&approved.stdout)?;
    assert_eq!(printed["created"], true);
    assert_eq!(printed["credential"]["scopes"], serde_json::json!(["read"]));

    let caller = replica.caller();
    let first = caller.token("c").await?;
    let second = caller.refused("c", first.generation).await?;
    assert_eq!(second.generation, first.generation + 1);
    scene
        .sandbox
        .assert_one_call_a_token()
        .context("the code is no refresh token")?;
    Ok(())
}

/// As Claude does.
#[tokio::test]
async fn a_provider_that_wants_the_state_beside_the_code_gets_that_of_the_consent() -> Result<()> {
    let scene = scene().await?;
    let entry = scene.sandbox.entry(PROVIDER, RotationMode::Strict);
    let code = "[grants.authorization_code.parameters]\nstate = \"{state}\"\n";
    let scene = scene.provider(PROVIDER, entry + code);
    let replica = scene.replica("replica").await?;
    let approved = connect(&replica, "approve").await?;
    assert!(approved.success, "{}", approved.stderr);
    let token = replica.caller().token("c").await?;
    assert_eq!(scene.sandbox.calls(), 1);
    replica.caller().refused("c", token.generation).await?;
    Ok(())
}
