//! A target that nobody knows is refused before anything is written, and one that is known need not have anything left.

use anyhow::{Result, ensure};
use evergrant_proto::v1::Credential;
use evergrant_providers::sandbox::RotationMode;
use serde_json::Value;

use super::callers::{ACME, OPERATOR, on_record, operator, rule, with_callers};
use super::{OTHER, REASON, kill, with_other_provider};
use crate::harness::caller::{credential, fresh};
use crate::harness::cli::evergrant;
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};

async fn number_of_kills(scene: &Scene, replica: &Replica) -> Result<usize> {
    let ended = operator(scene, replica, &["list", "-o", "json"]).await?;
    let listed: Value = serde_json::from_str(&ended.stdout)?;
    Ok(listed["kills"].as_array().map_or(0, Vec::len))
}

#[tokio::test]
async fn a_slip_is_named_and_nothing_is_written() -> Result<()> {
    let scene = with_callers(Scene::on_sqlite().await?);
    let replica = scene.replica("replica").await?;
    for (flag, slip, told) in [
        (
            "--provider",
            "acmee",
            "provider acmee is not in the catalogue",
        ),
        ("--client", "acme-mian", "did you mean acme-main?"),
        ("--tenant", "typo", "tenant typo has no credential"),
        ("--caller", "biling", "did you mean billing?"),
        // The trail knows it, and nobody can be locked out by it.
        ("--caller", "unknown", "caller unknown is neither"),
    ] {
        for how in [&["--dry-run"][..], &["--reason", REASON, "--yes"]] {
            let words = [&[flag, slip], how].concat();
            let ended = operator(&scene, &replica, &words).await?;
            assert_eq!(ended.code, Some(1), "{words:?}: {ended:?}");
            ensure!(ended.stderr.contains(told), "{words:?}: {ended:?}");
            ensure!(ended.stderr.contains("INVALID_ARGUMENT"), "{ended:?}");
        }
    }
    assert_eq!(number_of_kills(&scene, &replica).await?, 0);
    let known = ["--caller", "billing", "--dry-run"];
    let ended = operator(&scene, &replica, &known).await?;
    assert_eq!(ended.code, Some(0), "it was given nothing: {ended:?}");
    Ok(())
}

#[tokio::test]
async fn what_left_the_configuration_is_killed_as_long_as_grants_name_it() -> Result<()> {
    let before = Scene::on_sqlite().await?;
    let config = before.config();
    let scene = with_other_provider(before);
    let replica = scene.replica("replica").await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let other = Credential {
        provider: OTHER.to_owned(),
        client: "other-main".to_owned(),
        ..credential("o")
    };
    replica.caller().store(other, fresh(&grant)).await?;
    replica.kill().await?;

    let replica = Replica::start(&config).await?;
    for (target, taken) in [
        (["--client", "other-main"], 1),
        // All of it is dead by now.
        (["--provider", OTHER], 0),
        (["--client", "other-main"], 0),
        (["--tenant", "default"], 0),
        (["--provider", PROVIDER], 0),
        (["--client", CLIENT], 0),
    ] {
        let how = ["--reason", REASON, "--no-revoke", "--yes"];
        let done = kill(&replica, &[&target[..], &how].concat()).await?;
        assert_eq!(done["credentials"], taken, "{target:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_that_left_the_configuration_is_known_to_the_trail() -> Result<()> {
    let scene = with_callers(Scene::on_sqlite().await?);
    let replica = scene.replica("replica").await?;
    // It may not, and that is on record.
    let asked = replica.caller().with_token(ACME).credential("c").await;
    ensure!(asked.is_err());
    on_record(&replica, "acme", "GetCredential").await?;
    replica.kill().await?;

    let left = vec![rule("operator", OPERATOR, "*", &["admin"])];
    let config = scene.config().set("callers", left);
    let replica = Replica::start(&config).await?;
    let server = format!("http://{}", replica.grpc());
    let preview = async |name: &str| {
        let words = [
            "kill",
            "--caller",
            name,
            "--dry-run",
            "--server",
            &server,
            "--auth-token",
            OPERATOR,
        ];
        evergrant(&config, &words).await
    };
    assert_eq!(preview("acme").await?.code, Some(0));
    assert_eq!(preview("billing").await?.code, Some(1), "it never asked");
    Ok(())
}

#[tokio::test]
async fn a_kill_that_does_not_exist_is_not_waited_for() -> Result<()> {
    let scene = with_callers(Scene::on_sqlite().await?);
    let replica = scene.replica("replica").await?;
    let made_up = "0197f3e2-5a8e-7c4b-9c55-2f6d1b7a9e10";
    let words = ["watch", made_up];
    let watching = operator(&scene, &replica, &words);
    let ended = tokio::time::timeout(SOON, watching).await??;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ensure!(ended.stderr.contains("does not exist"), "{ended:?}");
    Ok(())
}
