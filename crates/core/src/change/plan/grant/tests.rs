use super::*;
use crate::change::plan::sample::{
    NOW, Scene, client, death, key, labels, left, standing, tokens, told, written,
};
use crate::grant::{GrantState, InvalidationReason};
use crate::ids::{IntegrationKey, TenantId};
use crate::integration::IntegrationStatus;

fn die(scene: &Scene, id: &GrantId) -> Option<ChangeSet> {
    invalidate(&scene.0, id, Generation(5), None, death("token_revoked"))
}

fn live(scene: &Scene, id: &GrantId) -> Option<ChangeSet> {
    heal(
        &scene.0,
        id,
        Generation(5),
        tokens("new"),
        NOW,
        Dates::default(),
    )
}

// E1
#[test]
fn every_credential_of_a_dead_grant_is_told_with_what_depends_on_it() {
    let mut scene = Scene::new();
    let id = scene.grant(None, &["a", "b"]);
    scene.integration("i", &["a"]);
    let change = die(&scene, &id).unwrap();
    assert_eq!(
        written(&change),
        ["invalidate grant 5", "update i to Error"]
    );
    assert_eq!(told(&change), ["a died", "b died", "i Enabled -> Error"]);
    let EventBody::CredentialInvalidated(event) = &change.events[0] else {
        panic!();
    };
    assert_eq!(
        *event,
        CredentialInvalidated {
            credential: key("a"),
            provider: client("main").provider,
            generation: Generation(5),
            reason: InvalidationReason::GrantRevoked,
            provider_error: "token_revoked".into(),
            message: "the provider says so".into(),
            integrations: vec![IntegrationId::parse("i").unwrap()],
            at: NOW,
            labels: labels("a"),
        }
    );
}

#[test]
fn an_integration_in_error_names_the_credential_and_the_code() {
    let mut scene = Scene::new();
    let id = scene.grant(None, &["a"]);
    scene.integration("i", &["a"]);
    let change = die(&scene, &id).unwrap();
    let cause = "credential a was invalidated: token_revoked";
    assert_eq!(
        standing(&change, "i"),
        (IntegrationStatus::Error, cause.to_owned())
    );
    assert_eq!(left(&change, "i").status_changed_at, NOW);
    let EventBody::IntegrationStatusChanged(event) = &change.events[1] else {
        panic!();
    };
    assert_eq!(event.cause, cause);
}

#[test]
fn the_cause_that_is_stored_is_the_one_that_is_read_back() {
    let mut scene = Scene::new();
    let id = scene.grant(None, &["a"]);
    scene.integration("i", &["a"]);
    for reason in InvalidationReason::ALL {
        let invalidation = Invalidation {
            reason,
            ..death("")
        };
        let change = invalidate(&scene.0, &id, Generation(5), None, invalidation.clone());
        let stored = standing(&change.unwrap(), "i").1;
        let mut read = Scene::new();
        let dead = read.dead_grant(None, &["a"]);
        read.facts(&dead).state = crate::grant::GrantState::Invalidated(invalidation);
        read.integration("i", &["a"]);
        assert_eq!(read.0.integrations[0].cause, stored);
    }
}

#[test]
fn an_integration_that_is_off_busy_or_unfinished_does_not_follow() {
    let mut scene = Scene::new();
    let id = scene.grant(None, &["a"]);
    scene.integration_with("off", &["a"], |facts| facts.paused = true);
    scene.integration_with("busy", &["a"], |facts| facts.processing = true);
    scene.integration_with("unfinished", &["a"], |facts| facts.needs_config = true);
    let change = die(&scene, &id).unwrap();
    assert_eq!(told(&change), ["a died"]);
    assert_eq!(written(&change), ["invalidate grant 5"]);
}

#[test]
fn an_integration_that_needs_two_credentials_of_the_grant_follows_once() {
    let mut scene = Scene::new();
    let id = scene.grant(None, &["a", "b"]);
    scene.integration("i", &["a", "b"]);
    let change = die(&scene, &id).unwrap();
    assert_eq!(told(&change), ["a died", "b died", "i Enabled -> Error"]);
    assert_eq!(
        written(&change),
        ["invalidate grant 5", "update i to Error"]
    );
}

#[test]
fn an_integration_in_error_already_is_not_told_again() {
    let mut scene = Scene::new();
    scene.dead_grant(None, &["a"]);
    let id = scene.grant(None, &["b"]);
    scene.integration("i", &["a", "b"]);
    let change = die(&scene, &id).unwrap();
    assert_eq!(told(&change), ["b died"]);
    assert_eq!(written(&change), ["invalidate grant 5"]);
}

