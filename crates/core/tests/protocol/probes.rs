//! Rejected clients are probed whether or not anybody asks and anything is due.

use std::collections::BTreeSet;
use std::time::Duration;

use evergrant_core::brake::PROBE_EVERY;
use evergrant_core::breaker::BreakerState;
use evergrant_core::broker::Broker;
use evergrant_core::events::EventKind;
use evergrant_core::grant::{GrantType, Means};
use evergrant_core::ids::CredentialKey;
use evergrant_core::probe::Prober;
use evergrant_core::provider::Verdict;
use evergrant_core::secret::Parameter;
use evergrant_core::testing::provider::failure;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::world::{Replica, World, client, key, refused, seconds};

const TOLD: [EventKind; 2] = [EventKind::ClientRejected, EventKind::ClientRecovered];

pub(super) fn reject(world: &World) {
    world
        .provider
        .fail_all(Some(failure(Verdict::Client, "invalid_client")));
}

/// Lets a replica probe, and hear what others tell.
pub(super) fn probing(world: &World) -> Replica {
    let replica = world.replica();
    let prober = Prober::new(replica.broker.clone(), seconds(1), replica.tracker.clone());
    replica.tracker.spawn(prober.run(replica.stop.clone()));
    replica
}

/// Has the client rejected: the first call, for which a caller asks, is not of the probes.
pub(super) async fn rejected(world: &World, replica: &Replica, key: &CredentialKey) {
    reject(world);
    assert!(replica.ask(key, refused(1)).await.is_err());
    assert_eq!(replica.broker.breaker_state(&client()), BreakerState::Open);
}

pub(super) async fn end(replica: &Replica) {
    replica.stop.cancel();
    replica.idle().await;
}

