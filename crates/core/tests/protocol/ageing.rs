//! What ends by itself: renewed in time where a refresh moves the end, told in time where none does.
//!
//! A year passes in the blink of an eye, with all its rounds of background work.

use std::collections::BTreeMap;

use evergrant_core::ageing::{Ahead, EndOf};
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::events::{EventBody, EventKind, ReauthorizationDue};
use evergrant_core::grant::{InvalidationReason, TokenSet};
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{Renewal, Rotation};
use evergrant_core::schedule::{Pace, Scheduler};
use evergrant_core::testing::clock::ManualClock;
use evergrant_core::testing::provider::Reuse;
use evergrant_core::testing::store::Op;

use super::rotation::again;
use super::world::{Replica, World, client, death_of, generation_of, refused, seconds};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

const PACE: Pace = Pace {
    interval: std::time::Duration::from_secs(HOUR),
    concurrency: 8,
    per_client: 100,
};

/// A replica that renews what is due and tells what ends.
pub(super) fn ageing(world: &World) -> Replica {
    let replica = world.replica();
    let scheduler = Scheduler::new(
        replica.broker.clone(),
        world.store.clone(),
        world.clock.clone(),
        PACE,
        replica.tracker.clone(),
    );
    replica.tracker.spawn(scheduler.run(replica.stop.clone()));
    let announcer = replica.broker.announcer(seconds(HOUR));
    replica.tracker.spawn(announcer.run(replica.stop.clone()));
    replica
}

pub(super) async fn stop(replica: &Replica) {
    replica.stop.cancel();
    replica.idle().await;
}

pub(super) async fn pass_days(days: u64) {
    tokio::time::sleep(seconds(days * DAY)).await;
}

/// A world whose access tokens never expire, and whose refresh tokens live for so many days.
fn endless_access(refresh_token_days: u64) -> World {
    let world = World::new();
    world.provider.set_lifetime(None);
    world
        .provider
        .set_refresh_lifetime(Some(seconds(refresh_token_days * DAY)));
    world
}

/// The same, where refresh tokens stay, and their end too.
fn fixed(refresh_token_days: u64) -> World {
    let world = endless_access(refresh_token_days);
    world.provider.set_reuse(Reuse::Allowed, Rotation::None);
    rule(&world, |renewal| renewal.end_moves = false);
    world
}

/// The same refresh token serves for ever, unless it is not used for so many days.
pub(super) fn kept_while_used(world: &World, days: u64) {
    world.provider.set_reuse(Reuse::Allowed, Rotation::None);
    rule(world, |renewal| {
        renewal.end_moves = false;
        renewal.refresh_token_idle = Some(seconds(days * DAY));
    });
}

pub(super) fn rule(world: &World, change: impl FnOnce(&mut Renewal)) {
    world
        .provider
        .set_profile(|profile| change(&mut profile.renewal));
}

/// What was told of ends that come near: the day on which it was, and the day of the end.
pub(super) async fn told(world: &World) -> Vec<(String, u64, u64)> {
    let day = |at: Timestamp| (at.since(ManualClock::START).as_secs() + HOUR) / DAY;
    let events = world.events().await.into_iter();
    events
        .filter_map(|event| match event.body {
            EventBody::ReauthorizationDue(due) => Some((
                due.credential.id.to_string(),
                day(event.at),
                day(due.due_at),
            )),
            _ => None,
        })
        .collect()
}

pub(super) fn of_a(expected: &[(u64, u64)]) -> Vec<(String, u64, u64)> {
    let expected = expected.iter();
    expected
        .map(|(told, ends)| ("a".to_owned(), *told, *ends))
        .collect()
}

// R54
#[tokio::test(start_paused = true)]
async fn a_grant_that_nobody_uses_is_refreshed_before_its_refresh_token_ends() {
    let world = endless_access(60);
    let key = world.connect("a").await;
    let replicas = [ageing(&world), ageing(&world)];
    pass_days(365).await;
    assert_eq!(world.calls(), 6, "every 53 to 57 days");
    assert!(world.is_active(&key).await);
    assert_eq!(world.kinds().await, []);
    for replica in &replicas {
        stop(replica).await;
    }
    world.check(&key).await;
}

