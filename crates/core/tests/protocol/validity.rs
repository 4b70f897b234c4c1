//! How long a token must be good for, and what happens where it cannot be renewed (R11).

use evergrant_core::broker::{Ask, TokenError};
use evergrant_core::clock::Clock;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{InvalidationReason, TokenSet};
use evergrant_core::provider::Rotation;
use evergrant_core::refresh::{Failure, Outcome};
use evergrant_core::testing::provider::Reuse;
use evergrant_core::testing::store::Op;

use super::world::{World, death_of, due, generation_of, key, reason_of, refused, seconds};

fn lasting(min_validity: u64) -> Ask {
    Ask {
        min_validity: seconds(min_validity),
        ..Ask::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_for_a_caller_that_needs_it_for_longer() {
    let (world, replica, key) = World::with_fresh().await;
    world.clock.shift(seconds(1_800));
    assert_eq!(generation_of(&replica.ask(&key, lasting(1_800)).await), 1);
    assert_eq!(world.calls(), 0);
    let answer = replica.ask(&key, lasting(1_801)).await;
    assert_eq!(generation_of(&answer), 2);
    let live = answer.unwrap().live;
    assert!(
        live.validity
            .is_valid(world.clock.now().plus(seconds(1_801)))
    );
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_demand_that_no_token_can_meet_is_not_a_call_for_each_request() {
    let (world, replica, key) = World::with_fresh().await;
    for _ in 0..50 {
        replica.ask(&key, lasting(1_000_000)).await.unwrap();
    }
    assert!(world.calls() <= 1, "{} calls", world.calls());
}

// R11
#[tokio::test(start_paused = true)]
async fn r11_an_expired_token_is_never_handed_out() {
    let (world, replica, key) = World::with_fresh().await;
    replica.token(&key).await.unwrap();
    world.expire();
    world.store.faults().set_down(true);
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_expiry_is_good_until_it_is_refused() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.set_lifetime(None);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.clock.shift(seconds(1_000_000_000));
    assert_eq!(
        generation_of(&replica.ask(&key, lasting(1_000_000)).await),
        2
    );
    assert_eq!(world.calls(), 1);
    assert_eq!(generation_of(&replica.ask(&key, refused(2)).await), 3);
}

async fn with_tokens(change: impl FnOnce(&mut TokenSet)) -> World {
    let world = World::new();
    let mut tokens = world.provider.consent("a");
    change(&mut tokens);
    world.connect_with("a", None, tokens).await;
    world
}

// B15, B16, C50
#[tokio::test(start_paused = true)]
async fn a_token_without_a_refresh_token_is_served_to_its_end_and_then_its_grant_is_dead() {
    let world = with_tokens(|tokens| tokens.refresh_token = None).await;
    let replica = world.replica();
    world.make_due();
    for _ in 0..5 {
        assert_eq!(generation_of(&replica.token(&key("a")).await), 1);
        assert_eq!(generation_of(&replica.ask(&key("a"), lasting(60)).await), 1);
    }
    world.expire();
    for _ in 0..5 {
        let answer = replica.token(&key("a")).await;
        assert_eq!(death_of(&answer), InvalidationReason::NotRefreshable);
    }
    assert_eq!(world.calls(), 0);
    assert_eq!(world.kinds().await.len(), 1);
    world.check(&key("a")).await;
}

// R6: a clock may be wrong, and so may what a vendor says of its tokens.
#[tokio::test(start_paused = true)]
async fn r6_a_refresh_token_that_reached_its_end_is_sent_once_before_that_is_believed() {
    let world = with_tokens(|tokens| tokens.refresh_expires_at = tokens.expires_at).await;
    let replica = world.replica();
    world.expire();
    world.provider.revoke("a");
    for _ in 0..5 {
        let answer = replica.token(&key("a")).await;
        assert_eq!(death_of(&answer), InvalidationReason::RefreshTokenExpired);
    }
    assert_eq!(world.calls(), 1);
    assert_eq!(world.kinds().await.len(), 1);
    world.check(&key("a")).await;
}

#[tokio::test(start_paused = true)]
async fn r5_a_refresh_token_that_works_after_its_end_has_none() {
    let world = with_tokens(|tokens| tokens.refresh_expires_at = tokens.expires_at).await;
    world.provider.set_reuse(Reuse::Allowed, Rotation::None);
    world
        .provider
        .set_profile(|profile| profile.renewal.end_moves = false);
    let replica = world.replica();
    world.expire();
    assert_eq!(generation_of(&replica.token(&key("a")).await), 2);
    let facts = world.grant(&key("a")).await.facts;
    assert_eq!((facts.refresh_expires_at, facts.dates.end), (None, None));
    assert_eq!(world.kinds().await, []);
    world.check(&key("a")).await;
}

#[tokio::test(start_paused = true)]
async fn r10_a_credential_of_an_unknown_client_fails_and_is_not_harmed() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.forget_clients();
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::UnknownClient);
    assert!(world.is_active(&key).await);
    assert_eq!(world.calls(), 0);
}

// C76
#[tokio::test(start_paused = true)]
async fn a_credential_of_an_unknown_client_is_answered_for_as_long_as_its_token_is_valid() {
    let (world, replica, key) = World::with_fresh().await;
    let facts = world.grant(&key).await.facts;
    world.provider.forget_clients();
    let fresh = replica.token(&key).await.unwrap();
    assert_eq!(fresh.failure, None);
    for passed in [3_300, 280] {
        world.clock.shift(seconds(passed));
        let old = replica.token(&key).await.unwrap();
        assert_eq!(old.live.grant.facts.generation, facts.generation);
        assert_eq!(old.failure.unwrap().reason, FailureReason::UnknownClient);
        let refused = replica.ask(&key, refused(1)).await;
        assert_eq!(reason_of(&refused), FailureReason::UnknownClient);
    }
    world.expire();
    let over = replica.token(&key).await;
    assert_eq!(reason_of(&over), FailureReason::UnknownClient);
    let renewed = replica.broker.renew(&due(&facts)).await;
    let unknown = |failure: &Failure| failure.reason == FailureReason::UnknownClient;
    assert!(matches!(renewed, Outcome::Failed(failure) if unknown(&failure)));
    assert_eq!(world.calls(), 0);
    let claims = world.store.faults().calls(Op::Claim);
    assert_eq!(claims, 0, "nothing is written");
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_does_not_exist_is_said_not_to() {
    let replica = World::new().replica();
    let missing = key("missing");
    let answer = replica.token(&missing).await;
    assert_eq!(answer.unwrap_err(), TokenError::NotFound(missing));
}
