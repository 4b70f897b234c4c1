//! A kill of a caller takes what it was given within a time, or all of it.

use anyhow::Result;
use evergrant_proto::v1::kill_service_client::KillServiceClient;
use evergrant_proto::v1::kill_target::What;
use evergrant_proto::v1::{CredentialState, GetKillRequest, Kill};
use prost_types::Timestamp;
use serde_json::Value as Json;

use super::FINISHED;
use super::callers::{BILLING, OPERATOR, on_record, operator, start_since, with, with_callers};
use crate::harness::caller::in_seconds;
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};

#[tokio::test]
async fn since_leaves_alone_what_a_caller_was_given_before() -> Result<()> {
    let open = Scene::without_redis().await?;
    let before = open.replica("before").await?;
    for id in ["c", "earlier"] {
        open.fresh_credential(&before, id).await?;
    }
    drop(before);
    let scene = with_callers(open);
    let replica = scene.replica("replica").await?;
    let billing = replica.caller().with_token(BILLING);
    billing.token("earlier").await?;
    on_record(&replica, "billing", "GetToken").await?;
    let since = Timestamp {
        nanos: 0,
        ..in_seconds(1)
    };
    eventually("the next second", SOON, async || {
        (in_seconds(0).seconds >= since.seconds).then_some(())
    })
    .await?;
    billing.token("c").await?;

    let billing = What::Caller("billing".to_owned());
    let begun = start_since(&replica, OPERATOR, billing, Some(since)).await?;
    let done = finished(&replica, &begun).await?;
    assert_eq!((done.credentials, done.revoked), (1, 1), "{done:?}");
    let trusted = replica.caller().with_token(OPERATOR);
    trusted.token("earlier").await?;
    let told = trusted.credential("c").await?;
    assert_eq!(told.state(), CredentialState::Invalidated);

    // Without it, all that the trail knows of.
    let words = [
        "--caller",
        "billing",
        "--reason",
        "all of it",
        "--yes",
        "-o",
        "json",
    ];
    let ended = operator(&scene, &replica, &words).await?;
    let done: Json = serde_json::from_str(&ended.stdout)?;
    assert_eq!(done["credentials"], 1, "{ended:?}");
    let told = trusted.credential("earlier").await?;
    assert_eq!(told.state(), CredentialState::Invalidated);
    Ok(())
}

async fn finished(replica: &Replica, begun: &Kill) -> Result<Kill> {
    eventually("the end of a kill", FINISHED, async || {
        let mut kills = KillServiceClient::new(replica.channel());
        let request = GetKillRequest {
            kill_id: begun.kill_id.clone(),
        };
        let kill = kills.get_kill(with(request, OPERATOR)).await.ok()?;
        kill.into_inner()
            .kill
            .filter(|kill| kill.finished_at.is_some())
    })
    .await
}
