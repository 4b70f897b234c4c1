//! Coordination through a real Redis server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::coordinator::{Bus, Escrow, Locks};
use evergrant_core::testing::coordinator_contract::Pair;
use evergrant_server::redis::RedisCoordinator;
use evergrant_server::seal::{Sealer, SealingKey};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::server::RedisServer;

#[path = "support/redis.rs"]
mod server;

#[path = "redis/failure.rs"]
mod failure;
#[path = "redis/keys.rs"]
mod keys;
#[path = "redis/notices.rs"]
mod notices;
#[path = "redis/proxy.rs"]
mod proxy;

evergrant_core::locks_contract!(async {
    let (server, one, other) = two_replicas().await;
    Pair::new(one as Arc<dyn Locks>, other).keeping(server)
});
evergrant_core::escrow_contract!(async {
    let (server, one, other) = two_replicas().await;
    Pair::new(one as Arc<dyn Escrow>, other).keeping(server)
});
evergrant_core::bus_contract!(async {
    let (server, one, other) = two_replicas().await;
    Pair::new(one as Arc<dyn Bus>, other).keeping(server)
});

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

async fn two_replicas() -> (RedisServer, Arc<RedisCoordinator>, Arc<RedisCoordinator>) {
    let server = RedisServer::start();
    let (one, other) = (replica(&server.url()), replica(&server.url()));
    is_up(&one).await;
    is_up(&other).await;
    (server, one, other)
}

/// A replica that is not connected yet.
fn replica(url: &str) -> Arc<RedisCoordinator> {
    replica_until(url, &TaskTracker::new(), CancellationToken::new())
}

fn replica_until(
    url: &str,
    tracker: &TaskTracker,
    shutdown: CancellationToken,
) -> Arc<RedisCoordinator> {
    RedisCoordinator::connect(url, "evergrant", sealer("k1"), tracker, shutdown).unwrap()
}

/// A ring of one key, the same each time for the same id.
fn sealer(key: &str) -> Sealer {
    let bytes = Zeroizing::new([key.bytes().last().unwrap(); 32]);
    let keys = BTreeMap::from([(key.to_owned(), SealingKey::new(bytes))]);
    Sealer::new(key, keys).unwrap()
}

async fn is_up(replica: &RedisCoordinator) {
    becomes(replica, true).await;
}

async fn is_down(replica: &RedisCoordinator) {
    becomes(replica, false).await;
}

async fn becomes(replica: &RedisCoordinator, up: bool) {
    let mut told = replica.up();
    timeout(PATIENCE, told.wait_for(|now| *now == up))
        .await
        .expect("it changes in time")
        .expect("it is followed");
    assert_eq!(replica.is_up(), up);
}
