//! The emergency stop: everything of a provider, a tenant, a client or a caller is dead at once, and stays dead.

mod callers;
mod consent;
mod given_up;
mod since;
mod targets;
mod watchers;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::kill_service_client::KillServiceClient;
use evergrant_proto::v1::kill_target::What;
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{
    Credential, GetKillRequest, InvalidationReason, Kill, KillTarget, StartKillRequest,
};
use evergrant_providers::sandbox::{
    DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Endpoint, Fault, FaultRule, NewGrant, Outcome, Point,
    RotationMode,
};
use futures_util::future::try_join_all;
use serde_json::Value;

use crate::harness::background::background;
use crate::harness::caller::{credential, fresh, reason};
use crate::harness::eventually::eventually;
use crate::harness::replica::{Replica, verb};
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};
use crate::harness::watcher::{Watcher, everything};

const CREDENTIALS: usize = 200;
const REASON: &str = "the client secret leaked";
/// A kill lasts until nothing of before it can turn up any more, and a dead replica's lease has to run out.
const FINISHED: Duration = Duration::from_secs(60);

/// A provider of the same sandbox that is not killed.
const OTHER: &str = "other";

fn with_other_provider(scene: Scene) -> Scene {
    let entry = scene.sandbox.entry(OTHER, RotationMode::Strict);
    scene
        .provider(OTHER, entry)
        .set("clients.other-main.provider", OTHER)
        .set("clients.other-main.client_id", DEFAULT_CLIENT_ID)
        .set("clients.other-main.client_secret", DEFAULT_CLIENT_SECRET)
}

fn id(number: usize) -> String {
    format!("c-{number}")
}

/// So many credentials of [`PROVIDER`] with good tokens.
async fn stored(scene: &Scene, replica: &Replica, count: usize) -> Result<Vec<NewGrant>> {
    let numbers: Vec<_> = (0..count).collect();
    let mut grants = Vec::with_capacity(count);
    for some in numbers.chunks(20) {
        let names: Vec<_> = some.iter().map(|number| id(*number)).collect();
        let stored = names.iter().map(|id| scene.fresh_credential(replica, id));
        grants.extend(try_join_all(stored).await?);
    }
    Ok(grants)
}

/// `evergrant kill WORDS -o json`
async fn kill(replica: &Replica, words: &[&str]) -> Result<Value> {
    let server = format!("http://{}", replica.grpc());
    let all = [&["kill"], words, &["-o", "json", "--server", &server]].concat();
    Ok(serde_json::from_str(&verb(&all).await?)?)
}

async fn begin(replica: &Replica) -> Result<String> {
    let mut kills = KillServiceClient::new(replica.channel());
    let request = StartKillRequest {
        target: Some(KillTarget {
            what: Some(What::Provider(PROVIDER.to_owned())),
            since: None,
        }),
        reason: REASON.to_owned(),
        revoke_at_provider: true,
    };
    let begun = kills.start_kill(request).await?.into_inner().kill;
    Ok(begun.context("it has begun")?.kill_id)
}

/// How a kill stands, once `wanted` holds.
async fn stands(replica: &Replica, kill: &str, wanted: impl Fn(&Kill) -> bool) -> Result<Kill> {
    eventually("the kill", FINISHED, async || {
        let mut kills = KillServiceClient::new(replica.channel());
        let request = GetKillRequest {
            kill_id: kill.to_owned(),
        };
        let kill = kills.get_kill(request).await.ok()?.into_inner().kill?;
        wanted(&kill).then_some(kill)
    })
    .await
}

fn is_death(event: &Event) -> bool {
    matches!(event, Event::CredentialInvalidated(_))
}

async fn is_killed(replica: &Replica, id: &str) -> bool {
    match replica.caller().token(id).await {
        Ok(_) => false,
        Err(status) => reason(&status).1 == "CREDENTIAL_INVALIDATED",
    }
}

/// How often the provider confirmed a revocation.
fn revocations(scene: &Scene) -> usize {
    let ledger = scene.sandbox.control().ledger();
    let entries = ledger.entries.iter();
    entries
        .filter(|entry| entry.endpoint == Endpoint::Revoke)
        .filter(|entry| entry.outcome == Some(Outcome::Revoked))
        .count()
}