/// Tells `broker` what was told so far.
async fn observe(world: &World, broker: &Broker) {
    for event in world.events().await {
        broker.observe(&event);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mended_client_recovers_although_nobody_asks_and_nothing_is_due() {
    let world = World::new();
    let key = world.connect("a").await;
    let replica = probing(&world);
    rejected(&world, &replica, &key).await;
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(world.kinds().await, TOLD[..1]);
    world.provider.fail_all(None);
    let before = world.calls();
    tokio::time::sleep(seconds(70)).await;
    assert_eq!(world.kinds().await, TOLD);
    assert_eq!(replica.broker.rejected_clients(), []);
    assert_eq!(world.calls(), before + 1);
    assert_eq!(world.generation(&key).await, 2);
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(world.calls(), before + 1, "it is probed no more");
    end(&replica).await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn there_is_one_probe_a_wait_over_however_many_replicas() {
    let world = World::new();
    let key = world.connect("a").await;
    world.connect("b").await;
    let replicas: Vec<_> = (0..5).map(|_| probing(&world)).collect();
    rejected(&world, &replicas[0], &key).await;
    for replica in &replicas[1..] {
        observe(&world, &replica.broker).await;
    }
    assert_eq!(world.calls(), 1);
    let began = Instant::now();
    let mut probes = Vec::new();
    while began.elapsed() < seconds(1_200) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let so_far = world.calls() - 1;
        probes.resize(so_far, began.elapsed());
    }
    // After 5, 10, 20, 40 s and then every minute, each about a tenth and a look sooner or later.
    let mut last = Duration::ZERO;
    for (at, wait) in probes
        .iter()
        .zip([5, 10, 20, 40].into_iter().chain([60; 99]))
    {
        let waited = *at - last;
        let (least, most) = (seconds(wait).mul_f64(0.85), seconds(wait).mul_f64(1.25));
        assert!(waited >= least, "{probes:?}");
        assert!(waited <= most + seconds(3), "{probes:?}");
        last = *at;
    }
    assert!(probes.len() > 15, "{probes:?}");
    for replica in &replicas {
        end(replica).await;
    }
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_is_not_heard_of_yet_is_waited_for() {
    let world = World::new();
    let key = world.connect("a").await;
    let late = probing(&world);
    rejected(&world, &late, &key).await;
    let other = world.replica();
    observe(&world, &other.broker).await;
    world.provider.fail_all(None);
    // The breaker of a third process knows nothing, so its caller is the probe.
    let third = world.replica();
    assert!(third.ask(&key, refused(1)).await.is_ok());
    third.idle().await;
    assert_eq!(world.kinds().await, TOLD);
    let before = world.calls();
    tokio::time::sleep(seconds(7)).await;
    assert_eq!(world.calls(), before, "the recovery is on its way");
    observe(&world, &late.broker).await;
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(world.calls(), before);
    end(&late).await;
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_is_not_stored_is_probed_and_told_all_the_same() {
    let world = World::new();
    let key = world.connect("a").await;
    let replica = probing(&world);
    world.store.faults().fail_next(Op::Apply, 1);
    rejected(&world, &replica, &key).await;
    assert_eq!(world.kinds().await, []);
    tokio::time::sleep(seconds(7)).await;
    assert_eq!(world.calls(), 2);
    assert_eq!(world.kinds().await, TOLD[..1]);
    end(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn the_grant_that_expires_first_is_refreshed_and_no_other() {
    let world = World::new();
    let later = world.connect("later").await;
    let first = world.connect("first").await;
    world.provider.set_lifetime(Some(seconds(600)));
    let soon = world.connect("soon").await;
    let replica = probing(&world);
    rejected(&world, &replica, &first).await;
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(30)).await;
    assert_eq!(world.generation(&soon).await, 2);
    for key in [&later, &first] {
        assert_eq!(world.generation(key).await, 1);
    }
    end(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn where_no_grant_will_do_nothing_is_called() {
    let world = World::new();
    let own = Means {
        parameters: [("client_id".to_owned(), Parameter::new("own".into()))].into(),
        ..Means::default()
    };
    world.mint("own", GrantType::ClientCredentials, own).await;
    world.connect("dead").await;
    world.connect("young").await;
    let replica = probing(&world);
    rejected(&world, &replica, &key("dead")).await;
    let dead = world.grant(&key("dead")).await.facts;
    let registry = replica.broker.registry();
    let why = "it was withdrawn";
    registry.invalidate(&key("dead"), None, why).await.unwrap();
    assert_ne!(dead.state, world.grant(&key("dead")).await.facts.state);
    world
        .provider
        .set_profile(|profile| profile.renewal.min_age = Some(seconds(3_000)));
    world.provider.fail_all(None);
    let before = world.calls();
    tokio::time::sleep(seconds(1_000)).await;
    assert_eq!(world.calls(), before);
    assert_eq!(
        world.kinds().await.last(),
        Some(&EventKind::CredentialInvalidated)
    );
    // It is old enough in the end.
    tokio::time::sleep(seconds(2_200)).await;
    assert_eq!(world.calls(), before + 1);
    assert_eq!(world.generation(&key("young")).await, 2);
    end(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_minted_may_be_the_probe() {
    let (world, _, key) = World::with_minted().await;
    let replica = probing(&world);
    reject(&world);
    assert!(replica.token(&key).await.is_err());
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(30)).await;
    assert_eq!(world.kinds().await, TOLD);
    end(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_fails_otherwise_gives_way_to_the_next() {
    let world = World::new();
    let key = world.connect("a").await;
    world.connect("b").await;
    let replica = probing(&world);
    rejected(&world, &replica, &key).await;
    world
        .provider
        .fail_all(Some(failure(Verdict::Protocol, "odd")));
    tokio::time::sleep(seconds(20)).await;
    let grants: Vec<_> = world
        .provider
        .calls()
        .iter()
        .map(|call| call.grant.clone())
        .collect();
    assert!(grants.len() >= 3, "{grants:?}");
    assert_ne!(grants[1], grants[2], "the first cools down");
    assert_eq!(replica.broker.breaker_state(&client()), BreakerState::Open);
    end(&replica).await;
}

// The operator mends the secret in the configuration, and restarts.
#[tokio::test(start_paused = true)]
async fn a_process_that_never_saw_the_rejection_probes_too() {
    let world = World::new();
    let key = world.connect("a").await;
    let before = world.replica();
    rejected(&world, &before, &key).await;
    drop(before);
    world.provider.fail_all(None);
    let restarted = probing(&world);
    tokio::time::sleep(seconds(20)).await;
    assert_eq!(world.kinds().await, TOLD);
    assert_eq!(world.calls(), 2);
    end(&restarted).await;
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_could_not_be_told_is_told_by_the_next_probe() {
    let world = World::new();
    let key = world.connect("a").await;
    let replica = probing(&world);
    rejected(&world, &replica, &key).await;
    world.provider.fail_all(None);
    world.store.faults().fail_next(Op::Apply, 1);
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(world.kinds().await, TOLD);
    end(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_throttled_is_not_probed() {
    let world = World::new();
    let key = world.connect("a").await;
    world.connect("b").await;
    let replica = probing(&world);
    rejected(&world, &replica, &key).await;
    let mut throttled = failure(Verdict::RateLimit, "slow_down");
    throttled.retry_after = Some(seconds(1_000));
    world.provider.fail_all(Some(throttled));
    tokio::time::sleep(seconds(30)).await;
    assert_eq!(world.calls(), 2, "the probe that was throttled");
    tokio::time::sleep(seconds(900)).await;
    assert_eq!(world.calls(), 2);
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(200)).await;
    assert_eq!(world.kinds().await, TOLD);
    end(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_nothing_is_called() {
    let world = World::new();
    let key = world.connect("a").await;
    let replica = probing(&world);
    rejected(&world, &replica, &key).await;
    world.store.faults().set_down(true);
    tokio::time::sleep(PROBE_EVERY * 10).await;
    assert_eq!(world.calls(), 1);
    world.store.faults().set_down(false);
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(70)).await;
    assert_eq!(world.kinds().await, TOLD);
    end(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_was_refused_as_a_probe_goes_behind_the_others() {
    let world = World::new();
    let key = world.connect("a").await;
    // The first to expire is always the first choice but for what came of it.
    world.provider.set_lifetime(Some(seconds(7_200)));
    world.connect("b").await;
    world.connect("c").await;
    let replica = probing(&world);
    rejected(&world, &replica, &key).await;
    tokio::time::sleep(seconds(50)).await;
    let probed: Vec<_> = world
        .provider
        .calls()
        .into_iter()
        .map(|call| call.grant)
        .collect();
    assert!(probed.len() >= 4, "{probed:?}");
    let first_three: BTreeSet<_> = probed[..3].iter().collect();
    assert_eq!(first_three.len(), 3, "each in turn: {probed:?}");
    assert_eq!(probed[3], probed[0], "and again from the first");
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(70)).await;
    assert_eq!(world.kinds().await, TOLD);
    end(&replica).await;
    world.check(&key).await;
}
