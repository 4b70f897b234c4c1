//! One provider call per refresh, however many ask and wherever they ask.

pub mod crowd;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use evergrant_providers::sandbox::{GrantSpec, Point, RotationMode};
use futures_util::future::join_all;
use tonic::Code;

use self::crowd::{ask_all, oidc_round, rounds};
use crate::harness::background::background;
use crate::harness::caller::{credential, expired, fresh, reason, request};
use crate::harness::eventually::eventually;
use crate::harness::oidc::{OidcOptions, OidcProvider};
use crate::harness::postgres::Postgres;
use crate::harness::redis::Redis;
use crate::harness::replica::Replica;
use crate::harness::replica::config::ReplicaConfig;
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};

const ROUNDS: usize = 100;

#[tokio::test]
async fn fifty_callers_on_each_of_three_replicas_cost_one_call_a_round() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let replicas: [_; 3] = scene.replicas().await?;

    rounds(&scene, &replicas, 0..ROUNDS).await
}

#[tokio::test]
async fn fifty_callers_of_one_process_on_sqlite_cost_one_call_a_round() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replicas: [_; 1] = scene.replicas().await?;

    rounds(&scene, &replicas, 0..ROUNDS).await
}

#[tokio::test]
async fn replicas_without_redis_still_make_one_call_a_round() -> Result<()> {
    let scene = Scene::without_redis().await?;
    let replicas: [_; 3] = scene.replicas().await?;

    rounds(&scene, &replicas, 0..ROUNDS).await
}

