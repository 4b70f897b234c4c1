use super::*;
use crate::change::plan::sample::{
    NOW, Scene, credential_id, integration_key, key, labels, left, told, written,
};
use crate::integration::IntegrationStatus::{Disabled, Enabled, Error, NeedsConfig, Processing};

fn needing(names: &[&str]) -> IntegrationUpdate {
    IntegrationUpdate {
        credentials: Some(names.iter().map(|name| credential_id(name)).collect()),
        ..IntegrationUpdate::default()
    }
}

fn update(scene: &Scene, update: &IntegrationUpdate) -> ChangeSet {
    update_integration(&scene.0, &integration_key("i"), update)
        .unwrap()
        .0
}

#[test]
fn a_new_integration_stands_as_its_credentials_do_and_is_not_told() {
    let mut scene = Scene::new();
    scene.grant(None, &["good"]);
    scene.dead_grant(None, &["bad"]);
    for (needs, status, cause) in [
        (&[][..], Enabled, ""),
        (&["good"], Enabled, ""),
        (
            &["good", "bad"],
            Error,
            "credential bad was invalidated: token_revoked",
        ),
    ] {
        let created = create_integration(&scene.0, &integration_key("i"), &needing(needs));
        let (change, integration) = created.unwrap();
        assert_eq!((integration.status, &*integration.cause), (status, cause));
        assert_eq!(integration.version, 1);
        assert_eq!(told(&change), [""; 0]);
        assert_eq!(written(&change), ["insert i"]);
    }
}

#[test]
fn each_credential_is_needed_once_and_they_come_in_order() {
    let mut scene = Scene::new();
    scene.grant(None, &["a", "b"]);
    let new = needing(&["b", "a", "b"]);
    let (_, integration) = create_integration(&scene.0, &integration_key("i"), &new).unwrap();
    let needs = integration.facts.needs.iter();
    let names: Vec<_> = needs.map(|need| need.credential.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_credential_that_is_not_there_cannot_be_needed() {
    let mut scene = Scene::new();
    scene.integration("i", &[]);
    assert_eq!(
        create_integration(&scene.0, &integration_key("new"), &needing(&["x"])),
        Err(CreateIntegrationError::CredentialNotFound(key("x")))
    );
    assert_eq!(
        update_integration(&scene.0, &integration_key("i"), &needing(&["x"])),
        Err(UpdateIntegrationError::CredentialNotFound(key("x")))
    );
}

#[test]
fn a_need_whose_credential_was_deleted_may_stay() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    scene.integration("i", &["a", "x"]);
    let change = update(&scene, &needing(&["a", "x"]));
    assert_eq!(left(&change, "i").cause, "credential x was deleted");
    assert_eq!(told(&change), [""; 0]);
}

#[test]
fn a_name_is_taken_or_unknown() {
    let mut scene = Scene::new();
    scene.integration("i", &[]);
    let (taken, unknown) = (integration_key("i"), integration_key("j"));
    assert_eq!(
        create_integration(&scene.0, &taken, &IntegrationUpdate::default()),
        Err(CreateIntegrationError::Exists(taken.clone()))
    );
    assert_eq!(
        update_integration(&scene.0, &unknown, &IntegrationUpdate::default()),
        Err(UpdateIntegrationError::NotFound(unknown.clone()))
    );
    let deleted = delete_integration(&scene.0, &taken).unwrap();
    assert_eq!(written(&deleted), ["delete i"]);
    assert_eq!(told(&deleted), [""; 0]);
    assert_eq!(delete_integration(&scene.0, &unknown), None);
}

#[test]
fn an_update_of_an_older_version_is_refused() {
    let mut scene = Scene::new();
    scene.integration("i", &[]);
    let of_version = |version| IntegrationUpdate {
        version: Some(version),
        ..IntegrationUpdate::default()
    };
    assert_eq!(
        update_integration(&scene.0, &integration_key("i"), &of_version(2)),
        Err(UpdateIntegrationError::EtagMismatch(integration_key("i")))
    );
    assert_eq!(
        written(&update(&scene, &of_version(3))),
        ["update i to Enabled"]
    );
}

#[test]
fn what_its_owner_does_is_told_as_the_owners_doing() {
    let paused = IntegrationUpdate {
        paused: Some(true),
        ..IntegrationUpdate::default()
    };
    let unfinished = IntegrationUpdate {
        needs_config: Some(true),
        ..IntegrationUpdate::default()
    };
    let running = IntegrationUpdate {
        processing: Some(true),
        ..IntegrationUpdate::default()
    };
    for (ask, status) in [
        (paused, Disabled),
        (unfinished, NeedsConfig),
        (running, Processing),
    ] {
        let mut scene = Scene::new();
        scene.integration("i", &[]);
        let change = update(&scene, &ask);
        assert_eq!(told(&change), [format!("i Enabled -> {status:?}")]);
        let EventBody::IntegrationStatusChanged(event) = &change.events[0] else {
            panic!();
        };
        assert_eq!(event.cause, "its owner changed it");
        assert_eq!(left(&change, "i").status_changed_at, NOW);
    }
}

#[test]
fn an_error_that_a_run_hid_shows_when_the_run_ends() {
    let mut scene = Scene::new();
    scene.dead_grant(None, &["a"]);
    scene.integration_with("i", &["a"], |facts| facts.processing = true);
    let ended = IntegrationUpdate {
        processing: Some(false),
        ..IntegrationUpdate::default()
    };
    let change = update(&scene, &ended);
    assert_eq!(told(&change), ["i Processing -> Error"]);
    let EventBody::IntegrationStatusChanged(event) = &change.events[0] else {
        panic!();
    };
    assert_eq!(event.cause, "credential a was invalidated: token_revoked");
}

#[test]
fn an_integration_that_drops_its_dead_credential_works() {
    let mut scene = Scene::new();
    scene.grant(None, &["good"]);
    scene.dead_grant(None, &["bad"]);
    scene.integration("i", &["bad", "good"]);
    let change = update(&scene, &needing(&["good"]));
    assert_eq!(told(&change), ["i Error -> Enabled"]);
    assert_eq!(left(&change, "i").cause, "");
}

#[test]
fn new_labels_change_nothing_else() {
    let mut scene = Scene::new();
    scene.integration("i", &[]);
    let ask = IntegrationUpdate {
        labels: Some(labels("new")),
        ..IntegrationUpdate::default()
    };
    let change = update(&scene, &ask);
    assert_eq!(told(&change), [""; 0]);
    let expected = Integration {
        labels: labels("new"),
        version: 4,
        ..scene.0.integrations[0].clone()
    };
    assert_eq!(left(&change, "i"), expected);
}