// W27: such a refresh moves the end although it brings no new refresh token.
#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_ends_of_idleness_alone_is_used_in_time() {
    let world = endless_access(180);
    kept_while_used(&world, 180);
    let key = world.connect("a").await;
    let replica = ageing(&world);
    pass_days(3 * 365).await;
    assert_eq!(world.calls(), 6, "every 173 to 177 days");
    assert!(world.is_active(&key).await);
    stop(&replica).await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn the_margin_is_the_entrys_where_it_names_one() {
    let world = endless_access(60);
    rule(&world, |renewal| {
        renewal.refresh_token_margin = Some(seconds(20 * DAY));
    });
    let key = world.connect("a").await;
    let due_at = world.grant(&key).await.facts.dates.due_at.unwrap();
    let days = due_at.since(ManualClock::START).as_secs() / DAY;
    assert!((40..50).contains(&days), "due after {days} days");
}

#[tokio::test(start_paused = true)]
async fn an_access_token_that_expires_first_is_renewed_first() {
    let world = World::new();
    world.provider.set_refresh_lifetime(Some(seconds(60 * DAY)));
    let key = world.connect("a").await;
    let dates = world.grant(&key).await.facts.dates;
    assert!(dates.due_at < Some(world.clock.now().plus(seconds(HOUR))));
    let end = world.clock.now().plus(seconds(60 * DAY));
    assert_eq!((dates.renew_by, dates.end), (Some(end), None));
}

