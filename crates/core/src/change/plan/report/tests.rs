use super::*;
use crate::change::plan::sample::{NOW, Scene, client, told, written};
use crate::events::EventBody;
use crate::grant::InvalidationReason;
use crate::ids::ReceiverName;
use crate::report::{DeliveryId, Subject};

fn news() -> Report {
    Report {
        delivery: DeliveryId::new(ReceiverName::parse("acme").unwrap(), "1"),
        provider: client("main").provider,
        client: None,
        subjects: vec![Subject::Account("T1".into())],
        reason: InvalidationReason::AccessDenied,
        event: "account-disabled".into(),
        message: "acme says so".into(),
        happened_at: None,
    }
}

#[test]
fn every_grant_of_the_account_dies_in_one_change_that_remembers_the_delivery() {
    let mut scene = Scene::new();
    scene.grant(Some("T1"), &["a"]);
    scene.grant(Some("T1"), &["b"]);
    scene.integration("i", &["a", "b"]);
    let (change, done) = report(&scene.0, &news(), 3).unwrap();
    let both = Reported {
        grants: 2,
        credentials: 2,
    };
    assert_eq!(done, (both, true));
    let mut written = written(&change);
    written.sort();
    assert_eq!(
        written,
        [
            "invalidate grant 5",
            "invalidate grant 5",
            "remember a delivery",
            "update i to Error",
        ]
    );
    assert_eq!(told(&change), ["a died", "b died", "i Enabled -> Error"]);
    let EventBody::CredentialInvalidated(event) = &change.events[0] else {
        panic!();
    };
    assert_eq!(event.reason, InvalidationReason::AccessDenied);
    assert_eq!(event.provider_error, "account-disabled");
    assert_eq!(event.at, NOW);
}

#[test]
fn a_part_does_not_remember_the_delivery() {
    let mut scene = Scene::new();
    scene.grant(Some("T1"), &["a"]);
    let (change, (_, whole)) = report(&scene.0, &news(), 1).unwrap();
    assert!(!whole);
    assert_eq!(written(&change), ["invalidate grant 5"]);
}

#[test]
fn an_account_that_nobody_knows_is_remembered_and_told_to_nobody() {
    let (change, done) = report(&Scene::new().0, &news(), 1).unwrap();
    assert_eq!(done, (Reported::default(), true));
    assert_eq!(written(&change), ["remember a delivery"]);
    assert!(change.events.is_empty());
}

#[test]
fn a_delivery_that_is_remembered_changes_nothing() {
    let mut scene = Scene::new();
    scene.grant(Some("T1"), &["a"]);
    scene.0.delivered = true;
    assert_eq!(report(&scene.0, &news(), 9), None);
}

#[test]
fn one_that_was_found_dead_is_reported_and_not_counted() {
    let mut scene = Scene::new();
    scene.dead_grant(Some("T1"), &["a"]);
    scene.grant(Some("T1"), &["b", "c"]);
    let (change, (done, _)) = report(&scene.0, &news(), 9).unwrap();
    assert_eq!((done.grants, done.credentials), (1, 2));
    assert_eq!(told(&change), ["b died", "c died"]);
    assert_eq!(
        written(&change),
        [
            "invalidate grant 5",
            "remember a delivery",
            "report death 5"
        ]
    );
}

#[test]
fn what_was_derived_is_forgotten_and_does_not_count() {
    let mut scene = Scene::new();
    let parent = scene.grant(Some("T1"), &["a"]);
    let derived = scene.grant(None, &[]);
    scene.facts(&derived).parent = Some(parent);
    let (change, (done, _)) = report(&scene.0, &news(), 9).unwrap();
    assert_eq!((done.grants, done.credentials), (1, 1));
    assert_eq!(
        written(&change),
        ["delete grant", "invalidate grant 5", "remember a delivery"]
    );
}
