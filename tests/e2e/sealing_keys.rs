//! Sealing keys are exchanged while tokens are asked for and refreshed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use evergrant_providers::sandbox::{GrantSpec, RotationMode};
use tokio::sync::RwLock;
use tokio::time::Instant;

use crate::harness::background::background;
use crate::harness::caller::{Caller, credential, fresh};
use crate::harness::cli::evergrant;
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::replica::config::ReplicaConfig;
use crate::harness::scene::{SOON, Scene};

/// 32 bytes in base64 each.
const OLD: &str = "b2xkLXNlYWxpbmcta2V5LW9mLTMyLWJ5dGVzLWhlcmU=";
const NEW: &str = "bmV3LXNlYWxpbmcta2V5LW9mLTMyLWJ5dGVzLWhlcmU=";

/// Several times the life of a short-lived token.
const REFRESHED_WITHIN: Duration = Duration::from_secs(30);

const SHORT: usize = 12;
const LONG: usize = 30;

#[tokio::test]
async fn a_key_is_replaced_and_retired_while_tokens_are_refreshed() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let both = |active: &str| {
        let config = scene.config().set("keys.active", active);
        config.set("keys.k1", OLD).set("keys.k2", NEW)
    };
    let without_old = both("k2").unset("keys.k1");
    let mut replicas = start_both(&both("k1")).await?;
    let ids = fill(&scene, &replicas[0]).await?;
    let load = Load::begin(&ids, &replicas);

    let early = Replica::run_to_end(&without_old).await?;
    assert_eq!(early.0, Some(64), "{}", early.1);
    let last = early.1.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("evergrant: keys: sealing key k1 is not configured"),
        "{last}"
    );
    let early = evergrant(&both("k2"), &["keys", "verify", "--key", "k1"]).await?;
    assert_eq!(early.code, Some(1), "{early:?}");
    assert!(
        early.stderr.contains("sealing key k1 is needed by "),
        "{early:?}"
    );

    load.restart(&mut replicas, &both("k2")).await?;
    let rotate = [
        "keys", "rotate", "--batch", "5", "--pause", "30ms", "-o", "json",
    ];
    let rotated = evergrant(&both("k2"), &rotate).await?;
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    let summary: serde_json::Value = serde_json::from_str(&rotated.stdout)?;
    let resealed = summary["resealed"].as_u64().unwrap_or_default();
    assert!(resealed >= LONG as u64, "{rotated:?}");
    assert!(rotated.stderr.contains("grants.tokens: "), "{rotated:?}");
    // An entry in escrow that the old key sealed goes with its commit.
    let verified = eventually("the old key to be free", SOON, async || {
        let ended = evergrant(&both("k2"), &["keys", "verify", "--key", "k1"]).await;
        ended.ok().filter(|ended| ended.code == Some(0))
    });
    let verified = verified.await?;
    let line = verified.stdout.lines().next().unwrap_or_default();
    assert_eq!(line, "k1  opens            not needed: may be retired");

    load.restart(&mut replicas, &without_old).await?;
    // Every short-lived token is refreshed at least once by replicas that never knew the old key.
    for replica in &replicas {
        for id in &ids {
            let seen = replica.caller().token(id).await?.generation;
            let refreshed = async || {
                let answer = replica.caller().token(id).await.ok()?;
                (id.starts_with("long") || answer.generation > seen).then_some(())
            };
            eventually("a refresh without the old key", REFRESHED_WITHIN, refreshed).await?;
        }
    }
    ensure!(load.end().await? > 0, "nobody asked");
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn other_bytes_under_the_name_of_a_key_are_told_as_that_and_seal_nothing() -> Result<()> {
    let scene = Scene::on_sqlite().await?.set("keys.k1", OLD);
    let mut replica = scene.replica("replica").await?;
    scene.fresh_credential(&replica, "c").await?;
    replica.terminate()?;
    replica.end().await?;

    let why = "sealing key k1 does not open what was sealed under its name";
    let wrong = scene.config().set("keys.k1", NEW);
    let (code, log) = Replica::run_to_end(&wrong).await?;
    let last = log.lines().last().unwrap_or_default();
    assert_eq!(code, Some(64), "{log}");
    ensure!(
        last.starts_with(&format!("evergrant: keys: {why}")),
        "{last}"
    );
    // As a key that only opens, too.
    let opens = wrong.clone().set("keys.active", "k2").set("keys.k2", OLD);
    let (code, log) = Replica::run_to_end(&opens).await?;
    assert_eq!(code, Some(64), "{log}");
    ensure!(log.contains(why), "{log}");
    for (words, code) in [
        (&["keys", "verify"], 1),
        (&["keys", "rotate"], 1),
        (&["audit", "verify"], 64),
    ] {
        let ended = evergrant(&wrong, words).await?;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        ensure!(
            ended.stderr.contains(why) && ended.stderr.contains("wrong key file"),
            "{ended:?}"
        );
    }

    let nosuch = evergrant(&scene.config(), &["keys", "verify", "--key", "nosuch"]).await?;
    assert_eq!(nosuch.code, Some(64), "{nosuch:?}");
    let replica = scene.replica("with the right key").await?;
    assert_eq!(replica.caller().token("c").await?.generation, 1);
    Ok(())
}

