//! Revocations that were given up are told, and tried again on an operator's word.

use anyhow::{Result, ensure};
use evergrant_providers::sandbox::{Endpoint, Fault, FaultRule};

use super::{begin, kill, stands, stored};
use crate::harness::cli::evergrant;
use crate::harness::scene::Scene;
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
    stands(&replica, &began, |kill| kill.pending == 1).await?;
    // Half an hour of tries that came to nothing.
    let mut table = Table::open(scene.postgres()).await?;
    let last = "UPDATE kill_grants SET tries = 9, next_at = 0";
    table.change(last).await?;
    let over = stands(&replica, &began, |kill| kill.finished_at.is_some()).await?;
    assert_eq!((over.failed, over.revoked), (1, 0), "{over:?}");
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
