//! Databases that are slow, restart or go away.

use std::time::{Duration, Instant};

use evergrant_core::ids::{Generation, OwnerToken};
use evergrant_core::store::{Directory, GrantStore, Store, StoreError};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio::task::JoinSet;

use crate::harness::{Harness, first_change};

const LEASE: Duration = Duration::from_secs(45);

#[tokio::test]
async fn reads_survive_a_restart_that_takes_every_connection() {
    let harness = Harness::postgres().await;
    let (grant, change) = first_change();
    harness.store.apply(&change).await.unwrap();
    for _ in 0..3 {
        let reads: JoinSet<_> = (0..8)
            .map(|_| {
                let (store, grant) = (harness.store.clone(), grant.clone());
                async move { store.grant(&grant).await }
            })
            .collect();
        for read in reads.join_all().await {
            assert!(
                read.unwrap().is_some(),
                "many connections are open and well"
            );
        }
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'evergrant'";
        harness.execute(others).await;
        assert!(harness.store.grant(&grant).await.unwrap().is_some());
        let owner = OwnerToken::random();
        let generation = Generation::FIRST;
        let claimed = harness
            .store
            .claim(&grant, generation, &owner, Duration::ZERO)
            .await;
        assert!(
            claimed.unwrap().is_some(),
            "after a read, writes meet no dead connection either"
        );
    }
}

async fn a_locked_row_is_waited_for_only_so_long(harness: Harness, lock: &str) {
    let (grant, change) = first_change();
    harness.store.apply(&change).await.unwrap();
    let holder = harness.database.begin().await.unwrap();
    holder.execute_unprepared(lock).await.unwrap();

    let begun = Instant::now();
    let owner = OwnerToken::random();
    let claim = harness
        .store
        .claim(&grant, Generation::FIRST, &owner, LEASE)
        .await;
    assert!(
        matches!(claim, Err(StoreError::Unavailable(_))),
        "{claim:?}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(7),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        harness.store.grant(&grant).await.unwrap().is_some(),
        "reads go on"
    );

    holder.rollback().await.unwrap();
    let claim = harness
        .store
        .claim(&grant, Generation::FIRST, &owner, LEASE)
        .await;
    assert!(claim.unwrap().is_some());
}

#[tokio::test]
async fn a_lock_held_on_postgres_is_waited_for_only_so_long() {
    let lock = "SELECT id FROM grants FOR UPDATE";
    a_locked_row_is_waited_for_only_so_long(Harness::postgres().await, lock).await;
}

#[tokio::test]
async fn a_lock_held_on_sqlite_is_waited_for_only_so_long() {
    let lock = "UPDATE event_log SET floor = floor";
    a_locked_row_is_waited_for_only_so_long(Harness::sqlite().await, lock).await;
}

#[tokio::test]
async fn a_caller_who_goes_away_neither_halves_a_change_nor_blocks_the_next() {
    let harness = Harness::sqlite().await;
    let (grant, change) = first_change();
    {
        let mut apply = Box::pin(harness.store.apply(&change));
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(apply.as_mut().poll(context)));
        assert!(polled.await.is_pending());
    }
    let (other, mut next) = first_change();
    next.writes.truncate(1);
    next.revision = 1;
    harness.store.apply(&next).await.unwrap();
    for id in [&grant, &other] {
        assert!(harness.store.grant(id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_closed_store_answers_that_it_is_out_of_reach() {
    for harness in [Harness::sqlite().await, Harness::postgres().await] {
        harness.store.close().await;
        let ping = harness.store.ping().await;
        assert!(matches!(ping, Err(StoreError::Unavailable(_))), "{ping:?}");
    }
}
