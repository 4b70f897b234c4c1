//! The sandbox as a program: it plays providers of the catalogue, and has a way to try every grant type.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::{Credential, TokenMaterial};
use serde_json::{Value, json};

use crate::harness::caller::in_seconds;
use crate::harness::eventually::eventually;
use crate::harness::http;
use crate::harness::process::Process;
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};

/// The program with these arguments.
fn evergrant(arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
    command.args(arguments);
    Process::spawn(arguments[0], command)
}

async fn on_time(mut process: Process) -> Result<String> {
    let status = process.end(Duration::from_secs(30)).await?;
    ensure!(status.success(), "{}", process.stderr());
    Ok(process.stdout())
}

/// Lark takes JSON, marks failures by a number, and has another URL and other names for tokens without a user.
#[tokio::test]
async fn credentials_of_a_provider_that_is_played_are_kept_alive_and_die_by_its_words() -> Result<()>
{
    let mut sandbox = evergrant(&["sandbox", "--listen", "127.0.0.1:0"])?;
    let ready = |line: &str| {
        Some(
            line.strip_prefix("evergrant sandbox ready http=")?
                .to_owned(),
        )
    };
    let address = sandbox.line(SOON, ready).await?;
    let url = |path: &str| format!("http://{address}{path}");
    let entry = http::client()
        .get(url("/control/catalogue?as=lark"))
        .send()
        .await?;
    let scene = Scene::on_sqlite()
        .await?
        .provider("lark", entry.text().await?);
    let scene = scene
        .set("clients.lark-main.provider", "lark")
        .set("clients.lark-main.client_id", "sandbox")
        .set("clients.lark-main.client_secret", "sandbox-secret");
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();

    let grants = http::client().post(url("/control/grants?as=lark"));
    let grant: Value = grants.json(&json!({})).send().await?.json().await?;
    let of = |field: &str| grant[field].as_str().unwrap_or_default().to_owned();
    let credential = Credential {
        credential_id: "c".to_owned(),
        provider: "lark".to_owned(),
        ..Credential::default()
    };
    let material = TokenMaterial {
        access_token: of("access_token"),
        refresh_token: of("refresh_token"),
        expires_at: Some(in_seconds(-60)),
        ..TokenMaterial::default()
    };
    caller.store(credential, material).await?;
    let first = caller.token("c").await?;
    assert!(first.access_token.starts_with("sbx_at_") && first.access_token != of("access_token"));

    let server = format!("http://{}", replica.grpc());
    let minted = ["--provider", "lark", "--grant-type", "client-credentials"];
    let create = [
        &["credential", "create", "m"],
        &minted[..],
        &["--server", &server],
    ]
    .concat();
    on_time(evergrant(&create)?).await?;
    assert!(caller.token("m").await?.access_token.starts_with("sbx_at_"));

    let family = grant["metadata"]["family"].as_str().context("a family")?;
    let end = url(&format!("/control/grants/{family}/revoke"));
    http::client().post(end).send().await?.error_for_status()?;
    let dead = caller.refused("c", first.generation).await;
    assert!(dead.is_err());
    let credential = caller.credential("c").await?;
    let invalidation = credential.invalidation.context("it is dead")?;
    assert_eq!(invalidation.provider_error, "20026", "{invalidation:?}");
    Ok(())
}

#[tokio::test]
async fn a_device_of_the_sandbox_is_approved_on_its_page() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let printed = connect_device(&replica).await?;
    assert_eq!(printed["created"], true);
    assert_eq!(printed["credential"]["scopes"], json!(["read"]));
    let first = replica.caller().token("c").await?;
    let second = replica.caller().refused("c", first.generation).await?;
    assert_eq!(second.generation, first.generation + 1);
    Ok(())
}

async fn connect_device(replica: &Replica) -> Result<Value> {
    let server = format!("http://{}", replica.grpc());
    let process = evergrant(&[
        "connect",
        PROVIDER,
        "--client",
        CLIENT,
        "--device",
        "--credential",
        "c",
        "--scope",
        "read",
        "-o",
        "json",
        "--server",
        &server,
    ])?;
    let url = eventually("the address", SOON, async || {
        let text = process.stderr();
        let mut words = text.split_whitespace();
        words
            .find(|word| word.contains("user_code="))
            .map(str::to_owned)
    });
    let url = reqwest::Url::parse(&url.await?)?;
    let code = url.query_pairs().find(|(name, _)| name == "user_code");
    let (_, code) = code.context("a code")?;
    let form = [("user_code", code.as_ref()), ("decision", "approve")];
    let mut page = url.clone();
    page.set_query(None);
    let answer = http::client().post(page).form(&form).send().await?;
    answer.error_for_status()?;
    Ok(serde_json::from_str(&on_time(process).await?)?)
}

/// `jwt_bearer` and `token_exchange` need material, which is why the library's own tests try them.
#[tokio::test]
async fn tokens_without_a_user_are_minted_with_the_entry_that_the_sandbox_gives_out() -> Result<()>
{
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let server = format!("http://{}", replica.grpc());
    let create = [
        "credential",
        "create",
        "m",
        "--provider",
        PROVIDER,
        "--grant-type",
        "client-credentials",
        "--server",
        &server,
    ];
    on_time(evergrant(&create)?).await?;
    let token = replica.caller().token("m").await?;
    let resource = format!("http://{}/resource", scene.sandbox.address());
    let answer = http::client()
        .get(resource)
        .bearer_auth(token.access_token)
        .send()
        .await?;
    assert!(answer.status().is_success());
    Ok(())
}
