//! Background renewal: ahead of the expiry, once, and never for the dead.

use evergrant_core::events::EventKind;
use evergrant_core::provider::Verdict;
use evergrant_core::schedule::{Pace, Scheduler};
use evergrant_core::testing::provider::failure;
use evergrant_core::testing::store::Op;

use super::world::{Replica, World, generation_of, seconds};

const PACE: Pace = Pace {
    interval: std::time::Duration::from_secs(10),
    concurrency: 8,
    per_client: 100,
};

/// Lets a replica renew what is due.
pub(super) fn renewing(world: &World) -> Replica {
    let replica = world.replica();
    let scheduler = Scheduler::new(
        replica.broker.clone(),
        world.store.clone(),
        world.clock.clone(),
        PACE,
        replica.tracker.clone(),
    );
    replica.tracker.spawn(scheduler.run(replica.stop.clone()));
    replica
}

#[tokio::test(start_paused = true)]
async fn r2_what_is_due_is_renewed_once_by_one_of_the_replicas() {
    let world = World::new();
    let mut keys = Vec::new();
    for name in 0..40 {
        keys.push(world.connect(&format!("c{name}")).await);
    }
    world.provider.set_latency(seconds(1));
    let replicas = [renewing(&world), renewing(&world), renewing(&world)];
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(world.calls(), 0, "nothing is due");
    world.make_due_soon();
    tokio::time::sleep(seconds(120)).await;
    assert_eq!(world.calls(), keys.len());
    for key in &keys {
        assert_eq!(world.generation(key).await, 2);
    }
    for replica in &replicas {
        replica.stop.cancel();
        replica.idle().await;
    }
    world.check(&keys[0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_grant_is_not_looked_at_again() {
    let (world, _, key) = World::with_expired().await;
    world.provider.revoke("a");
    let replica = renewing(&world);
    tokio::time::sleep(seconds(3_600)).await;
    assert_eq!(world.calls(), 1);
    assert!(!world.is_active(&key).await);
    replica.stop.cancel();
    replica.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_provider_is_not_hammered() {
    let (world, _, key) = World::with_fresh().await;
    world.make_due_soon();
    let fault = failure(Verdict::Transient, "server_error");
    world.provider.fail_all(Some(fault));
    let replica = renewing(&world);
    tokio::time::sleep(seconds(3_600)).await;
    let calls = world.calls();
    assert!((5..100).contains(&calls), "{calls} calls in an hour");
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(400)).await;
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    replica.stop.cancel();
    replica.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_has_begun_goes_on_when_the_scheduler_stops() {
    let (world, _, key) = World::with_fresh().await;
    world.make_due_soon();
    let held = world.provider.hold_next();
    let replica = renewing(&world);
    held.reached().await;
    replica.stop.cancel();
    held.release();
    replica.idle().await;
    assert_eq!(world.generation(&key).await, 2);
    world.check(&key).await;
}

// C47, C56
#[tokio::test(start_paused = true)]
async fn e1_a_renewal_that_the_provider_refuses_is_one_call_and_one_death() {
    let (world, _, key) = World::with_fresh().await;
    world.make_due_soon();
    world.provider.revoke("a");
    let replicas = [renewing(&world), renewing(&world), renewing(&world)];
    tokio::time::sleep(seconds(3_600)).await;
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
    assert_eq!(world.calls(), 1);
    assert!(!world.is_active(&key).await);
    for replica in &replicas {
        replica.stop.cancel();
        replica.idle().await;
    }
    world.check(&key).await;
}

// C52
#[tokio::test(start_paused = true)]
async fn grants_of_a_rejected_client_are_left_alone_until_the_next_probe_may_be_made() {
    let world = World::new();
    for name in 0..20 {
        world.connect(&format!("c{name}")).await;
    }
    world.make_due_soon();
    let rejection = failure(Verdict::Client, "invalid_client");
    world.provider.fail_all(Some(rejection));
    let replica = renewing(&world);
    tokio::time::sleep(seconds(3_600)).await;
    let calls = world.calls();
    assert!((2..=2_000).contains(&calls), "{calls} probes");
    let reads = world.store.faults().calls(Op::Grant);
    assert!(reads < 10 * calls as u64, "{reads} reads, {calls} probes");
    assert_eq!(world.kinds().await, [EventKind::ClientRejected]);
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(180)).await;
    for name in 0..20 {
        let key = super::world::key(&format!("c{name}"));
        assert_eq!(world.generation(&key).await, 2);
    }
    replica.stop.cancel();
    replica.idle().await;
}
