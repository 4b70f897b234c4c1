//! Nothing is killed by somebody who did not say why, or was not asked whether it is meant.

use anyhow::{Result, ensure};

use super::{REASON, is_killed, kill, stored};
use crate::harness::cli::{evergrant, evergrant_piped};
use crate::harness::replica::verb;
use crate::harness::scene::{PROVIDER, Scene};

#[tokio::test]
async fn nothing_is_killed_without_a_reason_and_a_word_of_consent() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grants = stored(&scene, &replica, 1).await?;
    let server = format!("http://{}", replica.grpc());
    let refused = async |words: &[&str], why: &str| {
        let words = [&["kill"], words, &["--server", &server]].concat();
        let ended = evergrant(&scene.config(), &words).await?;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        ensure!(ended.stderr.contains(why), "{ended:?}");
        Ok(())
    };
    refused(&["--tenant", "default", "--yes"], "--reason").await?;
    refused(&["--tenant", "default", "--reason", REASON], "--yes").await?;
    refused(&["--reason", REASON, "--yes"], "--tenant").await?;
    let both = ["--tenant", "default", "--provider", PROVIDER, "--dry-run"];
    refused(&both, "cannot be used with").await?;
    let typed = ["kill", "--tenant", "default", "--reason", REASON];
    let words = [&typed[..], &["--server", &server]].concat();
    let ended = evergrant_piped(&scene.config(), &words, "default\n").await?;
    assert_eq!(ended.code, Some(64), "{ended:?}");
    replica.caller().token("c-0").await?;

    let words = [
        "--tenant",
        "default",
        "--reason",
        REASON,
        "--no-revoke",
        "--yes",
    ];
    let done = kill(&replica, &words).await?;
    assert_eq!(
        (&done["credentials"], &done["pending"]),
        (&1.into(), &0.into())
    );
    ensure!(is_killed(&replica, "c-0").await);
    ensure!(
        scene.sandbox.is_alive(&grants[0])?,
        "it was not to be revoked"
    );
    let explained = verb(&["explain", "c-0", "--server", &server]).await?;
    ensure!(
        explained.contains("an operator killed it, \"the client secret leaked\""),
        "{explained}"
    );
    Ok(())
}
