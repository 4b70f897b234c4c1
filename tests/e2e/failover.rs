//! What becomes of a grant when a process, a database or Redis dies in the midst of its refresh.

pub mod database;

use anyhow::{Context, Result};
use evergrant_proto::v1::{CredentialState, InvalidationReason};
use evergrant_providers::sandbox::{NewGrant, Point, RotationMode};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use self::database::SqliteLock;
use crate::harness::background::background;
use crate::harness::caller::{credential, expired, reason};
use crate::harness::eventually::eventually;
use crate::harness::proxy::{Direction, Proxy};
use crate::harness::replica::Replica;
use crate::harness::sandbox::Hold;
use crate::harness::scene::{PROVIDER, SOON, Scene};
use evergrant_proto::v1::GetTokenResponse;

type Answer = JoinHandle<Result<GetTokenResponse, Status>>;

/// A replica's caller asks for the token of `c`, in the background.
fn ask(replica: &Replica) -> Answer {
    let caller = replica.caller();
    background(async move { caller.token("c").await })
}

#[tokio::test]
async fn a_leader_killed_before_its_call_arrives_costs_nothing_but_time() -> Result<()> {
    let scene = Scene::with_redis().await?.impatient();
    let network = Proxy::start(scene.sandbox.address())?;
    network.blackhole();
    let entry = scene
        .sandbox
        .entry_by_way_of(network.address(), PROVIDER, RotationMode::Strict);
    let config = scene.config().named("leader").provider(PROVIDER, entry);
    let leader = Replica::start(&config).await?;
    let grant = scene.expired_credential(&leader, "c").await?;

    let asked = ask(&leader);
    eventually("the leader to hold the lease and dial", SOON, async || {
        (network.connections() > 0).then_some(())
    })
    .await?;
    let other = scene.replica("other").await?;
    leader.kill().await?;
    network.reset();

    assert!(asked.await?.is_err());
    assert_eq!(other.caller().token("c").await?.generation, 2);
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    assert!(scene.sandbox.is_alive(&grant)?);
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn a_leader_killed_during_its_call_is_repaired_where_the_provider_has_a_grace() -> Result<()>
{
    let mode = RotationMode::Grace {
        seconds: 60,
        max_uses: 2,
    };
    let (scene, leader, other, grant, gate) = stage(mode).await?;

    let asked = ask(&leader);
    leader.kill().await?;
    gate.open();

    assert!(asked.await?.is_err());
    assert_eq!(other.caller().token("c").await?.generation, 2);
    assert_eq!(
        scene.sandbox.calls_for(&grant),
        2,
        "the call and one to recover"
    );
    assert!(scene.sandbox.is_alive(&grant)?);
    let metrics = other.metrics().await?;
    assert_eq!(metrics.sum("evergrant_recovery_calls_total", &[]), 1.0);
    assert_eq!(metrics.sum("evergrant_lease_takeovers_total", &[]), 1.0);
    Ok(())
}

#[tokio::test]
async fn a_leader_killed_during_its_call_to_a_strict_provider_is_told_as_a_lost_rotation()
-> Result<()> {
    let (scene, leader, other, grant, gate) = stage(RotationMode::Strict).await?;

    let asked = ask(&leader);
    leader.kill().await?;
    gate.open();

    assert!(asked.await?.is_err());
    let refusal = other
        .caller()
        .token("c")
        .await
        .expect_err("nobody has the tokens");
    assert_eq!(
        reason(&refusal),
        (
            Code::FailedPrecondition,
            "CREDENTIAL_INVALIDATED".to_owned()
        )
    );
    let told = other.caller().credential("c").await?;
    assert_eq!(told.state(), CredentialState::Invalidated);
    let why = told.invalidation.context("a dead credential says why")?;
    assert_eq!(why.reason(), InvalidationReason::RotationLost);
    let calls = scene.sandbox.calls_for(&grant);
    assert!((2..=3).contains(&calls), "{calls} calls");
    Ok(())
}

#[tokio::test]
async fn a_leader_killed_between_answer_and_commit_leaves_its_tokens_in_escrow() -> Result<()> {
    let mut scene = Scene::with_redis().await?.impatient();
    let network = Proxy::start(scene.postgres().address())?;
    let store = scene.postgres().url_at(network.address());
    let leader = Replica::start(&scene.config().named("leader").set("store.url", store)).await?;
    let (grant, gate) = scene
        .held_credential(&leader, "c", RotationMode::Strict, Point::AfterProcessing)
        .await?;

    let asked = ask(&leader);
    gate.arrival().await?;
    let other = scene.replica("other").await?;
    network.hold(Direction::ToServer);
    gate.open();
    eventually("the escrow to be written", SOON, async || {
        let script = "return #redis.call('KEYS', '*escrow*')";
        let kept = scene.redis.as_ref()?.command(&["EVAL", script, "0"]).await;
        (kept.ok()??.as_str() == "1").then_some(())
    })
    .await?;
    leader.kill().await?;
    // What was held must not reach the database after all.
    drop(network);

    asked.abort();
    let answer = other.caller().token("c").await?;
    assert_eq!(answer.generation, 2);
    assert_eq!(
        scene.sandbox.calls_for(&grant),
        1,
        "the escrow spares a call"
    );
    assert_eq!(
        other
            .metrics()
            .await?
            .sum("evergrant_escrow_adopted_total", &[]),
        1.0
    );
    assert_eq!(other.caller().refused("c", 2).await?.generation, 3);
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn a_process_killed_between_answer_and_commit_replays_its_journal() -> Result<()> {
    let scene = Scene::on_sqlite().await?.impatient();
    let process = scene.replica("first").await?;
    let (grant, gate) = scene
        .held_credential(&process, "c", RotationMode::Strict, Point::AfterProcessing)
        .await?;

    let asked = ask(&process);
    gate.arrival().await?;
    let lock = SqliteLock::take(&scene).await?;
    gate.open();
    eventually("the journal to be written", SOON, async || {
        let metrics = process.metrics().await.ok()?;
        (metrics.sum("evergrant_escrow_written_total", &[]) > 0.0).then_some(())
    })
    .await?;
    process.kill().await?;
    lock.release().await?;
    asked.abort();

    let again = scene.replica("second").await?;
    assert_eq!(again.caller().token("c").await?.generation, 2);
    assert_eq!(
        scene.sandbox.calls_for(&grant),
        1,
        "the journal spares a call"
    );
    assert_eq!(again.caller().refused("c", 2).await?.generation, 3);
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn postgres_restarted_at_the_commit_loses_nothing_and_nobody_waits_for_it() -> Result<()> {
    let mut scene = Scene::with_redis().await?;
    let leader = scene.replica("leader").await?;
    let (_grant, gate) = scene
        .held_credential(&leader, "c", RotationMode::Strict, Point::AfterProcessing)
        .await?;
    let asked = ask(&leader);
    gate.arrival().await?;
    let other = scene.replica("other").await?;
    scene.postgres().stop().await?;
    gate.open();
    let answer = asked
        .await?
        .context("the token is served before it is stored")?;
    assert_eq!(answer.generation, 2);
    scene.postgres().start_again().await?;

    let stored = eventually("the commit to be made up for", SOON, async || {
        other.caller().token("c").await.ok()
    })
    .await?;
    assert_eq!(stored.access_token, answer.access_token);
    assert_eq!(other.caller().refused("c", 2).await?.generation, 3);
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn a_flushed_redis_lets_nobody_else_call_the_provider() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let leader = scene.replica("leader").await?;
    let (grant, gate) = scene
        .held_credential(&leader, "c", RotationMode::Strict, Point::BeforeProcessing)
        .await?;
    let first = ask(&leader);
    gate.arrival().await?;
    let other = scene.replica("other").await?;
    let redis = scene.redis.as_ref().context("this scene has Redis")?;
    redis.flush_all().await?;
    let second = ask(&other);
    eventually("the other to meet the lease", SOON, async || {
        let metrics = other.metrics().await.ok()?;
        (metrics.sum("evergrant_lease_waits_total", &[]) > 0.0).then_some(())
    })
    .await?;
    gate.open();

    assert_eq!(first.await??.generation, 2);
    assert_eq!(second.await??.generation, 2);
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn a_leader_frozen_past_its_lease_heals_what_was_given_up() -> Result<()> {
    let (scene, mut leader, other, grant, gate) = stage(RotationMode::SingleUse).await?;

    let asked = ask(&leader);
    leader.freeze()?;
    gate.open();
    let refusal = other
        .caller()
        .token("c")
        .await
        .expect_err("the leader has the tokens");
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    leader.thaw()?;

    // The leader's answer has lain in its socket meanwhile.
    for replica in [&other, &leader] {
        eventually("the credential to be healed", SOON, async || {
            let answer = replica.caller().token("c").await.ok()?;
            (answer.generation == 2).then_some(())
        })
        .await?;
    }
    asked.abort();
    assert!(scene.sandbox.is_alive(&grant)?);
    assert_eq!(other.caller().refused("c", 2).await?.generation, 3);
    Ok(())
}

#[tokio::test]
async fn lock_trouble_shows_in_the_metrics_and_hinders_nobody() -> Result<()> {
    let mut scene = Scene::with_redis().await?;
    let replicas: [_; 2] = scene.replicas().await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    scene.redis().freeze()?;
    let caller = replicas[0].caller();
    caller.store(credential("c"), expired(&grant)).await?;

    let asked = background(async move { caller.token("c").await });
    assert_eq!(asked.await??.generation, 2);

    let mut trouble = 0.0;
    for replica in &replicas {
        let metrics = replica.metrics().await?;
        trouble += metrics.sum("evergrant_lock_unreachable_total", &[]);
    }
    assert!(trouble > 0.0, "the lock was out of reach");
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    scene.redis().thaw()?;
    Ok(())
}

#[tokio::test]
async fn a_frozen_database_is_an_error_by_the_deadline_and_not_a_hang() -> Result<()> {
    let mut scene = Scene::with_redis().await?.impatient();
    let replica = scene.replica("replica").await?;
    let grant = scene.expired_credential(&replica, "old").await?;
    scene.fresh_credential(&replica, "good").await?;
    replica.caller().token("good").await?;
    let before = scene.sandbox.calls_for(&grant);
    scene.postgres().freeze()?;

    assert_eq!(replica.caller().token("good").await?.generation, 1);
    let mut bounded = tonic::Request::new(crate::harness::caller::request("old"));
    bounded.metadata_mut().insert("grpc-timeout", "4S".parse()?);
    let refused = tokio::time::timeout(SOON, replica.tokens().get_token(bounded)).await?;
    let (code, _) = reason(&refused.expect_err("the database says nothing"));
    assert!(matches!(code, Code::Unavailable | Code::DeadlineExceeded));
    assert_eq!(scene.sandbox.calls_for(&grant), before, "no lease, no call");

    scene.postgres().thaw()?;
    eventually("the token", SOON, async || {
        replica.caller().token("old").await.ok()
    })
    .await?;
    scene.sandbox.assert_one_call_a_token()
}

/// Two replicas and the credential `c` of a grant of `mode`. The first replica is calling the provider for it, which
/// has spent the refresh token and holds the answer.
async fn stage(mode: RotationMode) -> Result<(Scene, Replica, Replica, NewGrant, Hold)> {
    let scene = Scene::with_redis().await?.impatient();
    let entry = scene.sandbox.entry(PROVIDER, mode);
    let scene = scene.provider(PROVIDER, entry);
    // Both serve before the call begins, since it waits for its answer no longer than a start may take.
    let [one, two] = scene.replicas().await?;
    let (grant, gate) = scene
        .held_credential(&one, "c", mode, Point::AfterProcessing)
        .await?;
    gate.arrival().await?;
    let lease = one.caller().explanation("c").await?.lease;
    let leader = lease.context("whoever calls has the lease")?.replica;
    let (leader, other) = if leader.ends_with(&format!(":{}", one.grpc().port())) {
        (one, two)
    } else {
        (two, one)
    };
    Ok((scene, leader, other, grant, gate))
}
