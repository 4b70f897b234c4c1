//! What is told of all this: once, in order, together with the change.

use std::sync::Arc;

use evergrant_core::broker::TokenError;
use evergrant_core::coordinator::Bus;
use evergrant_core::events::EventKind;
use evergrant_core::events::reader::{ReadError, Reader};
use evergrant_core::events::tail::{Tail, TailOptions};
use evergrant_core::store::{EventLog, GrantStore};
use evergrant_core::testing::store::Op;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::rotation::again;
use super::world::{World, client, key, seconds};

#[tokio::test(start_paused = true)]
async fn e1_deaths_and_returns_alternate_and_are_numbered_without_a_gap() {
    let world = World::new();
    let mut keys = Vec::new();
    for name in ["a", "b", "c"] {
        keys.push(world.connect(name).await);
    }
    let replicas = world.replicas(3);
    for round in 0..10 {
        world.expire();
        for (n, key) in keys.iter().enumerate() {
            let name = key.id.as_str();
            if (round + n) % 2 == 0 {
                world.provider.revoke(name);
                for replica in &replicas {
                    assert!(replica.token(key).await.is_err());
                }
                let ask = again(key, world.provider.consent(name), &world);
                let registry = replicas[round % 3].broker.registry();
                registry.reconnect(&ask, &client()).await.unwrap();
            }
        }
        for replica in &replicas {
            replica.broker.forget_all();
            for key in &keys {
                replica.token(key).await.unwrap();
            }
        }
    }
    assert_eq!(world.events().await.len(), 30);
    for key in &keys {
        world.check(key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn e1_a_death_that_cannot_be_told_is_no_death() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.revoke("a");
    world.store.faults().fail_next(Op::Apply, 1);
    assert!(replica.token(&key).await.is_err());
    assert!(world.is_active(&key).await);
    assert_eq!(world.kinds().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_no_event() {
    let (world, replica, key) = World::with_expired().await;
    for _ in 0..3 {
        replica.token(&key).await.unwrap();
        world.expire();
    }
    assert_eq!(world.kinds().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_deleted_during_its_refresh_is_gone_and_its_new_tokens_are_kept_aside()
{
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    let registry = replica.broker.registry();
    assert_eq!(registry.delete_credential(&key).await, Ok(true));
    held.release();
    let answer = caller.await.unwrap();
    assert_eq!(answer.unwrap_err(), TokenError::NotFound(key.clone()));
    replica.idle().await;
    assert_eq!(world.store.grant_of(&key).await, Ok(None));
    assert_eq!(world.store.orphans().len(), 1, "R8");
    assert_eq!(world.kinds().await, [EventKind::CredentialDeleted]);
    assert!(world.coordinator.is_quiescent());
}

/// Lets the credential `a` die and return `times` times: two events each.
pub(super) async fn die_and_return(world: &World, times: usize) {
    let (replica, a) = (world.replica(), key("a"));
    let registry = replica.broker.registry();
    for _ in 0..times {
        registry.invalidate(&a, None, "stolen").await.unwrap();
        let ask = again(&a, world.provider.consent("a"), world);
        registry.reconnect(&ask, &client()).await.unwrap();
    }
}

/// A tail with a ring of `ring` events that follows the log.
pub(super) async fn tail(world: &World, ring: usize) -> Arc<Tail> {
    let options = TailOptions {
        ring,
        ..TailOptions::default()
    };
    let tail = Tail::open(world.store.clone(), options).await.unwrap();
    let (follower, notices) = (tail.clone(), world.coordinator.subscribe());
    TaskTracker::new().spawn(async move {
        let never = CancellationToken::new();
        follower.run(notices, |_| {}, never).await;
    });
    tail
}

/// What a reader from `after` on gets until it has seen event `until`.
async fn read(tail: &Arc<Tail>, after: u64, until: u64) -> Result<Vec<u64>, ReadError> {
    let epoch = tail.head().borrow().epoch.clone();
    let mut reader = Reader::new(tail.clone(), epoch, after);
    let mut seen = Vec::new();
    while reader.position() < until {
        let batch = reader.next_batch().await?;
        if batch.is_empty() {
            let news = tokio::time::timeout(seconds(5), reader.changed(|| false)).await;
            news.expect("the tail follows the log");
        }
        seen.extend(batch.iter().map(|event| event.seq));
    }
    Ok(seen)
}

#[tokio::test(start_paused = true)]
async fn e3_every_watcher_sees_every_event_once_and_in_order_however_far_behind() {
    for (ring, notices_are_lost) in [(16_384, false), (3, false), (3, true)] {
        let (world, _, _) = World::with_fresh().await;
        world
            .coordinator
            .set(|faults| faults.lost_notices = notices_are_lost);
        let tail = tail(&world, ring).await;
        let live = {
            let tail = tail.clone();
            TaskTracker::new().spawn(async move { read(&tail, 0, 300).await })
        };
        die_and_return(&world, 150).await;
        let all: Vec<_> = (1..=300).collect();
        assert_eq!(live.await.unwrap().unwrap(), all);
        // E5
        for after in [0, 1, 150, 296, 299] {
            let rest: Vec<_> = (after + 1..=300).collect();
            assert_eq!(read(&tail, after, 300).await.unwrap(), rest);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn e5_a_watcher_that_comes_after_the_floor_is_told_so() {
    let (world, _, _) = World::with_fresh().await;
    let tail = tail(&world, 1).await;
    die_and_return(&world, 5).await;
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(world.store.prune(seconds(0), 4).await, Ok(4));
    let expired = ReadError::Expired { after: 3, floor: 4 };
    assert_eq!(read(&tail, 3, 10).await, Err(expired));
    assert_eq!(read(&tail, 4, 10).await.unwrap(), [5, 6, 7, 8, 9, 10]);
}
