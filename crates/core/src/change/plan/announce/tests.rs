use std::time::Duration;

use super::*;
use crate::ageing::{Ahead, Dates};
use crate::change::plan::sample::{NOW, Scene, death, key, labels, told, written};
use crate::clock::Timestamp;
use crate::grant::GrantState;

const FIXED: Renewal = Renewal {
    self_renewing: false,
    min_age: None,
    only_while_valid: false,
    refresh_token_margin: None,
    end_moves: false,
    refresh_token_idle: None,
    grant_lifetime: None,
    single_active_token: false,
};

fn in_days(days: u32) -> Timestamp {
    NOW.plus(Duration::from_secs(86_400) * days)
}

/// A grant whose refresh token ends in so many days, with the dates that were reckoned when it was stored.
fn ending(scene: &mut Scene, days: u32) -> GrantId {
    let id = scene.grant(None, &["a", "b"]);
    scene.facts(&id).refresh_expires_at = Some(in_days(days));
    let dates = Life::of(scene.facts(&id)).dates(&FIXED);
    scene.facts(&id).dates = dates;
    id
}

fn dates(change: &ChangeSet) -> (Dates, Option<Ahead>) {
    match &change.writes[..] {
        [
            Write::DateGrant {
                dates, announced, ..
            },
        ] => (*dates, *announced),
        other => panic!("{other:?}"),
    }
}

// E1
#[test]
fn every_credential_of_the_grant_is_told_and_the_step_is_remembered() {
    let mut scene = Scene::new();
    let id = ending(&mut scene, 30);
    let change = announce(&scene.0, &id, &FIXED).unwrap();
    assert_eq!(written(&change), ["date grant, 30 days announced"]);
    assert_eq!(told(&change), ["ReauthorizationDue", "ReauthorizationDue"]);
    let EventBody::ReauthorizationDue(due) = &change.events[0] else {
        panic!();
    };
    assert_eq!((&due.credential, &due.labels), (&key("a"), &labels("a")));
    assert_eq!(due.due_at, in_days(30));
    let (dates, _) = dates(&change);
    assert_eq!(dates.announce_at, Some(in_days(23)));
}

#[test]
fn what_has_been_told_and_what_is_not_due_yet_is_not_told() {
    for (days, announced) in [(31, None), (30, Some(Ahead::Month)), (5, Some(Ahead::Week))] {
        let mut scene = Scene::new();
        let id = ending(&mut scene, days);
        scene.facts(&id).announced = announced;
        let dates = Life::of(scene.facts(&id)).dates(&FIXED);
        scene.facts(&id).dates = dates;
        assert_eq!(announce(&scene.0, &id, &FIXED), None, "{days} days");
    }
}

#[test]
fn dates_that_are_wrong_are_put_right_without_a_word() {
    let mut scene = Scene::new();
    let id = ending(&mut scene, 40);
    scene.facts(&id).dates = Dates {
        announce_at: Some(NOW),
        ..Dates::default()
    };
    let change = announce(&scene.0, &id, &FIXED).unwrap();
    assert_eq!(told(&change), [""; 0]);
    assert_eq!(written(&change), ["date grant, 0 days announced"]);
    let (dates, _) = dates(&change);
    assert_eq!(dates.announce_at, Some(in_days(10)));
    assert!(dates.due_at.is_some(), "the access token expires");
}

#[test]
fn an_end_that_has_passed_is_forgotten_without_a_word() {
    let mut scene = Scene::new();
    let id = ending(&mut scene, 0);
    let change = announce(&scene.0, &id, &FIXED).unwrap();
    assert_eq!(told(&change), [""; 0]);
    assert_eq!(dates(&change).0.announce_at, None);
}

#[test]
fn of_a_dead_grant_and_of_none_nothing_is_told() {
    let mut scene = Scene::new();
    let id = ending(&mut scene, 5);
    scene.facts(&id).state = GrantState::Invalidated(death("token_revoked"));
    assert_eq!(announce(&scene.0, &id, &FIXED), None);
    assert_eq!(announce(&scene.0, &GrantId::random(), &FIXED), None);
}
