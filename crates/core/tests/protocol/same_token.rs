//! A refresh token is brought that a grant holds already: what it is about to be exchanged for is not lost.

use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{InvalidationReason, TokenSet};
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{Rotation, Verdict};
use evergrant_core::testing::provider::{Reuse, failure};
use evergrant_core::testing::store::Op;
use tokio_util::task::TaskTracker;

use super::doomed::Doomed;
use super::replica::Replica;
use super::rotation::again;
use super::world::{World, client, death_of, generation_of, reason_of, refused};

/// A replica with the credential `a`, whose token has expired, and a copy of its tokens.
async fn copied() -> (World, Replica, CredentialKey, TokenSet) {
    let (world, replica, key) = World::with_expired().await;
    let copy = world.grant(&key).await.tokens;
    (world, replica, key, copy)
}

async fn reconnect(world: &World, key: &CredentialKey, tokens: TokenSet) {
    let ask = again(key, tokens, world);
    let registry = world.replica().broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
}

/// Both have the tokens of one grant, the provider saw each refresh token once, and the next refresh works.
async fn thrive(world: &World, replica: &Replica, one: &CredentialKey, other: &CredentialKey) {
    replica.idle().await;
    for _ in 0..2 {
        let first = replica.token(one).await.unwrap().live;
        let second = replica.token(other).await.unwrap().live;
        assert_eq!(first.grant.facts.id, second.grant.facts.id);
        assert_eq!(first.grant.tokens, second.grant.tokens);
        world.expire();
    }
    replica.idle().await;
    let calls = world.provider.calls();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0].refresh_token, calls[1].refresh_token);
    assert!(world.store.orphans().is_empty());
    assert_eq!(world.events().await, []);
    world.check(one).await;
}

#[tokio::test(start_paused = true)]
async fn r1_a_successor_on_its_way_is_not_lost_to_a_new_credential_with_the_spent_token() {
    let (world, replica, key, copy) = copied().await;
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    let other = world.connect_with("b", None, copy).await;
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    thrive(&world, &replica, &key, &other).await;
}

// The answer has come, and is not stored yet.
#[tokio::test(start_paused = true)]
async fn r1_a_successor_that_is_about_to_be_stored_is_not_lost() {
    let (world, replica, key, copy) = copied().await;
    let commit = world.store.faults().hold_next(Op::Commit);
    let caller = replica.begin(&key);
    commit.reached().await;
    let other = world.connect_with("b", Some("acct"), copy).await;
    commit.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    let account = world.grant(&key).await.facts.account;
    assert_eq!(account.as_deref(), Some("acct"));
    thrive(&world, &replica, &key, &other).await;
}

#[tokio::test(start_paused = true)]
async fn r1_a_successor_on_its_way_is_not_lost_to_a_reconnect_with_the_spent_token() {
    let (world, replica, key, copy) = copied().await;
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    reconnect(&world, &key, copy.clone()).await;
    let other = world.connect_with("b", None, copy).await;
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    thrive(&world, &replica, &key, &other).await;
}

// The attempt begins after the plan was made, and before its change is applied.
#[tokio::test(start_paused = true)]
async fn r1_a_reconnect_that_an_attempt_overtakes_leaves_the_tokens_to_it() {
    let (world, replica, key, copy) = copied().await;
    let apply = world.store.faults().hold_next(Op::Apply);
    let ask = again(&key, copy.clone(), &world);
    let registry = world.replica().broker.registry();
    let late = TaskTracker::new();
    let late = late.spawn(async move { registry.reconnect(&ask, &client()).await.unwrap() });
    apply.reached().await;
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    apply.release();
    late.await.unwrap();
    let other = world.connect_with("b", None, copy).await;
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    thrive(&world, &replica, &key, &other).await;
}

#[tokio::test(start_paused = true)]
async fn a_doubt_about_a_refresh_token_that_is_brought_again_is_not_forgotten() {
    for join in [true, false] {
        let (world, replica, key, copy) = copied().await;
        let held = world.provider.hold_next_answer();
        let doomed = Doomed::begin(&world, &key).await;
        held.reached().await;
        doomed.crash().await;
        if join {
            world.connect_with("b", None, copy).await;
        } else {
            reconnect(&world, &key, copy).await;
        }
        let answer = replica.token(&key).await;
        assert_eq!(death_of(&answer), InvalidationReason::RotationLost);
        world.check(&key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_copy_replaces_no_token_that_works() {
    let (world, replica, key, copy) = copied().await;
    world.provider.set_reuse(Reuse::Allowed, Rotation::None);
    let fresh = replica.token(&key).await.unwrap().live;
    let other = world.connect_with("b", None, copy.clone()).await;
    for key in [&key, &other] {
        reconnect(&world, key, copy.clone()).await;
        let live = replica.token(key).await.unwrap().live;
        assert_eq!(live.grant.tokens, fresh.grant.tokens);
    }
    assert_eq!(world.calls(), 1);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_moves_from_a_later_generation_brings_no_old_token() {
    let world = World::new();
    world.provider.set_reuse(Reuse::Allowed, Rotation::None);
    let (holder, mover) = (world.connect("a").await, world.connect("b").await);
    let copy = world.grant(&holder).await.tokens;
    world.expire();
    let replica = world.replica();
    let fresh = replica.token(&holder).await.unwrap().live;
    replica.token(&mover).await.unwrap();
    let later = replica.ask(&mover, refused(2)).await;
    assert_eq!(generation_of(&later), 3);
    replica.idle().await;

    let ask = again(&mover, copy, &world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    for key in [&holder, &mover] {
        let live = replica.token(key).await.unwrap().live;
        assert_eq!(live.grant.tokens, fresh.grant.tokens);
        assert_eq!(live.grant.facts.generation.0, 4);
        assert_eq!(live.grant.facts.issued_at, fresh.grant.facts.issued_at);
        assert_eq!(live.grant.facts.dates, fresh.grant.facts.dates);
    }
    assert_eq!(world.calls(), 3);
    world.check(&holder).await;
}

#[tokio::test(start_paused = true)]
async fn a_cool_down_ends_when_the_tokens_are_brought_again() {
    let (world, replica, key, copy) = copied().await;
    world.connect_with("b", None, copy.clone()).await;
    world
        .provider
        .answer_next(Err(failure(Verdict::RateLimit, "slow_down")));
    for _ in 0..2 {
        let limited = replica.token(&key).await;
        assert_eq!(reason_of(&limited), FailureReason::ProviderRateLimited);
    }
    assert_eq!(world.calls(), 1);
    let ask = again(&key, copy, &world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.check(&key).await;
}
