//! Tokens that renew themselves: not while they are young, and not once they have expired (R54, A93).

use evergrant_core::broker::Ask;
use evergrant_core::clock::Clock;
use evergrant_core::coordinator::{Escrow, EscrowEntry};
use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{InvalidationReason, TokenSet};
use evergrant_core::ids::{CredentialKey, Epoch};
use evergrant_core::secret::AccessToken;
use evergrant_core::testing::clock::ManualClock;

use super::ageing::{ageing, pass_days, rule, stop};
use super::world::{Replica, World, death_of, due, generation_of, reason_of, refused, seconds};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A provider of tokens of 60 days that are redeemed themselves, from the age of a day to their end.
async fn instagram() -> (World, Replica, CredentialKey) {
    let world = World::new();
    world.provider.set_lifetime(Some(seconds(60 * DAY)));
    rule(&world, |renewal| {
        renewal.self_renewing = true;
        renewal.min_age = Some(seconds(DAY));
        renewal.only_while_valid = true;
    });
    let key = world.connect("a").await;
    assert_eq!(world.grant(&key).await.tokens.refresh_token, None);
    let replica = world.replica();
    (world, replica, key)
}

// A93
#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_in_the_window_before_its_end_and_so_for_years() {
    let (world, _, key) = instagram().await;
    let dates = world.grant(&key).await.facts.dates;
    let end = ManualClock::START.plus(seconds(60 * DAY));
    let left = end.since(dates.due_at.unwrap()).as_secs() / DAY;
    assert!((10..14).contains(&left), "{left} days are left");
    assert_eq!((dates.renew_by, dates.end), (Some(end), None));
    let replica = ageing(&world);
    pass_days(2 * 365).await;
    assert!((14..=16).contains(&world.calls()), "{}", world.calls());
    assert!(world.is_active(&key).await);
    assert_eq!(world.kinds().await, []);
    stop(&replica).await;
}

// A93
#[tokio::test(start_paused = true)]
async fn a_token_with_plenty_of_life_is_left_alone() {
    let (world, replica, key) = instagram().await;
    let background = ageing(&world);
    pass_days(45).await;
    assert_eq!(generation_of(&replica.token(&key).await), 1);
    replica.idle().await;
    assert_eq!(world.calls(), 0);
    stop(&background).await;
}

// A93
#[tokio::test(start_paused = true)]
async fn a_caller_in_the_window_renews_it_in_the_background() {
    let (world, replica, key) = instagram().await;
    pass_days(50).await;
    assert_eq!(generation_of(&replica.token(&key).await), 1);
    replica.idle().await;
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert_eq!(world.calls(), 1);
}

// A93
#[tokio::test(start_paused = true)]
async fn an_expired_token_is_dead_without_a_call_and_told_once() {
    let (world, replica, key) = instagram().await;
    pass_days(60).await;
    for _ in 0..5 {
        let answer = replica.token(&key).await;
        assert_eq!(death_of(&answer), InvalidationReason::RefreshTokenExpired);
    }
    assert_eq!(world.calls(), 0);
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
}

// R5: a call that was made in time brings tokens after the end of the old one.
#[tokio::test(start_paused = true)]
async fn r5_a_token_that_expires_while_it_is_renewed_is_waited_for() {
    let (world, replica, key) = instagram().await;
    pass_days(50).await;
    let held = world.provider.hold_next_answer();
    assert_eq!(generation_of(&replica.token(&key).await), 1);
    held.reached().await;
    world.clock.shift(seconds(11 * DAY));
    let others = [world.replica().begin(&key), replica.begin(&key)];
    tokio::time::sleep(seconds(5)).await;
    held.release();
    for other in others {
        assert_eq!(generation_of(&other.await.unwrap()), 2);
    }
    replica.idle().await;
    assert_eq!(world.calls(), 1);
    assert_eq!(world.kinds().await, []);
    world.check(&key).await;
}

// R5
#[tokio::test(start_paused = true)]
async fn r5_what_lies_in_escrow_keeps_an_expired_token_from_being_the_end() {
    let (world, replica, key) = instagram().await;
    pass_days(50).await;
    let grant = world.grant(&key).await;
    let tokens = TokenSet {
        access_token: AccessToken::new("renewed in time".into()),
        expires_at: Some(world.clock.now().plus(seconds(60 * DAY))),
        ..grant.tokens
    };
    let entry = EscrowEntry {
        grant: grant.facts.id,
        base: grant.facts.generation,
        epoch: Epoch(0),
        tokens,
        issued_at: world.clock.now(),
    };
    world.coordinator.put(&entry).await.unwrap();
    pass_days(20).await;
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert_eq!(world.calls(), 0);
    assert_eq!(world.kinds().await, []);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn background_work_finds_an_expired_token_dead() {
    let (world, _, key) = instagram().await;
    world.clock.shift(seconds(61 * DAY));
    let replicas = [ageing(&world), ageing(&world)];
    pass_days(1).await;
    assert!(!world.is_active(&key).await);
    assert_eq!(world.calls(), 0);
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
    for replica in &replicas {
        stop(replica).await;
    }
}

// A93
#[tokio::test(start_paused = true)]
async fn a_young_token_that_is_refused_is_an_error_that_says_when_to_try_again() {
    let (world, replica, key) = instagram().await;
    world.clock.shift(seconds(HOUR));
    let old_enough = ManualClock::START.plus(seconds(DAY));
    let answer = replica.ask(&key, refused(1)).await;
    assert_eq!(reason_of(&answer), FailureReason::ProviderUnavailable);
    let Err(evergrant_core::broker::TokenError::Failed { failure, .. }) = answer else {
        unreachable!()
    };
    assert_eq!((failure.next_at, failure.cooling), (Some(old_enough), true));
    assert_eq!(generation_of(&replica.token(&key).await), 1);
    let facts = world.grant(&key).await.facts;
    let renewed = replica.broker.renew(&due(&facts)).await;
    assert!(matches!(
        renewed,
        evergrant_core::refresh::Outcome::Failed(_)
    ));
    assert_eq!(world.calls(), 0);

    world.clock.shift(seconds(23 * HOUR));
    assert_eq!(generation_of(&replica.ask(&key, refused(1)).await), 2);
    assert_eq!(world.calls(), 1);
    assert_eq!(world.kinds().await, []);
}

// A93
#[tokio::test(start_paused = true)]
async fn a_young_token_that_a_caller_needs_for_longer_is_handed_out_with_the_reason() {
    let (world, replica, key) = instagram().await;
    world.clock.shift(seconds(2 * HOUR));
    let ask = Ask {
        min_validity: seconds(60 * DAY - HOUR),
        ..Ask::default()
    };
    let answer = replica.ask(&key, ask).await.unwrap();
    assert_eq!(answer.live.grant.facts.generation.0, 1);
    let failure = answer.failure.unwrap();
    let old_enough = ManualClock::START.plus(seconds(DAY));
    assert_eq!((failure.next_at, failure.cooling), (Some(old_enough), true));
    assert_eq!(world.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_brought_with_less_life_than_the_least_age_is_renewed_before_it_ends() {
    let (world, _, _) = instagram().await;
    world.provider.set_lifetime(Some(seconds(12 * HOUR)));
    rule(&world, |renewal| renewal.min_age = None);
    let key = world.connect("old").await;
    rule(&world, |renewal| renewal.min_age = Some(seconds(DAY)));
    let due_at = world.grant(&key).await.facts.dates.due_at.unwrap();
    assert!(due_at < world.clock.now().plus(seconds(12 * HOUR)));
}
