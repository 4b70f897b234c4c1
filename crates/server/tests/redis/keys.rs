//! What is in Redis, as its operator sees it.

use std::time::Duration;

use evergrant_core::coordinator::{Acquired, Escrow, Locks};
use evergrant_core::ids::{GrantId, OwnerToken};
use evergrant_core::testing::coordinator_contract::entry;
use evergrant_server::redis::{RedisCoordinator, escrow_key_use};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{RedisServer, is_up, replica, sealer, two_replicas};

const TTL: Duration = Duration::from_secs(45);

/// The number in a reply such as `:45000`.
fn number(reply: &str) -> u64 {
    let number = reply.split("\r\n").next().unwrap();
    number.trim_start_matches(':').parse().unwrap()
}

#[tokio::test]
async fn a_lock_is_a_key_with_its_owner_that_ends_with_its_term() {
    let (server, one, _) = two_replicas().await;
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    one.acquire(&grant, &owner, TTL).await.unwrap();

    let key = format!("evergrant:lock:{grant}");
    assert!(server.command(&["GET", &key]).contains(owner.as_str()));
    let left = number(&server.command(&["PTTL", &key]));
    assert!((40_000..=45_000).contains(&left), "{left} ms left");

    one.release(&grant, &owner).await.unwrap();
    assert_eq!(number(&server.command(&["EXISTS", &key])), 0);
}

#[tokio::test]
async fn an_entry_is_sealed_and_kept_for_a_day() {
    let (server, one, _) = two_replicas().await;
    let kept = entry(&GrantId::random(), 7);
    one.put(&kept).await.unwrap();

    let key = format!("evergrant:escrow:{}", kept.grant);
    let left = number(&server.command(&["TTL", &key]));
    assert!((86_400..=90_000).contains(&left), "{left} s left");
    let value = server.command(&["GET", &key]);
    assert!(value.contains("7:"));
    for secret in ["refresh-7", "access-7", "example.com"] {
        assert!(!value.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn entries_are_counted_by_the_key_that_sealed_them() {
    let (server, one, _) = two_replicas().await;
    let count = async || escrow_key_use(&server.url(), "evergrant").await.unwrap();
    assert!(count().await.is_empty());
    for base in 1..=3 {
        one.put(&entry(&GrantId::random(), base)).await.unwrap();
    }
    let tracker = TaskTracker::new();
    let stop = CancellationToken::new();
    let other = RedisCoordinator::connect(&server.url(), "evergrant", sealer("k2"), &tracker, stop);
    let other = other.unwrap();
    is_up(&other).await;
    other
        .put(&entry(&GrantId::random(), 9_000_000_000))
        .await
        .unwrap();
    one.acquire(&GrantId::random(), &OwnerToken::random(), TTL)
        .await
        .unwrap();
    server.command(&["SET", "evergrant:escrow:strange", "7:strange"]);
    server.command(&["SET", "other:escrow:g", "7:strange"]);

    let counted = [("k1".to_owned(), 3), ("k2".to_owned(), 1)];
    assert_eq!(count().await, counted.into());
    let nowhere = RedisServer::stopped().url();
    let error = escrow_key_use(&nowhere, "evergrant").await.unwrap_err();
    assert!(
        error.to_string().starts_with("redis is out of reach: "),
        "{error}"
    );
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_none() {
    let (server, one, other) = two_replicas().await;
    let kept = entry(&GrantId::random(), 7);
    let keyless = RedisCoordinator::connect(
        &server.url(),
        "evergrant",
        sealer("k2"),
        &TaskTracker::new(),
        CancellationToken::new(),
    )
    .unwrap();
    is_up(&keyless).await;
    one.put(&kept).await.unwrap();
    assert_eq!(keyless.find(&kept.grant, kept.base).await, Ok(None));

    let key = format!("evergrant:escrow:{}", kept.grant);
    for strange in ["7:strange", "strange"] {
        server.command(&["SET", &key, strange]);
        assert_eq!(other.find(&kept.grant, kept.base).await, Ok(None));
        one.put(&kept).await.unwrap();
        let found = other.find(&kept.grant, kept.base).await;
        assert_eq!(found, Ok(Some(kept.clone())));
    }
}

#[tokio::test]
async fn an_entry_survives_the_replica_that_put_it() {
    let (server, one, other) = two_replicas().await;
    let kept = entry(&GrantId::random(), 7);
    one.put(&kept).await.unwrap();
    drop((one, other));

    let next = replica(&server.url());
    is_up(&next).await;
    assert_eq!(next.left_behind().await, Ok(Vec::new()));
    let found = next.find(&kept.grant, kept.base).await;
    assert_eq!(found, Ok(Some(kept.clone())));
}

#[tokio::test]
async fn a_flush_frees_the_lock_and_its_owner_learns_it() {
    let (server, one, other) = two_replicas().await;
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    one.acquire(&grant, &owner, TTL).await.unwrap();
    server.command(&["FLUSHALL"]);

    assert_eq!(one.renew(&grant, &owner, TTL).await, Ok(false));
    let next = OwnerToken::random();
    assert_eq!(other.acquire(&grant, &next, TTL).await, Ok(Acquired::Won));
    assert_eq!(one.release(&grant, &owner).await, Ok(false));
}

#[tokio::test]
async fn scripts_work_after_redis_forgot_them() {
    let (server, one, _) = two_replicas().await;
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    for _ in 0..2 {
        assert_eq!(one.acquire(&grant, &owner, TTL).await, Ok(Acquired::Won));
        server.command(&["SCRIPT", "FLUSH"]);
        assert_eq!(one.renew(&grant, &owner, TTL).await, Ok(true));
    }
}

#[tokio::test]
async fn a_password_opens_the_server_and_a_wrong_one_does_not() {
    let server = RedisServer::start_with_password("hush");
    let (good, bad) = (
        replica(&server.url_with_password("hush")),
        replica(&server.url_with_password("wrong")),
    );
    is_up(&good).await;
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    assert_eq!(good.acquire(&grant, &owner, TTL).await, Ok(Acquired::Won));
    let refused = bad.acquire(&grant, &owner, TTL).await.unwrap_err();
    assert!(!refused.to_string().contains("wrong"), "{refused}");
    assert!(!bad.is_up());
}
