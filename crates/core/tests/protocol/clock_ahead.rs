//! A replica whose clock is ahead of the database's ends no grant for the others.

use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::CredentialKey;
use tokio::time::Instant;

use super::ageing::rule;
use super::world::{World, death_of, due, generation_of, reason_of, refused, seconds};

const DAY: u64 = 86_400;

/// A world with the credential `a`, whose token lives for an hour and cannot be renewed.
async fn without_refresh_token() -> (World, CredentialKey) {
    let world = World::new();
    let mut tokens = world.provider.consent("a");
    tokens.refresh_token = None;
    let key = world.connect_with("a", None, tokens).await;
    (world, key)
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_by_one_clock_alone_is_not_dead() {
    let (world, key) = without_refresh_token().await;
    let ahead = world.replica_ahead(seconds(3_610));
    let answer = ahead.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::Internal);
    ahead
        .broker
        .renew(&due(&world.grant(&key).await.facts))
        .await;
    assert_eq!(world.kinds().await, []);
    assert_eq!(generation_of(&world.replica().token(&key).await), 1);

    world.expire();
    let answer = ahead.token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::NotRefreshable);
    assert_eq!(
        world.kinds().await,
        [EventKind::CredentialInvalidated],
        "by both clocks"
    );
    assert_eq!(world.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_hardly_ahead_waits_for_the_other() {
    let (world, key) = without_refresh_token().await;
    world.clock.shift(seconds(3_599));
    let began = Instant::now();
    let answer = world.replica_ahead(seconds(2)).token(&key).await;
    assert_eq!(death_of(&answer), InvalidationReason::NotRefreshable);
    assert_eq!(began.elapsed(), seconds(1));
    let died_at = world.events().await[0].at;
    assert!(Some(died_at) >= world.grant(&key).await.facts.expires_at);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_a_caller_saw_refused_needs_no_clock() {
    let (world, key) = without_refresh_token().await;
    let ahead = world.replica_ahead(seconds(3_610));
    let answer = ahead.ask(&key, refused(1)).await;
    assert_eq!(death_of(&answer), InvalidationReason::NotRefreshable);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_renews_itself_is_still_renewed_where_it_has_ended_by_one_clock_alone() {
    let world = World::new();
    world.provider.set_lifetime(Some(seconds(60 * DAY)));
    rule(&world, |renewal| {
        renewal.self_renewing = true;
        renewal.only_while_valid = true;
    });
    let key = world.connect("a").await;
    world.clock.shift(seconds(50 * DAY));
    let ahead = world.replica_ahead(seconds(11 * DAY));
    assert_eq!(generation_of(&ahead.token(&key).await), 2);
    assert_eq!(world.kinds().await, []);
    ahead.idle().await;
    world.check(&key).await;
}
