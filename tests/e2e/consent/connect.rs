//! `evergrant connect`, as a person runs it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use tonic::Code;

use super::{Scene, state_invalid};
use crate::harness::browser::Person;
use crate::harness::caller::{Caller, reason};
use crate::harness::eventually::eventually;
use crate::harness::process::Process;
use crate::harness::replica::Replica;

const SOON: Duration = Duration::from_secs(30);
/// A provider is asked every five seconds.
const SOME_QUESTIONS: Duration = Duration::from_secs(60);

fn connect(replica: &Replica, arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
    command
        .args(["connect", super::PROVIDER, "--no-browser"])
        .args([
            "--credential",
            "c",
            "--scope",
            "openid",
            "--scope",
            "offline_access",
        ])
        .args(["--server", &format!("http://{}", replica.grpc())])
        .args(arguments);
    Process::spawn("connect", command)
}

/// The address that it asks its user to open.
async fn address(process: &mut Process) -> Result<String> {
    address_with(process, "").await
}

/// The same, of several the one that has this in it.
async fn address_with(process: &mut Process, part: &str) -> Result<String> {
    eventually("the address", SOON, async || {
        let text = process.stderr();
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("http://") && line.contains(part))?;
        Some(line.to_owned())
    })
    .await
}

fn parameter(url: &str, wanted: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    let mut pairs = url.query_pairs();
    pairs.find_map(|(name, value)| (name == wanted).then(|| value.into_owned()))
}

#[tokio::test]
async fn connect_ends_with_the_stored_credential() -> Result<()> {
    let scene = Scene::new().await?;
    let replica = scene.replica().await?;
    let mut process = connect(&replica, &["-o", "json"])?;
    let url = address(&mut process).await?;
    let redirect_uri = parameter(&url, "redirect_uri").context("it has a redirect URI")?;
    assert!(
        redirect_uri.starts_with("http://127.0.0.1:"),
        "{redirect_uri}"
    );
    assert!(redirect_uri.ends_with("/callback"), "{redirect_uri}");

    // Somebody else's answer is sent away, and spoils nothing.
    let stray = format!("{redirect_uri}?state=stray&code=x");
    let stray = crate::harness::http::client().get(stray).send().await?;
    assert_eq!(stray.status().as_u16(), 400);

    let sight = Person::named("ada").visits(&url).await?;
    assert!(
        sight.text.contains("You can close this window"),
        "{sight:?}"
    );
    let status = process.end(SOON).await?;
    assert!(status.success(), "{status}");
    let printed: Value = serde_json::from_str(&process.stdout())?;
    assert_eq!(printed["created"], true);
    assert_eq!(printed["credential"]["provider_account"], "ada");
    let token = Caller::new(replica.channel()).token("c").await?;
    assert!(scene.oidc.is_active(&token.access_token).await?);
    assert!(!process.stdout().contains(&token.access_token));
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_told_to_the_browser_and_to_the_terminal() -> Result<()> {
    let scene = Scene::new().await?;
    let replica = scene.replica().await?;
    let mut process = connect(&replica, &[])?;
    let url = address(&mut process).await?;
    let sight = Person::who_refuses("ada").visits(&url).await?;
    assert!(sight.text.contains("access_denied"), "{sight:?}");
    assert_eq!(process.end(SOON).await?.code(), Some(1));
    let told =
        "evergrant: FAILED_PRECONDITION AUTHORIZATION_REFUSED: the provider refused: access_denied";
    assert!(process.stderr().contains(told), "{}", process.stderr());
    Ok(())
}

#[tokio::test]
async fn an_interrupt_and_a_time_out_leave_nothing_behind() -> Result<()> {
    let scene = Scene::new().await?;
    let replica = scene.replica().await?;
    let caller = Caller::new(replica.channel());
    for wait in ["10m", "100ms"] {
        let mut process = connect(&replica, &["--wait", wait])?;
        let url = address(&mut process).await?;
        if wait == "10m" {
            process.signal(Signal::SIGINT)?;
        }
        assert_eq!(process.end(SOON).await?.code(), Some(1), "{wait}");
        assert!(
            process.stderr().contains("nothing was connected"),
            "{}",
            process.stderr()
        );

        let brought = crate::harness::application::Brought {
            state: parameter(&url, "state").context("it has a state")?,
            code: "late".to_owned(),
            ..Default::default()
        };
        let spent = super::complete(&replica, &brought).await;
        assert_eq!(
            reason(&spent.expect_err("it is spent")),
            state_invalid(),
            "{wait}"
        );
        let missing = caller
            .credential("c")
            .await
            .expect_err("nothing was stored");
        assert_eq!(missing.code(), Code::NotFound);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_without_a_loopback_redirect_uri_is_told_what_to_add() -> Result<()> {
    let mut scene = Scene::new().await?;
    let elsewhere = vec!["https://app.example/callback"];
    scene.config = scene.config.set(
        &format!("clients.{}.redirect_uris", super::CLIENT),
        elsewhere,
    );
    let replica = scene.replica().await?;
    let mut process = connect(&replica, &[])?;
    assert_eq!(process.end(SOON).await?.code(), Some(1));
    let told = process.stderr();
    assert!(
        told.contains("add \"http://127.0.0.1/callback\" to its redirect_uris"),
        "{told}"
    );
    Ok(())
}

/// Starts `connect --device` and has `person` open the address with the code.
async fn elsewhere(replica: &Replica, person: Person) -> Result<Process> {
    let mut process = Process::spawn("connect", device(replica))?;
    let url = address_with(&mut process, "user_code=").await?;
    person.visits(&url).await?;
    process.end(SOME_QUESTIONS).await?;
    Ok(process)
}

fn device(replica: &Replica) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
    command
        .args(["connect", super::PROVIDER, "--device", "--credential", "c"])
        .args(["--scope", "openid", "-o", "json"])
        .args(["--server", &format!("http://{}", replica.grpc())]);
    command
}

#[tokio::test]
async fn a_user_consents_on_another_device() -> Result<()> {
    let scene = Scene::new().await?;
    let replica = scene.replica().await?;
    let caller = Caller::new(replica.channel());

    let refused = elsewhere(&replica, Person::who_refuses("ada")).await?;
    assert!(
        refused.stderr().contains("AUTHORIZATION_REFUSED"),
        "{}",
        refused.stderr()
    );
    assert!(caller.credential("c").await.is_err());

    let process = elsewhere(&replica, Person::named("ada")).await?;
    let printed: Value = serde_json::from_str(&process.stdout())?;
    assert_eq!(printed["created"], true);
    assert_eq!(printed["credential"]["provider_account"], "ada");
    let token = caller.token("c").await?;
    assert!(scene.oidc.is_active(&token.access_token).await?);
    Ok(())
}