#[tokio::test]
async fn all_of_a_provider_are_dead_everywhere_told_once_and_revoked() -> Result<()> {
    let scene = with_other_provider(Scene::with_redis().await?);
    let replicas: [_; 3] = scene.replicas().await?;
    let grants = stored(&scene, &replicas[0], CREDENTIALS).await?;
    let untouched = scene.sandbox.grant(RotationMode::Strict)?;
    let other = Credential {
        provider: OTHER.to_owned(),
        client: "other-main".to_owned(),
        ..credential("o")
    };
    let caller = replicas[0].caller();
    caller.store(other, fresh(&untouched)).await?;
    // In the memory of every replica.
    let remembered: Vec<_> = (0..CREDENTIALS).step_by(20).map(id).collect();
    for replica in &replicas {
        for id in &remembered {
            replica.caller().token(id).await?;
        }
    }
    let watcher = Watcher::start(&replicas[2], everything()).await?;

    let counted = kill(&replicas[1], &["--provider", PROVIDER, "--dry-run"]).await?;
    assert_eq!(counted["credentials"], CREDENTIALS);
    assert_eq!(counted["sample"].as_array().map(Vec::len), Some(10));
    assert_eq!(watcher.count(is_death), 0);

    let began = begin(&replicas[1]).await?;
    let all = async || (watcher.count(is_death) == CREDENTIALS).then_some(());
    eventually("all deaths", SOON, all).await?;
    for replica in &replicas {
        for id in &remembered {
            let refused = async || is_killed(replica, id).await.then_some(());
            eventually("a refusal", Duration::from_secs(1), refused).await?;
        }
    }
    let done = stands(&replicas[0], &began, |kill| kill.finished_at.is_some()).await?;
    let count = u64::try_from(CREDENTIALS)?;
    assert_eq!(
        (done.credentials, done.grants, done.revoked),
        (count, count, count)
    );
    assert_eq!((done.pending, done.failed, done.superseded), (0, 0, 0));
    assert_eq!(revocations(&scene), CREDENTIALS);
    for grant in &grants {
        ensure!(!scene.sandbox.is_alive(grant)?);
    }
    assert_eq!(watcher.count(is_death), CREDENTIALS, "each is told once");
    let told = watcher.wait_for("a death", SOON, is_death).await?;
    let Event::CredentialInvalidated(told) = told else {
        unreachable!("it was asked for");
    };
    assert_eq!(told.reason(), InvalidationReason::Killed);
    assert_eq!(told.message, REASON);

    ensure!(scene.sandbox.is_alive(&untouched)?);
    for replica in &replicas {
        replica.caller().token("o").await?;
    }

    let again = kill(
        &replicas[2],
        &["--provider", PROVIDER, "--reason", "once more", "--yes"],
    )
    .await?;
    assert_eq!(
        (&again["credentials"], &again["revoked"]),
        (&0.into(), &0.into())
    );
    assert_eq!(watcher.count(is_death), CREDENTIALS);
    let listed = kill(&replicas[0], &["list"]).await?;
    assert_eq!(listed["kills"].as_array().map(Vec::len), Some(2));

    let anew = scene.sandbox.grant(RotationMode::Strict)?;
    caller.reconnect("c-0", fresh(&anew), false).await?;
    let token = replicas[1].caller().token("c-0").await?;
    assert_eq!(token.access_token, anew.access_token.expose());
    Ok(())
}

#[tokio::test]
async fn another_replica_finishes_what_a_killed_one_began() -> Result<()> {
    const COUNT: usize = 60;
    let scene = Scene::without_redis().await?;
    let [one, two, three] = scene.replicas().await?;
    let grants = stored(&scene, &one, COUNT).await?;
    let slow = FaultRule {
        endpoint: Endpoint::Revoke,
        ..FaultRule::always(Fault::Delay {
            milliseconds: 500,
            at: Point::BeforeProcessing,
        })
    };
    scene.sandbox.control().add_fault(slow)?;
    let watcher = Watcher::start(&three, everything()).await?;

    let began = begin(&one).await?;
    let port = format!(":{}", one.grpc().port());
    let half = stands(&two, &began, |kill| kill.revoked >= 8).await?;
    ensure!(half.worker.ends_with(&port), "{half:?}");
    ensure!(half.finished_at.is_none() && half.pending > 0, "{half:?}");
    one.kill().await?;

    let done = stands(&two, &began, |kill| kill.finished_at.is_some()).await?;
    let count = u64::try_from(COUNT)?;
    assert_eq!(
        (done.credentials, done.revoked, done.failed),
        (count, count, 0)
    );
    for grant in &grants {
        ensure!(!scene.sandbox.is_alive(grant)?);
    }
    assert_eq!(watcher.count(is_death), COUNT);
    ensure!(
        two.log().contains("goes on with a kill") || three.log().contains("goes on with a kill")
    );
    Ok(())
}

#[tokio::test]
async fn a_refresh_under_way_neither_brings_a_killed_grant_back_nor_escapes_revocation()
-> Result<()> {
    for scene in [Scene::with_redis().await?, Scene::without_redis().await?] {
        let scene = scene.impatient();
        let [one, two] = scene.replicas().await?;
        let (grant, gate) = scene
            .held_credential(&one, "c", RotationMode::Strict, Point::AfterProcessing)
            .await?;
        let asking = background({
            let caller = one.caller();
            async move { caller.token("c").await }
        });
        gate.arrival().await?;
        let began = begin(&two).await?;
        stands(&two, &began, |kill| kill.grants == 1).await?;
        gate.open();
        let answer = asking.await?;
        ensure!(answer.is_err(), "its successor came too late");

        let done = stands(&two, &began, |kill| kill.finished_at.is_some()).await?;
        assert_eq!((done.revoked, done.failed), (1, 0));
        ensure!(!scene.sandbox.is_alive(&grant)?);
        ensure!(is_killed(&one, "c").await && is_killed(&two, "c").await);
        assert_eq!(two.caller().credential("c").await?.generation, 1);
        // The stored one was spent, and its successor was put aside: both are taken back.
        assert_eq!(revocations(&scene), 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_revocation_that_fails_holds_nothing_up_and_is_tried_again() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grants = stored(&scene, &replica, 3).await?;
    let down = FaultRule {
        endpoint: Endpoint::Revoke,
        ..FaultRule::once(Fault::DropBeforeProcessing)
    };
    scene.sandbox.control().add_fault(down.clone())?;
    scene.sandbox.control().add_fault(down)?;
    let words = ["--client", CLIENT, "--reason", REASON, "--yes"];
    let done = kill(&replica, &words).await?;
    assert_eq!((&done["revoked"], &done["failed"]), (&3.into(), &0.into()));
    for grant in &grants {
        ensure!(!scene.sandbox.is_alive(grant)?);
    }
    Ok(())
}
