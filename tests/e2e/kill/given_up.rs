//! Revocations that were given up are told, and tried again on an operator's word.

use anyhow::{Result, ensure};
use evergrant_providers::sandbox::{
    DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Endpoint, Fault, FaultRule,
};

use super::{begin, kill, stands, stored};
use crate::harness::cli::evergrant;
use crate::harness::scene::{CLIENT, PROVIDER, Scene};
use crate::harness::table::Table;

#[tokio::test]
async fn what_was_given_up_is_told_and_revoked_once_it_is_resumed() -> Result<()> {
    let mut scene = Scene::without_redis().await?;
    let replica = scene.replica("replica").await?;
    let grants = stored(&scene, &replica, 1).await?;
    let down = FaultRule {
        endpoint: Endpoint::Revoke,
        ..FaultRule::always(Fault::DropBeforeProcessing)
    };
    scene.sandbox.control().add_fault(down)?;
    let began = begin(&replica).await?;
    let waits = |kill: &evergrant_proto::v1::Kill| kill.pending == 1 && !kill.waits_for.is_empty();
    stands(&replica, &began, waits).await?;
    // Half an hour of tries that came to nothing.
    let mut table = Table::open(scene.postgres()).await?;
    let last = "UPDATE kill_grants SET tries = 9, next_at = 0";
    table.change(last).await?;
    let over = stands(&replica, &began, |kill| kill.finished_at.is_some()).await?;
    assert_eq!((over.failed, over.revoked), (1, 0), "{over:?}");
    assert_eq!(over.waits_for, "", "nothing is pending");
    ensure!(scene.sandbox.is_alive(&grants[0])?);

    let server = format!("http://{}", replica.grpc());
    let words = ["kill", "watch", &began, "--server", &server];
    let told = evergrant(&scene.config(), &words).await?;
    assert_eq!(told.code, Some(1), "{told:?}");
    let resume = format!("evergrant kill resume {began}");
    ensure!(told.stderr.contains(&resume), "{told:?}");

    scene.sandbox.control().clear_faults();
    let done = kill(&replica, &["resume", &began]).await?;
    assert_eq!((&done["revoked"], &done["failed"]), (&1.into(), &0.into()));
    ensure!(!scene.sandbox.is_alive(&grants[0])?);
    Ok(())
}

#[tokio::test]
async fn a_kill_that_waits_for_its_client_says_so() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grants = stored(&scene, &replica, 2).await?;
    let control = scene.sandbox.control();
    control.set_client(DEFAULT_CLIENT_ID, &["changed at the provider".to_owned()]);
    let began = begin(&replica).await?;
    let told = stands(&replica, &began, |kill| !kill.waits_for.is_empty()).await?;
    let why = format!("the provider rejects client {PROVIDER}/{CLIENT}: ");
    ensure!(told.waits_for.starts_with(&why), "{told:?}");
    let shown = kill(&replica, &["show", &began]).await?;
    assert_eq!(shown["waits_for"], told.waits_for.as_str());

    control.set_client(DEFAULT_CLIENT_ID, &[DEFAULT_CLIENT_SECRET.to_owned()]);
    let over = stands(&replica, &began, |kill| kill.finished_at.is_some()).await?;
    assert_eq!((over.revoked, over.waits_for.as_str()), (2, ""));
    for grant in &grants {
        ensure!(!scene.sandbox.is_alive(grant)?);
    }
    Ok(())
}
