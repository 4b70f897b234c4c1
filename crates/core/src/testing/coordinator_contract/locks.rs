//! The contract of [`Locks`].

use std::time::Duration;

use tokio::time::Instant;

use super::{PATIENCE, Pair};
use crate::coordinator::{Acquired, Locks};
use crate::ids::{GrantId, OwnerToken};

/// Makes a test of each claim about [`Locks`].
#[macro_export]
macro_rules! locks_contract {
    ($make:expr) => {
        mod locks_contract {
            use super::*;
            use $crate::testing::coordinator_contract::locks;

            #[tokio::test]
            async fn of_fifty_owners_one_wins() {
                locks::of_fifty_owners_one_wins($make.await).await;
            }

            #[tokio::test]
            async fn an_owner_wins_again() {
                locks::an_owner_wins_again($make.await).await;
            }

            #[tokio::test]
            async fn only_the_owner_renews_and_releases() {
                locks::only_the_owner_renews_and_releases($make.await).await;
            }

            #[tokio::test]
            async fn a_lock_expires() {
                locks::a_lock_expires($make.await).await;
            }

            #[tokio::test]
            async fn a_renewed_lock_outlives_its_first_term() {
                locks::a_renewed_lock_outlives_its_first_term($make.await).await;
            }

            #[tokio::test]
            async fn whoever_asks_learns_who_holds_a_lock() {
                locks::whoever_asks_learns_who_holds_a_lock($make.await).await;
            }

            #[tokio::test]
            async fn grants_do_not_share_a_lock() {
                locks::grants_do_not_share_a_lock($make.await).await;
            }
        }
    };
}

const TTL: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

/// People who ask why a refresh waits are told who is at it.
pub async fn whoever_asks_learns_who_holds_a_lock(pair: Pair<dyn Locks>) {
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    assert_eq!(pair.one.holder(&grant).await, Ok(None));
    let won = pair.one.acquire(&grant, &owner, TTL).await;
    assert_eq!(won, Ok(Acquired::Won));
    for locks in [&pair.one, &pair.other] {
        let Ok(Some(holder)) = locks.holder(&grant).await else {
            panic!("nobody holds it");
        };
        assert_eq!(holder.owner, owner);
        assert!(holder.left <= TTL && holder.left > TTL / 2);
        assert_eq!(locks.holder(&GrantId::random()).await, Ok(None));
    }
    assert_eq!(pair.one.release(&grant, &owner).await, Ok(true));
    assert_eq!(pair.other.holder(&grant).await, Ok(None));
}

/// Of any number of concurrent owners one wins, and the others learn for how long (A17).
pub async fn of_fifty_owners_one_wins(pair: Pair<dyn Locks>) {
    let grant = GrantId::random();
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..50 {
        let locks = if n % 2 == 0 { &pair.one } else { &pair.other }.clone();
        let grant = grant.clone();
        asking.spawn(async move { locks.acquire(&grant, &OwnerToken::random(), TTL).await });
    }
    let mut won = 0;
    while let Some(answer) = asking.join_next().await {
        match answer.expect("no panic").expect("in reach") {
            Acquired::Won => won += 1,
            Acquired::HeldElsewhere { left } => {
                assert!(!left.is_zero() && left <= TTL, "{left:?} left");
            }
        }
    }
    assert_eq!(won, 1);
}

/// A replayed command of the owner is recognised as its own.
pub async fn an_owner_wins_again(pair: Pair<dyn Locks>) {
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    for _ in 0..3 {
        let answer = pair.one.acquire(&grant, &owner, TTL).await;
        assert_eq!(answer, Ok(Acquired::Won));
    }
    assert_eq!(pair.one.release(&grant, &owner).await, Ok(true));
    let next = pair.other.acquire(&grant, &OwnerToken::random(), TTL).await;
    assert_eq!(next, Ok(Acquired::Won), "one release is enough");
}

/// R9; A114 and A115.
pub async fn only_the_owner_renews_and_releases(pair: Pair<dyn Locks>) {
    let (grant, owner, thief) = (
        GrantId::random(),
        OwnerToken::random(),
        OwnerToken::random(),
    );
    assert_eq!(pair.one.release(&grant, &owner).await, Ok(false));
    assert_eq!(pair.one.renew(&grant, &owner, TTL).await, Ok(false));

    let won = pair.one.acquire(&grant, &owner, TTL).await;
    assert_eq!(won, Ok(Acquired::Won));
    assert_eq!(pair.other.renew(&grant, &thief, TTL).await, Ok(false));
    assert_eq!(pair.other.release(&grant, &thief).await, Ok(false));
    assert!(is_held(&pair, &grant).await);

    assert_eq!(pair.one.renew(&grant, &owner, TTL).await, Ok(true));
    assert_eq!(pair.one.release(&grant, &owner).await, Ok(true));
    assert_eq!(pair.one.release(&grant, &owner).await, Ok(false));
}

/// An owner that vanishes blocks nobody for longer than its term, and loses what it held.
pub async fn a_lock_expires(pair: Pair<dyn Locks>) {
    let (grant, gone, next) = (
        GrantId::random(),
        OwnerToken::random(),
        OwnerToken::random(),
    );
    let won = pair.one.acquire(&grant, &gone, SHORT).await;
    assert_eq!(won, Ok(Acquired::Won));

    let begin = Instant::now();
    while pair.other.acquire(&grant, &next, TTL).await != Ok(Acquired::Won) {
        assert!(begin.elapsed() < PATIENCE, "the lock never expired");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(pair.one.renew(&grant, &gone, TTL).await, Ok(false));
    assert_eq!(pair.one.release(&grant, &gone).await, Ok(false));
    assert!(is_held(&pair, &grant).await, "the successor keeps its lock");
}

/// A113: renewing replaces the term, it does not wait for the old one.
pub async fn a_renewed_lock_outlives_its_first_term(pair: Pair<dyn Locks>) {
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    let won = pair.one.acquire(&grant, &owner, SHORT).await;
    assert_eq!(won, Ok(Acquired::Won));
    assert_eq!(pair.one.renew(&grant, &owner, TTL).await, Ok(true));
    tokio::time::sleep(SHORT * 2).await;
    assert!(is_held(&pair, &grant).await);
}

/// A110.
pub async fn grants_do_not_share_a_lock(pair: Pair<dyn Locks>) {
    for _ in 0..2 {
        let (grant, owner) = (GrantId::random(), OwnerToken::random());
        let answer = pair.one.acquire(&grant, &owner, TTL).await;
        assert_eq!(answer, Ok(Acquired::Won));
    }
}

async fn is_held(pair: &Pair<dyn Locks>, grant: &GrantId) -> bool {
    let answer = pair.other.acquire(grant, &OwnerToken::random(), TTL).await;
    matches!(answer, Ok(Acquired::HeldElsewhere { .. }))
}
