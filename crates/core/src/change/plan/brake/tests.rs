use std::time::Duration;

use super::*;
use crate::change::plan::sample::{NOW, Scene, client, death, told, written};
use crate::grant::GrantState;

/// A grant of generation 5 that is being refreshed, and how other refreshes of its client ended.
fn scene(refused: u64, refreshed: u64) -> (Scene, GrantId) {
    let mut scene = Scene::new();
    let id = scene.grant(None, &["a"]);
    scene.lease(&id, 3);
    scene.0.refusals = Some(Refusals {
        client: client("main"),
        refused,
        refreshed,
        brake: None,
        held: 0,
    });
    (scene, id)
}

fn brake() -> Brake {
    Brake {
        client: client("main"),
        since: NOW,
        refused: 10,
        refreshed: 0,
        provider_error: "invalid_grant".into(),
        next_probe_at: NOW.plus(Duration::from_secs(90)),
    }
}

fn refused(scene: &Scene, id: &GrantId) -> Option<(ChangeSet, Refused)> {
    let invalidation = death("invalid_grant");
    refuse(&scene.0, id, Generation(5), Epoch(3), &invalidation)
}

#[test]
fn a_few_refusals_are_believed_and_counted() {
    for (others, refreshed) in [(0, 0), (8, 0), (500, 5_000)] {
        let (scene, id) = scene(others, refreshed);
        let (change, outcome) = refused(&scene, &id).unwrap();
        assert_eq!(outcome, Refused::Invalidated);
        assert_eq!(told(&change), ["a died"]);
        assert_eq!(written(&change), ["invalidate grant 5", "note refusal"]);
    }
}

#[test]
fn the_tenth_refusal_engages_the_brake_and_is_the_first_to_be_held() {
    let (scene, id) = scene(9, 20);
    let (change, outcome) = refused(&scene, &id).unwrap();
    assert_eq!(told(&change), ["ClientBraked"]);
    assert_eq!(
        written(&change),
        [
            "brake since 1700000000000ms",
            "hold grant 5",
            "note refusal"
        ]
    );
    let Refused::Held {
        failure,
        next_at,
        engaged: Some(brake),
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(failure.reason, FailureReason::ClientBraked);
    assert_eq!(next_at, NOW.plus(PROBE_EVERY));
    assert_eq!((brake.refused, brake.refreshed), (10, 20));
}

#[test]
fn a_further_refusal_is_held_whatever_the_count_and_takes_the_next_turn() {
    let (mut scene, id) = scene(0, 900);
    let refusals = scene.0.refusals.as_mut().unwrap();
    (refusals.brake, refusals.held) = (Some(brake()), 1);
    let (change, outcome) = refused(&scene, &id).unwrap();
    assert_eq!(told(&change), [""; 0]);
    let Refused::Held {
        next_at,
        engaged: None,
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(next_at, brake().next_probe_at);
    let next = |write: &Write| match write {
        Write::SetBrake(brake) => Some(brake.next_probe_at),
        _ => None,
    };
    assert_eq!(
        change.writes.iter().find_map(next),
        Some(next_at.plus(PROBE_EVERY))
    );
}

#[test]
fn a_brake_that_holds_nothing_any_more_ends_with_the_next_refusal() {
    let (mut scene, id) = scene(0, 0);
    scene.0.refusals.as_mut().unwrap().brake = Some(brake());
    let (change, outcome) = refused(&scene, &id).unwrap();
    assert_eq!(outcome, Refused::Invalidated);
    assert_eq!(told(&change), ["a died", "ClientReleased"]);
    assert_eq!(written(&change), ["invalidate grant 5", "release brake"]);
}

#[test]
fn a_refusal_through_a_derived_grant_counts_where_it_concerns_the_client_and_spares_it_while_braked()
 {
    let (mut scene, id) = scene(8, 0);
    let of_derived = |scene: &Scene| {
        refuse_derived(&scene.0, &id, Generation(5), &death("invalid_grant")).unwrap()
    };
    let (change, outcome) = of_derived(&scene);
    assert_eq!(outcome, RefusedMeans::Invalidated);
    assert_eq!(told(&change), ["a died"]);
    assert_eq!(written(&change), ["invalidate grant 5", "note refusal"]);

    scene.0.refusals.as_mut().unwrap().refused = 9;
    let (change, outcome) = of_derived(&scene);
    assert_eq!(told(&change), ["ClientBraked"]);
    assert_eq!(
        written(&change),
        ["brake since 1700000000000ms", "note refusal"]
    );
    let spared = |outcome: &RefusedMeans| match outcome {
        RefusedMeans::Spared { failure, engaged } => {
            assert_eq!(failure.reason, FailureReason::ClientBraked);
            engaged.is_some()
        }
        RefusedMeans::Invalidated => panic!("it is spared"),
    };
    assert!(spared(&outcome));

    let refusals = scene.0.refusals.as_mut().unwrap();
    (refusals.brake, refusals.held) = (Some(brake()), 1);
    let (change, outcome) = of_derived(&scene);
    assert_eq!((told(&change), spared(&outcome)), (Vec::new(), false));
    assert_eq!(written(&change), ["note refusal"]);

    scene.0.refusals = None;
    let (change, outcome) = of_derived(&scene);
    assert_eq!(outcome, RefusedMeans::Invalidated);
    assert_eq!(written(&change), ["invalidate grant 5"]);
}

// R6
#[test]
fn r6_a_refusal_under_an_old_lease_or_generation_neither_kills_nor_holds() {
    for others in [0, 50] {
        let (mut scene, id) = scene(others, 0);
        scene.lease(&id, 4);
        assert_eq!(refused(&scene, &id), None);
        scene.lease(&id, 3);
        scene.facts(&id).generation = Generation(6);
        assert_eq!(refused(&scene, &id), None);
    }
}

#[test]
fn a_release_is_told_once() {
    let (mut scene, _) = scene(10, 0);
    assert_eq!(release(&scene.0, &client("main")), None);
    let refusals = scene.0.refusals.as_mut().unwrap();
    (refusals.brake, refusals.held) = (Some(brake()), 4);
    let change = release(&scene.0, &client("main")).unwrap();
    assert_eq!(written(&change), ["release brake"]);
    let [EventBody::ClientReleased(event)] = &change.events[..] else {
        panic!("{:?}", change.events);
    };
    assert_eq!(event.retried, 4);
}

#[test]
fn a_held_grant_dies_as_its_provider_said_once_an_operator_believes_it() {
    let (mut scene, id) = scene(10, 0);
    assert_eq!(believe(&scene.0, &id), None);
    scene.facts(&id).state = GrantState::Suspect(death("invalid_grant"));
    let change = believe(&scene.0, &id).unwrap();
    assert_eq!(told(&change), ["a died"]);
    assert_eq!(written(&change), ["invalidate grant 5"]);
}
