//! What documents show in Python does what they say.

use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_providers::sandbox::RotationMode;

use crate::harness::caller::fresh;
use crate::harness::python::Python;
use crate::harness::scene::Scene;

const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_first_call_of_the_readme_gets_a_token_and_reports_it() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.fresh_credential(&replica, "demo").await?;
    let python = Python::generate_stubs().await?;
    let code = python_of("README.md")?.replace("127.0.0.1:7070", &replica.grpc().to_string());

    let mut script = python.script(&format!("{code}\nprint(answer.generation)"))?;
    let generation = script.line(WITHIN, |line| Some(line.to_owned())).await?;

    assert_eq!(generation, "2");
    assert!(script.end(WITHIN).await?.success());
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    Ok(())
}

#[tokio::test]
async fn the_watcher_of_the_page_on_events_disables_and_enables() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    scene.fresh_credential(&replica, "c").await?;
    scene.fresh_credential(&replica, "dead").await?;
    replica.caller().invalidate("dead").await?;
    let python = Python::generate_stubs().await?;
    let watcher = python_of("docs/events.md")?;
    let target = replica.grpc();
    let mut script = python.script(&format!(
        r#"
def load_cursor(): return ""
def store_cursor(cursor): pass
def replace_all(dead): print("dead:", *sorted(key[1] for key in dead))
def disable(event): print("disable", event.credential_id)
def enable(event): print("enable", event.credential_id)
{watcher}
Watcher("{target}").run()
"#
    ))?;
    let mut next = async || script.line(WITHIN, |line| Some(line.to_owned())).await;

    assert_eq!(next().await?, "dead: dead");
    replica.caller().invalidate("c").await?;
    assert_eq!(next().await?, "disable c");
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    replica
        .caller()
        .reconnect("c", fresh(&grant), false)
        .await?;
    assert_eq!(next().await?, "enable c");
    Ok(())
}

/// The first block of Python in a document.
fn python_of(document: &str) -> Result<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(path)?;
    let (_, block) = text
        .split_once("```python\n")
        .context("there is no Python in it")?;
    let (code, _) = block.split_once("```").context("the block does not end")?;
    Ok(code.to_owned())
}
