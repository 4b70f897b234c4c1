use std::time::Duration;

use super::*;
use crate::change::plan::sample::{NOW, Scene, client, death, told, written};
use crate::events::EventBody;
use crate::grant::GrantState;
use crate::ids::KillId;
use crate::kill::KillTarget;

fn order() -> KillOrder {
    KillOrder {
        id: KillId::random(),
        target: KillTarget::Provider(client("main").provider),
        begun_at: NOW,
        reason: "keys leaked".into(),
        revoke: true,
    }
}

fn noted(change: &ChangeSet) -> Vec<&Killed> {
    let writes = change.writes.iter();
    writes
        .filter_map(|write| match write {
            Write::NoteKilled(killed) => Some(killed),
            _ => None,
        })
        .collect()
}

#[test]
fn every_grant_that_it_takes_dies_with_the_reason_and_is_noted() {
    let mut scene = Scene::new();
    scene.grant(None, &["a", "b"]);
    scene.grant(None, &["c"]);
    scene.integration("i", &["a", "c"]);
    let (change, batch) = kill(&scene.0, &order()).unwrap();
    assert_eq!(batch.grants, 2);
    assert_eq!(
        written(&change),
        [
            "invalidate grant 5",
            "invalidate grant 5",
            "note killed 5, 1 credentials",
            "note killed 5, 2 credentials",
            "update i to Error",
        ]
    );
    let events = ["a died", "b died", "c died", "i Enabled -> Error"];
    assert_eq!(told(&change), events);
    let EventBody::CredentialInvalidated(event) = &change.events[0] else {
        panic!();
    };
    assert_eq!(event.reason, InvalidationReason::Killed);
    assert_eq!(event.message, "keys leaked");
    let undone = change.writes.iter().any(|write| {
        matches!(write, Write::InvalidateGrant { invalidation, .. } if !invalidation.reported)
    });
    assert!(!undone, "a late success would heal it");
}

fn reported() -> GrantState {
    GrantState::Invalidated(Invalidation {
        reported: true,
        ..death("gone")
    })
}

#[test]
fn one_that_was_found_dead_is_reported_and_noted_only_to_be_revoked() {
    for revoke in [true, false] {
        let mut scene = Scene::new();
        scene.dead_grant(None, &["a"]);
        scene.grant(None, &["b"]);
        let order = KillOrder { revoke, ..order() };
        let (change, batch) = kill(&scene.0, &order).unwrap();
        assert_eq!(batch.grants, 2);
        assert_eq!(told(&change), ["b died"]);
        let mut expected = vec!["invalidate grant 5"];
        expected.extend(revoke.then_some("note killed 5, 0 credentials"));
        expected.extend(["note killed 5, 1 credentials", "report death 5"]);
        assert_eq!(written(&change), expected);
    }
}

#[test]
fn what_came_after_it_began_or_is_reported_dead_already_is_not_taken() {
    let mut scene = Scene::new();
    let [new, again, dead, suspect] = ["a", "b", "c", "d"].map(|name| scene.grant(None, &[name]));
    let later = NOW.plus(Duration::from_millis(1));
    scene.facts(&new).created_at = later;
    scene.facts(&again).consented_at = later;
    scene.facts(&dead).state = reported();
    scene.facts(&suspect).state = GrantState::Suspect(death("gone"));
    let (change, batch) = kill(&scene.0, &order()).unwrap();
    assert_eq!(told(&change), ["d died"]);
    assert_eq!(batch.last, suspect);
    scene.facts(&suspect).state = reported();
    assert_eq!(kill(&scene.0, &order()), None);
}

#[test]
fn a_revocation_waits_for_the_refresh_that_is_under_way() {
    let mut scene = Scene::new();
    let leased = scene.grant(None, &["a"]);
    let free = scene.grant(None, &["b"]);
    scene.lease(&leased, 3);
    let (change, _) = kill(&scene.0, &order()).unwrap();
    for killed in noted(&change) {
        let at = if killed.grant == free {
            NOW
        } else {
            NOW.plus(Duration::from_secs(45))
        };
        assert_eq!(killed.revoke_at, Some(at));
    }
    let without = KillOrder {
        revoke: false,
        ..order()
    };
    let (change, _) = kill(&scene.0, &without).unwrap();
    assert!(
        noted(&change)
            .iter()
            .all(|killed| killed.revoke_at.is_none())
    );
}

#[test]
fn what_was_derived_is_kept_to_be_revoked_and_waited_for_while_it_is_minted() {
    for revoke in [true, false] {
        let mut scene = Scene::new();
        let parent = scene.grant(None, &["a"]);
        let derived = scene.grant(None, &[]);
        scene.facts(&derived).parent = Some(parent.clone());
        scene.facts(&derived).lease = Some(crate::grant::Lease {
            owner: crate::ids::OwnerToken::random(),
            epoch: crate::ids::Epoch(1),
            left: Duration::from_secs(30),
        });
        let order = KillOrder { revoke, ..order() };
        let (change, batch) = kill(&scene.0, &order).unwrap();
        assert_eq!(batch.grants, 1, "what is derived does not count");
        let is_kept = !change.writes.contains(&Write::DeleteGrant(derived));
        assert_eq!(is_kept, revoke);
        let at = revoke.then(|| NOW.plus(Duration::from_secs(30)));
        assert_eq!(noted(&change)[0].revoke_at, at);
    }
}