#[test]
fn an_integration_of_another_tenant_is_no_dependant() {
    let mut scene = Scene::new();
    let id = scene.grant(None, &["a"]);
    scene.integration("i", &["a"]);
    let other = TenantId::parse("t2").unwrap();
    let integration = &mut scene.0.integrations[0];
    integration.key = IntegrationKey {
        tenant: other,
        ..integration.key.clone()
    };
    let change = die(&scene, &id).unwrap();
    assert_eq!(told(&change), ["a died"]);
    let EventBody::CredentialInvalidated(event) = &change.events[0] else {
        panic!();
    };
    assert_eq!(event.integrations, []);
}

// R6
#[test]
fn what_is_dead_gone_or_newer_is_not_invalidated() {
    let mut scene = Scene::new();
    let dead = scene.dead_grant(None, &["a"]);
    let newer = scene.grant(None, &["b"]);
    scene.facts(&newer).generation = Generation(6);
    for id in [dead, newer, GrantId::random()] {
        assert_eq!(die(&scene, &id), None);
    }
}

// R6
#[test]
fn a_refusal_counts_only_under_the_latest_lease() {
    let mut scene = Scene::new();
    let id = scene.grant(None, &["a"]);
    let refused = |scene: &Scene| {
        let epoch = Some(Epoch(3));
        invalidate(&scene.0, &id, Generation(5), epoch, death("x")).is_some()
    };
    assert!(
        !refused(&scene),
        "the lease was given back by a later attempt"
    );
    scene.lease(&id, 4);
    assert!(!refused(&scene));
    scene.lease(&id, 3);
    assert!(refused(&scene));
    scene.lease(&id, 4);
    assert!(die(&scene, &id).is_some(), "a caller's word needs no lease");
}

// R7
#[test]
fn a_healed_grant_restores_its_credentials_and_what_needs_them() {
    let mut scene = Scene::new();
    let id = scene.dead_grant(None, &["a", "b"]);
    scene.integration("i", &["a"]);
    let change = live(&scene, &id).unwrap();
    assert_eq!(
        told(&change),
        ["a works as 6", "b works as 6", "i Error -> Enabled"]
    );
    assert_eq!(
        written(&change),
        ["store tokens 5 -> 6", "update i to Enabled"]
    );
    assert_eq!(standing(&change, "i").1, "");
}

#[test]
fn an_integration_stays_in_error_for_its_other_credential() {
    let mut scene = Scene::new();
    let id = scene.dead_grant(None, &["a"]);
    scene.dead_grant(None, &["b"]);
    scene.integration("i", &["a", "b"]);
    let change = live(&scene, &id).unwrap();
    assert_eq!(told(&change), ["a works as 6"]);
    let cause = "credential b was invalidated: token_revoked";
    assert_eq!(
        standing(&change, "i"),
        (IntegrationStatus::Error, cause.to_owned())
    );
    assert_ne!(left(&change, "i").status_changed_at, NOW);
}

#[test]
fn healing_a_grant_that_works_tells_nothing() {
    let mut scene = Scene::new();
    let id = scene.grant(None, &["a"]);
    scene.integration("i", &["a"]);
    let change = live(&scene, &id).unwrap();
    assert_eq!(told(&change), [""; 0]);
    assert_eq!(written(&change), ["store tokens 5 -> 6"]);
}

// R1
#[test]
fn what_is_gone_or_newer_is_not_healed() {
    let mut scene = Scene::new();
    let newer = scene.dead_grant(None, &["a"]);
    scene.facts(&newer).generation = Generation(6);
    for id in [newer, GrantId::random()] {
        assert_eq!(live(&scene, &id), None);
    }
}

#[test]
fn a_dead_grant_is_reported_once_and_its_death_is_told_to_nobody_again() {
    let mut scene = Scene::new();
    let id = scene.dead_grant(None, &["a"]);
    scene.integration("i", &["a"]);
    let said = |scene: &Scene, generation, reported| {
        let word = Invalidation {
            reported,
            ..death("stolen")
        };
        invalidate(&scene.0, &id, Generation(generation), None, word)
    };
    assert_eq!(said(&scene, 5, false), None, "it is nothing new");
    assert_eq!(said(&scene, 6, true), None, "it is of another generation");
    let change = said(&scene, 5, true).unwrap();
    assert_eq!(written(&change), ["report death 5"]);
    assert_eq!(told(&change), [""; 0]);

    let mut reported = death("token_revoked");
    reported.reported = true;
    scene.facts(&id).state = GrantState::Invalidated(reported);
    assert_eq!(said(&scene, 5, true), None);
    assert_eq!(live(&scene, &id), None, "it is not healed any more");
}