#[tokio::test(start_paused = true)]
async fn renewals_of_grants_that_were_connected_together_are_spread_over_days() {
    let world = endless_access(60);
    for name in 0..100 {
        world.connect(&format!("c{name}")).await;
    }
    pass_days(52).await;
    let replica = ageing(&world);
    let mut busiest = 0;
    for _ in 0..5 * 24 {
        let before = world.calls();
        tokio::time::sleep(seconds(HOUR)).await;
        busiest = busiest.max(world.calls() - before);
    }
    assert_eq!(world.calls(), 100);
    assert!(busiest <= 10, "{busiest} in an hour");
    stop(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_long_sleep_what_is_overdue_is_renewed_few_at_a_time() {
    let world = endless_access(60);
    for name in 0..200 {
        world.connect(&format!("c{name}")).await;
    }
    world.provider.set_latency(seconds(1));
    world.clock.shift(seconds(59 * DAY));
    let replica = ageing(&world);
    tokio::time::sleep(seconds(6 * HOUR)).await;
    assert_eq!(world.calls(), 200);
    assert!(world.provider.most_at_once() <= PACE.concurrency);
    stop(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_no_refresh_moves_is_told_30_7_and_1_days_ahead_once() {
    let world = fixed(90);
    let key = world.connect("a").await;
    let replicas = [ageing(&world), ageing(&world), ageing(&world)];
    pass_days(70).await;
    for replica in &replicas {
        stop(replica).await;
    }
    let restarted = [ageing(&world), ageing(&world)];
    pass_days(60).await;
    assert_eq!(told(&world).await, of_a(&[(60, 90), (83, 90), (89, 90)]));
    assert_eq!(world.calls(), 0, "nothing would come of a refresh");
    let facts = world.grant(&key).await.facts;
    assert_eq!(facts.dates.end.unwrap().of, EndOf::RefreshToken);
    assert_eq!(facts.announced, Some(Ahead::Day));

    let answer = restarted[0].ask(&key, refused(1)).await;
    assert_eq!(death_of(&answer), InvalidationReason::RefreshTokenExpired);
    assert_eq!(world.calls(), 1);
    for replica in &restarted {
        stop(replica).await;
    }
    world.check(&key).await;
}

// E1
#[tokio::test(start_paused = true)]
async fn e1_what_is_told_is_of_the_generation_and_names_the_end() {
    let world = fixed(20);
    let labels = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
    let key = world.connect("a").await;
    let replica = ageing(&world);
    let registry = replica.broker.registry();
    registry.update_labels(&key, &labels, None).await.unwrap();
    let due_at = ManualClock::START.plus(seconds(20 * DAY));
    pass_days(14).await;
    let EventBody::ReauthorizationDue(due) = world.events().await.pop().unwrap().body else {
        panic!("not what was to be told");
    };
    let expected = ReauthorizationDue {
        provider: client().provider,
        generation: world.grant(&key).await.facts.generation,
        credential: key,
        due_at,
        labels,
    };
    assert_eq!(due, expected);
    stop(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_with_little_left_are_told_of_once_and_not_for_every_step_that_has_passed() {
    let world = fixed(5);
    world.connect("a").await;
    let replica = ageing(&world);
    pass_days(3).await;
    assert_eq!(told(&world).await, of_a(&[(0, 5)]), "as of the week");
    pass_days(2).await;
    assert_eq!(told(&world).await, of_a(&[(0, 5), (4, 5)]));
    stop(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_begins_anew() {
    let world = fixed(40);
    let key = world.connect("a").await;
    let replica = ageing(&world);
    pass_days(35).await;
    assert_eq!(told(&world).await, of_a(&[(10, 40), (33, 40)]));
    let ask = again(&key, world.provider.consent("a"), &world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    assert_eq!(world.grant(&key).await.facts.announced, None);
    pass_days(40).await;
    let expected = [(10, 40), (33, 40), (45, 75), (68, 75), (74, 75)];
    assert_eq!(told(&world).await, of_a(&expected));
    stop(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn refreshes_do_not_tell_the_same_again() {
    let world = World::new();
    world.provider.set_reuse(Reuse::Allowed, Rotation::None);
    world.provider.set_lifetime(Some(seconds(12 * HOUR)));
    world.provider.set_refresh_lifetime(Some(seconds(40 * DAY)));
    rule(&world, |renewal| renewal.end_moves = false);
    let key = world.connect("a").await;
    let replicas = [ageing(&world), ageing(&world)];
    pass_days(45).await;
    assert_eq!(told(&world).await, of_a(&[(10, 40), (33, 40), (39, 40)]));
    assert!(world.generation(&key).await > 60);
    let died = world.kinds().await.pop();
    assert_eq!(died, Some(EventKind::CredentialInvalidated));
    for replica in &replicas {
        stop(replica).await;
    }
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_ends_for_good_is_refreshed_and_told_all_the_same() {
    let world = endless_access(60);
    rule(&world, |renewal| {
        renewal.grant_lifetime = Some(seconds(365 * DAY));
    });
    let key = world.connect("a").await;
    let replica = ageing(&world);
    pass_days(365).await;
    assert_eq!(world.calls(), 6);
    assert_eq!(
        told(&world).await,
        of_a(&[(335, 365), (358, 365), (364, 365)])
    );
    let facts = world.grant(&key).await.facts;
    assert_eq!(facts.dates.end.unwrap().of, EndOf::Grant);
    assert_eq!(facts.consented_at, ManualClock::START);
    stop(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn every_credential_that_shares_the_grant_is_told() {
    let world = fixed(40);
    let tokens = || world.provider.consent("a");
    world.connect_with("a", Some("acct"), tokens()).await;
    world.connect_with("b", Some("acct"), tokens()).await;
    let replica = ageing(&world);
    pass_days(12).await;
    let names: Vec<_> = told(&world).await.into_iter().map(|told| told.0).collect();
    assert_eq!(names, ["a", "b"]);
    stop(&replica).await;
}

async fn without_refresh_token(lifetime: u64) -> (World, CredentialKey) {
    let world = World::new();
    world.provider.set_lifetime(Some(seconds(lifetime)));
    let tokens = TokenSet {
        refresh_token: None,
        ..world.provider.consent("a")
    };
    let key = world.connect_with("a", None, tokens).await;
    (world, key)
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_access_token_is_told_only_as_long_ahead_as_it_lives() {
    for (days, expected) in [
        (365, vec![(335, 365), (358, 365), (364, 365)]),
        (20, vec![(13, 20), (19, 20)]),
        (3, vec![(2, 3)]),
    ] {
        let (world, key) = without_refresh_token(days * DAY).await;
        let replica = ageing(&world);
        pass_days(days + 1).await;
        assert_eq!(told(&world).await, of_a(&expected));
        assert!(!world.is_active(&key).await, "found dead at its end");
        stop(&replica).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_hour_long_access_token_is_not_told() {
    let (world, key) = without_refresh_token(HOUR).await;
    let replica = ageing(&world);
    pass_days(1).await;
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
    assert!(!world.is_active(&key).await);
    stop(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_now_is_told_when_the_store_is_back() {
    let world = fixed(40);
    world.connect("a").await;
    let replica = ageing(&world);
    pass_days(9).await;
    world.store.faults().set_down(true);
    pass_days(5).await;
    world.store.faults().set_down(false);
    world.store.faults().lose_next_answers(Op::Apply, 1);
    pass_days(1).await;
    assert_eq!(
        told(&world).await.len(),
        1,
        "an answer that was lost is no second event"
    );
    stop(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_has_passed_is_not_told() {
    let world = fixed(40);
    let key = world.connect("a").await;
    world.clock.shift(seconds(41 * DAY));
    let replica = ageing(&world);
    pass_days(2).await;
    assert_eq!(told(&world).await, []);
    assert_eq!(world.grant(&key).await.facts.dates.announce_at, None);
    assert_eq!(generation_of(&replica.token(&key).await), 1);
    stop(&replica).await;
}