/// Credentials whose tokens live for seconds, and others that nobody refreshes.
async fn fill(scene: &Scene, replica: &Replica) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for number in 0..SHORT {
        let grant = scene.sandbox.control().create_grant(GrantSpec {
            access_token_ttl_seconds: 3,
            ..GrantSpec::with_mode(RotationMode::Strict)
        })?;
        let id = format!("short-{number}");
        replica
            .caller()
            .store(credential(&id), fresh(&grant))
            .await?;
        ids.push(id);
    }
    for number in 0..LONG {
        let id = format!("long-{number}");
        scene.fresh_credential(replica, &id).await?;
        ids.push(id);
    }
    Ok(ids)
}

async fn start_both(config: &ReplicaConfig) -> Result<[Replica; 2]> {
    let (one, two) = (
        config.clone().named("replica 1"),
        config.clone().named("replica 2"),
    );
    let (one, two) = tokio::try_join!(Replica::start(&one), Replica::start(&two))?;
    Ok([one, two])
}

/// Callers that ask all the time, at whichever replica is there.
struct Load {
    callers: Arc<RwLock<Vec<Caller>>>,
    ended: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Load {
    fn begin(ids: &[String], replicas: &[Replica]) -> Self {
        let callers: Vec<_> = replicas.iter().map(Replica::caller).collect();
        let mut load = Self {
            callers: Arc::new(RwLock::new(callers)),
            ended: Arc::default(),
            answers: Arc::default(),
            tasks: Vec::new(),
        };
        for half in ids.chunks(ids.len().div_ceil(4)) {
            let (half, callers) = (half.to_vec(), load.callers.clone());
            let (ended, answers) = (load.ended.clone(), load.answers.clone());
            load.tasks.push(background(async move {
                while !ended.load(Ordering::Relaxed) {
                    for id in &half {
                        ask(&callers, id).await?;
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            }));
        }
        load
    }

    /// Starts one replica after the other again, with another configuration.
    async fn restart(&self, replicas: &mut [Replica; 2], config: &ReplicaConfig) -> Result<()> {
        for index in 0..replicas.len() {
            let other = replicas[1 - index].caller();
            *self.callers.write().await = vec![other.clone()];
            replicas[index].terminate()?;
            let status = replicas[index].end().await?;
            ensure!(status.success(), "{status}");
            let name = format!("replica {} again", index + 1);
            replicas[index] = Replica::start(&config.clone().named(name)).await?;
            *self.callers.write().await = vec![other, replicas[index].caller()];
        }
        Ok(())
    }

    /// How many answers there were; an error if a question had none.
    async fn end(self) -> Result<u64> {
        self.ended.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(self.answers.load(Ordering::Relaxed))
    }
}

/// Asks until there is a token. A replica that ends refuses, and another one answers.
async fn ask(callers: &RwLock<Vec<Caller>>, id: &str) -> Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        let callers = callers.read().await.clone();
        let mut refusal = None;
        for caller in callers {
            match caller.token(id).await {
                Ok(_) => return Ok(()),
                Err(status) => refusal = Some(status),
            }
        }
        let refusal = refusal.map(|status| status.to_string()).unwrap_or_default();
        ensure!(Instant::now() < deadline, "no token of {id}: {refusal}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
