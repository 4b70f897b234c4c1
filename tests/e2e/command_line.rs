//! What the command line says to who mistypes, or asks for what cannot be had.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::harness::cli::{Ended, evergrant};
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;

/// `evergrant WORDS` at a replica.
async fn run(scene: &Scene, replica: &Replica, words: &[&str]) -> Result<Ended> {
    let server = format!("http://{}", replica.grpc());
    evergrant(&scene.config(), &[words, &["--server", &server]].concat()).await
}

#[tokio::test]
async fn a_token_that_lasts_for_less_than_was_asked_is_printed_with_a_warning() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    scene.fresh_credential(&replica, "c").await?;

    let asked = ["token", "get", "c", "-o", "json", "--min-validity"];
    let enough = run(&scene, &replica, &[&asked[..], &["50m"]].concat()).await?;
    assert_eq!((enough.code, enough.stderr.as_str()), (Some(0), ""));
    let ended = run(&scene, &replica, &[&asked[..], &["5h"]].concat()).await?;
    assert_eq!(ended.code, Some(0));
    let token: Value = serde_json::from_str(&ended.stdout)?;
    ensure!(token["expires_at"].is_string(), "{token}");
    let warning = ended.stderr.trim_end();
    ensure!(
        warning.starts_with("evergrant: warning: the token is valid for "),
        "{warning}"
    );
    ensure!(
        warning.ends_with(" only, not for the 5h of --min-validity: no longer one can be had now"),
        "{warning}"
    );
    Ok(())
}
