//! Whose tokens they are, asked of a provider whose answers do not say.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::{Credential, TokenMaterial};
use serde_json::json;

use super::sandbox::connect_to;
use crate::harness::http;
use crate::harness::process::Process;
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};
use crate::harness::webhook;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// A replica whose GitHub is a sandbox that plays it, and that sandbox.
async fn github() -> Result<(Scene, Replica, Process)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
    command.args(["sandbox", "--listen", "127.0.0.1:0"]);
    let mut sandbox = Process::spawn("sandbox", command)?;
    let ready = |line: &str| {
        let address = line.strip_prefix("evergrant sandbox ready http=")?;
        Some(address.to_owned())
    };
    let address = sandbox.line(SOON, ready).await?;
    let url = format!("http://{address}/control/catalogue?as=github");
    let entry = http::client().get(url).send().await?.text().await?;
    let redirect_uris = vec!["http://127.0.0.1/callback".to_owned()];
    let scene = Scene::on_sqlite()
        .await?
        .provider("github", entry)
        .set("clients.github-main.provider", "github")
        .set("clients.github-main.client_id", "sandbox")
        .set("clients.github-main.client_secret", "sandbox-secret")
        .set("clients.github-main.redirect_uris", redirect_uris)
        .set("inbound.listen", "127.0.0.1:0")
        .set("inbound.receivers.github.kind", "github")
        .set("inbound.receivers.github.provider", "github")
        .set("inbound.receivers.github.secret", SECRET);
    let replica = scene.replica("replica").await?;
    Ok((scene, replica, sandbox))
}

#[tokio::test]
async fn who_connected_github_is_found_by_its_report() -> Result<()> {
    let (_scene, replica, _sandbox) = github().await?;
    let connected = connect_to("github", &replica, "approve").await?;
    ensure!(connected.success, "{}", connected.stderr);
    let caller = replica.caller();
    let credential = caller.credential("c").await?;
    assert_eq!(credential.provider_account, "sandbox-user");

    let sender = json!({ "id": 1, "login": "sandbox-user" });
    let body = json!({ "action": "revoked", "sender": sender }).to_string();
    assert_eq!(webhook::github(&replica, SECRET, &body, &body).await?, 200);
    let dead = caller.credential("c").await?.invalidation;
    let dead = dead.context("it was revoked")?;
    assert_eq!(dead.provider_error, "github_app_authorization.revoked");
    Ok(())
}

#[tokio::test]
async fn another_account_at_github_is_refused() -> Result<()> {
    let (_scene, replica, _sandbox) = github().await?;
    let caller = replica.caller();
    let credential = Credential {
        credential_id: "c".to_owned(),
        provider: "github".to_owned(),
        provider_account: "583231".to_owned(),
        ..Credential::default()
    };
    let material = TokenMaterial {
        access_token: "of-583231".to_owned(),
        ..TokenMaterial::default()
    };
    caller.store(credential, material).await?;
    let connected = connect_to("github", &replica, "approve").await?;
    ensure!(!connected.success);
    assert!(
        connected.stderr.contains("another account"),
        "{}",
        connected.stderr
    );
    assert_eq!(caller.token("c").await?.access_token, "of-583231");
    Ok(())
}
