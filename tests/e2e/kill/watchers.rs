//! Who watches a kill watches no longer than it may.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::kill_service_client::KillServiceClient;
use evergrant_proto::v1::kill_target::What;
use evergrant_proto::v1::{WatchKillRequest, WatchKillResponse};
use evergrant_providers::sandbox::{Endpoint, Fault, FaultRule};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::callers::{OPERATOR, rule, start, with};
use crate::harness::replica::Replica;
use crate::harness::scene::{PROVIDER, SOON, Scene};

async fn watching(
    replica: &Replica,
    token: &str,
    kill: &str,
) -> Result<Streaming<WatchKillResponse>> {
    let request = WatchKillRequest {
        kill_id: kill.to_owned(),
    };
    let mut kills = KillServiceClient::new(replica.channel());
    let mut told = kills.watch_kill(with(request, token)).await?.into_inner();
    let first = told.message().await?;
    let first = first.and_then(|told| told.kill);
    ensure!(first.context("it tells")?.finished_at.is_none());
    Ok(told)
}

async fn end_of(mut told: Streaming<WatchKillResponse>) -> Result<Status> {
    let end = async {
        loop {
            match told.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("the kill is finished"),
                Err(end) => return end,
            }
        }
    };
    Ok(timeout(SOON, end).await?)
}

#[tokio::test]
async fn who_is_locked_out_or_loses_its_right_is_told_no_more_of_a_kill() -> Result<()> {
    let open = Scene::on_sqlite().await?;
    let before = open.replica("before").await?;
    open.fresh_credential(&before, "c").await?;
    before.kill().await?;
    let admin = |name: &str| rule(name, name, "*", &["admin"]);
    let operator = || rule("operator", OPERATOR, "*", &["admin"]);
    let callers = vec![operator(), admin("night"), admin("temp"), admin("goes")];
    let scene = open.set("callers", callers);
    let down = FaultRule {
        endpoint: Endpoint::Revoke,
        ..FaultRule::always(Fault::DropBeforeProcessing)
    };
    scene.sandbox.control().add_fault(down)?;
    let mut replica = scene.replica("replica").await?;
    let provider = What::Provider(PROVIDER.to_owned());
    let kill = start(&replica, OPERATOR, provider).await?.kill_id;
    let mut stays = watching(&replica, OPERATOR, &kill).await?;
    let night = watching(&replica, "night", &kill).await?;
    let temp = watching(&replica, "temp", &kill).await?;
    let goes = watching(&replica, "goes", &kill).await?;

    start(&replica, OPERATOR, What::Caller("night".to_owned())).await?;
    let end = end_of(night).await?;
    assert_eq!(end.code(), Code::PermissionDenied, "{end:?}");
    ensure!(end.message().contains("locked out"), "{end:?}");

    let temp_now = rule("temp", "temp", "*", &["credential.read"]);
    let callers = vec![operator(), admin("night"), temp_now];
    replica.reconfigure(&scene.config().set("callers", callers))?;
    assert_eq!(end_of(temp).await?.code(), Code::PermissionDenied);
    assert_eq!(end_of(goes).await?.code(), Code::Unauthenticated);

    let silence = timeout(Duration::from_secs(1), stays.message()).await;
    let goes_on = matches!(silence, Err(_) | Ok(Ok(Some(_))));
    ensure!(goes_on, "nothing was taken from it: {silence:?}");
    Ok(())
}
