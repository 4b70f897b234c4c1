//! What one replica changed is not served from the memory of another.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use evergrant_providers::sandbox::RotationMode;

use crate::harness::caller::{Caller, fresh};
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};

mod left_grants;

const ROUNDS: u64 = 10;

#[tokio::test]
async fn with_redis_a_change_is_known_everywhere_in_a_quarter_of_a_second() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let replicas = scene.replicas().await?;
    changes_are_known_within(&scene, replicas, Duration::from_millis(250)).await
}

#[tokio::test]
async fn without_redis_a_change_is_known_everywhere_in_two_seconds() -> Result<()> {
    let scene = Scene::without_redis().await?;
    let replicas = scene.replicas().await?;
    changes_are_known_within(&scene, replicas, Duration::from_secs(2)).await
}

/// One replica replaces, invalidates and reconnects; the other, which has every answer in memory, follows. A busy
/// machine may hold up a process now and then, so half of the rounds must be in time.
async fn changes_are_known_within(
    scene: &Scene,
    [one, two]: [Replica; 2],
    promised: Duration,
) -> Result<()> {
    let (one, two) = (one.caller(), two.caller());
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    one.store(crate::harness::caller::credential("c"), fresh(&grant))
        .await?;
    let mut in_time = 0;
    let mut generation = two.token("c").await?.generation;
    for _ in 0..ROUNDS {
        one.refused("c", generation).await?;
        in_time += u64::from(follows(&two, promised, true, generation).await?);
        one.invalidate("c").await?;
        in_time += u64::from(follows(&two, promised, false, generation).await?);
        let renewed = scene.sandbox.grant(RotationMode::Strict)?;
        one.reconnect("c", fresh(&renewed), false).await?;
        in_time += u64::from(follows(&two, promised, true, generation + 1).await?);
        generation = two.token("c").await?.generation;
    }
    ensure!(
        in_time * 2 >= ROUNDS * 3,
        "{in_time} of {} changes were known within {promised:?}",
        ROUNDS * 3
    );
    Ok(())
}

/// Waits until the answers are no longer those of before, and tells whether that was in time.
async fn follows(caller: &Caller, promised: Duration, alive: bool, before: u64) -> Result<bool> {
    let began = Instant::now();
    eventually("a change to be known", SOON, async || {
        match caller.token("c").await {
            Ok(answer) => (alive && answer.generation > before).then_some(()),
            Err(_) => (!alive).then_some(()),
        }
    })
    .await?;
    Ok(began.elapsed() <= promised)
}
