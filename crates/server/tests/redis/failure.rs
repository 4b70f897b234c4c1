//! What happens when Redis does not.

use std::time::{Duration, Instant};

use evergrant_core::coordinator::{Acquired, Bus, Escrow, Locks, Notice};
use evergrant_core::ids::{GrantId, OwnerToken};
use evergrant_core::testing::coordinator_contract::entry;
use evergrant_server::redis::RedisCoordinator;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::proxy::Proxy;
use crate::{PATIENCE, RedisServer, is_down, is_up, replica, replica_until, two_replicas};

const TTL: Duration = Duration::from_secs(45);

/// What a call says that was not even tried.
const LEFT_ALONE: &str = "redis is out of reach: it did not answer lately";

/// What an attempt says that must fail, and before long.
async fn failing(replica: &RedisCoordinator) -> String {
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    let attempt = replica.acquire(&grant, &owner, TTL);
    let answer = timeout(PATIENCE, attempt).await.expect("it ends");
    answer.expect_err("nobody can answer").to_string()
}

/// The first calls wait no longer than they have to; from then on nobody waits at all, since no call is made.
async fn fails_and_then_is_left_alone(replica: &RedisCoordinator) {
    for _ in 0..3 {
        failing(replica).await;
    }
    for _ in 0..20 {
        assert_eq!(failing(replica).await, LEFT_ALONE);
    }
    let entry = entry(&GrantId::random(), 1);
    let told = [
        replica.put(&entry).await.err(),
        replica.find(&entry.grant, entry.base).await.err(),
        replica.remove(&entry.grant, entry.base).await.err(),
    ];
    for error in told {
        assert_eq!(error.map(|it| it.to_string()).as_deref(), Some(LEFT_ALONE));
    }
}

async fn works(replica: &RedisCoordinator) {
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    let won = replica.acquire(&grant, &owner, TTL).await;
    assert_eq!(won, Ok(Acquired::Won));
    assert_eq!(replica.release(&grant, &owner).await, Ok(true));
}

async fn hears(from: &RedisCoordinator, to: &RedisCoordinator) {
    let mut receiver = to.subscribe();
    let notice = Notice::EventsAppended { head: 1 };
    from.publish(notice.clone()).await;
    let heard = timeout(PATIENCE, receiver.recv()).await;
    assert_eq!(heard.expect("it comes in time"), Ok(notice));
}

#[tokio::test]
async fn a_replica_starts_without_redis_and_finds_it_later() {
    let mut server = RedisServer::stopped();
    let replica = replica(&server.url());
    fails_and_then_is_left_alone(&replica).await;
    assert!(!replica.is_up());

    server.restart();
    is_up(&replica).await;
    works(&replica).await;
}

#[tokio::test]
async fn a_killed_redis_costs_little_and_is_used_again_when_it_is_back() {
    let (mut server, one, other) = two_replicas().await;
    works(&one).await;
    server.kill();
    fails_and_then_is_left_alone(&one).await;
    is_down(&one).await;
    is_down(&other).await;

    server.restart();
    is_up(&one).await;
    is_up(&other).await;
    works(&one).await;
    hears(&one, &other).await;
    hears(&other, &one).await;
}

#[tokio::test]
async fn a_frozen_redis_costs_little_and_is_used_again_when_it_thaws() {
    let (server, one, other) = two_replicas().await;
    server.freeze();
    fails_and_then_is_left_alone(&one).await;
    is_down(&one).await;
    is_down(&other).await;
    // Long enough that its connections are given up.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        failing(&one).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    server.thaw();
    is_up(&one).await;
    is_up(&other).await;
    works(&one).await;
    hears(&one, &other).await;
    hears(&other, &one).await;
}

#[tokio::test]
async fn connections_that_died_in_silence_are_replaced() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server).await;
    let (one, other) = (replica(&server.url()), replica(&proxy.url()));
    is_up(&one).await;
    is_up(&other).await;

    proxy.forget_connections();
    is_down(&other).await;
    is_up(&other).await;
    works(&other).await;
    hears(&one, &other).await;
}

#[tokio::test]
async fn notices_reach_their_own_process_while_redis_is_away() {
    let (mut server, one, _other) = two_replicas().await;
    server.kill();
    let mut receiver = one.subscribe();
    let all = async {
        for head in 0..2_000 {
            one.publish(Notice::EventsAppended { head }).await;
        }
    };
    let published = timeout(PATIENCE, all).await;
    published.expect("nobody waits for the network");
    for head in 0..2_000 {
        let heard = receiver.try_recv();
        assert_eq!(heard, Ok(Notice::EventsAppended { head }));
    }
}

#[tokio::test]
async fn shutting_down_sends_what_waits_and_ends_every_task() {
    let (server, _, other) = two_replicas().await;
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let leaving = replica_until(&server.url(), &tracker, shutdown.clone());
    is_up(&leaving).await;
    let mut receiver = other.subscribe();
    for head in 0..500 {
        leaving.publish(Notice::EventsAppended { head }).await;
    }
    shutdown.cancel();
    ends(&tracker).await;
    for head in 0..500 {
        let heard = timeout(PATIENCE, receiver.recv()).await.unwrap();
        assert_eq!(heard, Ok(Notice::EventsAppended { head }));
    }
    failing(&leaving).await;
    assert!(!leaving.is_up());
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_a_redis_that_is_away() {
    let server = RedisServer::stopped();
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let replica = replica_until(&server.url(), &tracker, shutdown.clone());
    replica.publish(Notice::EventsAppended { head: 1 }).await;
    shutdown.cancel();
    ends(&tracker).await;
}

async fn ends(tracker: &TaskTracker) {
    tracker.close();
    let ended = timeout(Duration::from_secs(3), tracker.wait()).await;
    ended.expect("all tasks end soon");
}
