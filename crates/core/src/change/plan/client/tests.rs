use super::*;
use crate::change::plan::sample::{NOW, Scene, client as named, told, written};

fn known(rejected: bool) -> Scene {
    let mut scene = Scene::new();
    scene.0.client = Some(ClientHealth {
        client: named("main"),
        rejected,
        since: NOW,
        provider_error: String::new(),
        message: String::new(),
        rejected_at: rejected.then_some(NOW),
    });
    scene
}

fn reject(scene: &Scene) -> Option<ChangeSet> {
    client_rejected(&scene.0, &named("main"), "invalid_client", "no such secret")
}

#[test]
fn a_rejection_is_told_once_until_the_client_recovers() {
    for scene in [Scene::new(), known(false)] {
        let change = reject(&scene).unwrap();
        assert_eq!(told(&change), ["ClientRejected"]);
        assert_eq!(written(&change), ["client rejected: true"]);
        let Write::SetClientHealth(health) = &change.writes[0] else {
            panic!();
        };
        assert_eq!(health.provider_error, "invalid_client");
        assert_eq!(health.message, "no such secret");
        assert_eq!(health.since, NOW);
    }
    assert_eq!(reject(&known(true)), None);
}

#[test]
fn a_recovery_is_told_only_after_a_rejection() {
    let change = client_recovered(&known(true).0, &named("main")).unwrap();
    assert_eq!(told(&change), ["ClientRecovered"]);
    assert_eq!(written(&change), ["client rejected: false"]);
    let Write::SetClientHealth(health) = &change.writes[0] else {
        panic!();
    };
    assert_eq!(health.rejected_at, Some(NOW), "it is remembered");
    for scene in [Scene::new(), known(false)] {
        assert_eq!(client_recovered(&scene.0, &named("main")), None);
    }
}