#[tokio::test]
async fn replicas_that_lose_redis_in_the_middle_still_make_one_call_a_round() -> Result<()> {
    let mut scene = Scene::with_redis().await?;
    let replicas: [_; 3] = scene.replicas().await?;

    rounds(&scene, &replicas, 0..ROUNDS / 2).await?;
    // Killed while a refresh is under way, so that its lock is lost and its wake-up never comes.
    let (grant, gate) = scene
        .held_credential(
            &replicas[0],
            "torn",
            RotationMode::Strict,
            Point::BeforeProcessing,
        )
        .await?;

    let answers = background(ask_all(&replicas, "torn"));
    gate.arrival().await?;
    scene.redis().kill().await?;
    gate.open();
    for answer in answers.await? {
        answer?;
    }
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    rounds(&scene, &replicas, ROUNDS / 2..ROUNDS).await?;

    for replica in &replicas {
        assert_eq!(replica.metrics().await?.sum("evergrant_redis_up", &[]), 0.0);
        assert_eq!(replica.admin_status("/readyz").await?, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_certified_server_sees_one_call_a_round() -> Result<()> {
    let options = OidcOptions {
        access_token_ttl: Duration::from_secs(3600),
        ..OidcOptions::default()
    };
    let (oidc, postgres, redis) = tokio::try_join!(
        OidcProvider::start(options),
        Postgres::start(),
        Redis::start()
    )?;
    let config = ReplicaConfig::new(postgres.url())
        .redis(redis.url())
        .provider(PROVIDER, oidc.catalogue_entry(PROVIDER))
        .client(CLIENT, PROVIDER, oidc.client_id(), oidc.client_secret());
    let replicas = [
        Replica::start(&config.clone().named("replica 1")).await?,
        Replica::start(&config.clone().named("replica 2")).await?,
        Replica::start(&config.named("replica 3")).await?,
    ];

    for round in 0..ROUNDS {
        oidc_round(&oidc, &replicas, round).await?;
    }

    let ledger = oidc.ledger().await?;
    assert_eq!(ledger.count("grant.error"), 0);
    assert_eq!(ledger.count("grant.revoked"), 0);
    Ok(())
}

#[tokio::test]
async fn a_chain_of_short_lived_tokens_is_never_torn_under_load() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let replicas: [_; 3] = scene.replicas().await?;
    let grant = scene.sandbox.control().create_grant(GrantSpec {
        access_token_ttl_seconds: 2,
        ..GrantSpec::default()
    })?;
    replicas[0]
        .caller()
        .store(credential("chain"), expired(&grant))
        .await?;

    let links = 5;
    let callers = replicas.iter().cycle().take(12).map(|replica| {
        let caller = replica.caller();
        async move {
            let mut newest = 0;
            while newest <= links {
                let answer = caller.token("chain").await?;
                ensure!(answer.generation >= newest, "a caller went back in time");
                let left = answer.expires_in.context("the token has an end")?;
                ensure!(left.seconds > 0 || left.nanos > 0, "an expired token");
                newest = answer.generation;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(newest)
        }
    });
    for newest in join_all(callers).await {
        assert!(newest? > links);
    }

    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn the_first_caller_leaves_and_the_others_are_served_by_the_same_call() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let replicas: [_; 2] = scene.replicas().await?;
    let (_, gate) = scene
        .held_credential(
            &replicas[0],
            "c",
            RotationMode::Strict,
            Point::BeforeProcessing,
        )
        .await?;

    let mut impatient = tonic::Request::new(request("c"));
    impatient.set_timeout(Duration::from_millis(50));
    let left = replicas[0].tokens().get_token(impatient).await;
    gate.arrival().await?;
    let others = background(ask_all(&replicas, "c"));
    eventually("the others to join the flight", SOON, async || {
        let joined = replicas[0].metrics().await.ok()?;
        (joined.sum("evergrant_flight_joiners_total", &[]) >= 49.0).then_some(())
    })
    .await?;
    gate.open();

    let (code, _) = reason(&left.expect_err("50 ms are too short"));
    assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled));
    for answer in others.await? {
        assert_eq!(answer?.generation, 2);
    }
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn a_deadline_that_passes_is_answered_and_the_refresh_goes_on() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let (grant, gate) = scene
        .held_credential(&replica, "c", RotationMode::Strict, Point::AfterProcessing)
        .await?;

    // Sent as a header alone, so that it is the server that answers.
    let mut short = tonic::Request::new(request("c"));
    short.metadata_mut().insert("grpc-timeout", "200m".parse()?);
    let refusal = replica.tokens().get_token(short).await;
    let (code, why) = reason(&refusal.expect_err("the provider is held"));
    assert_eq!(code, Code::DeadlineExceeded, "{why}");
    gate.open();

    assert_eq!(replica.caller().token("c").await?.generation, 2);
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    Ok(())
}

#[tokio::test]
async fn five_hundred_reports_of_a_refused_token_cost_one_call() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let replicas: [_; 3] = scene.replicas().await?;
    let grant = scene.fresh_credential(&replicas[0], "c").await?;
    for replica in &replicas {
        assert_eq!(replica.caller().token("c").await?.generation, 1);
    }
    assert_eq!(scene.sandbox.calls_for(&grant), 0);

    let reports = replicas.iter().cycle().take(500).map(|replica| {
        let caller = replica.caller();
        async move { caller.refused("c", 1).await }
    });
    for answer in join_all(reports).await {
        assert_eq!(answer?.generation, 2);
    }

    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn a_token_that_is_still_good_is_answered_without_a_call_even_from_a_dead_provider()
-> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let config = scene.config().provider(
        PROVIDER,
        // Nobody listens there.
        scene
            .sandbox
            .entry_by_way_of(([127, 0, 0, 1], 1).into(), PROVIDER, RotationMode::Strict),
    );
    let replica = Replica::start(&config).await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let caller = replica.caller();
    caller.store(credential("fresh"), fresh(&grant)).await?;
    let other = scene.sandbox.grant(RotationMode::Strict)?;
    caller.store(credential("old"), expired(&other)).await?;

    assert_eq!(caller.token("fresh").await?.generation, 1);
    let (code, why) = reason(&caller.token("old").await.expect_err("nobody listens"));
    assert_eq!(
        (code, why.as_str()),
        (Code::Unavailable, "PROVIDER_UNAVAILABLE")
    );
    Ok(())
}
