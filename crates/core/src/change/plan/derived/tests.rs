use super::*;
use crate::change::plan::sample::{NOW, Scene, death, inserted, key, tokens, written};
use crate::change::plan::{Reconnect, delete_credential, invalidate, reconnect};
use crate::grant::GrantType;
use crate::provider::Renewal;
use crate::scopes::ScopeSet;

const HOUR: Duration = Duration::from_secs(3_600);

fn scopes(name: &str) -> ScopeSet {
    [name.to_owned()].into_iter().collect()
}

fn ask(parent: &GrantId, scope: &str) -> Derive {
    Derive {
        parent: parent.clone(),
        version: 9,
        means: Means {
            scopes: scopes(scope),
            ..Means::default()
        },
    }
}

impl Scene {
    fn minted(&mut self, users: &[&str]) -> GrantId {
        let id = self.grant(None, users);
        self.facts(&id).grant_type = GrantType::ClientCredentials;
        id
    }

    fn derived(&mut self, parent: &GrantId, scope: &str) -> GrantId {
        let id = self.minted(&[]);
        let facts = self.facts(&id);
        facts.parent = Some(parent.clone());
        facts.requested_scopes = scopes(scope);
        id
    }
}

#[test]
fn a_new_set_of_scopes_gets_a_grant_that_is_still_to_mint() {
    let mut scene = Scene::new();
    let parent = scene.minted(&["a"]);
    scene.derived(&parent, "other");
    let change = derive(&scene.0, &ask(&parent, "read")).unwrap().unwrap();
    let new = inserted(&change);
    assert_eq!(new.parent, Some(parent));
    assert_eq!(new.dates.due_at, None);
    assert_eq!(new.tokens.means.scopes, scopes("read"));
    assert!(!new.tokens.has_token());
    assert_eq!(change.writes.len(), 1);
}

#[test]
fn what_is_alive_has_a_token_that_has_not_ended_or_is_being_minted() {
    let mut scene = Scene::new();
    let parent = scene.minted(&["a"]);
    let mut alive = Vec::new();
    for (scope, ends, is_alive) in [
        ("good", Some(NOW.plus(HOUR)), true),
        ("endless", None, true),
        ("ended", Some(NOW), false),
        ("never minted", Some(Timestamp::from_millis(0)), false),
    ] {
        let id = scene.derived(&parent, scope);
        scene.facts(&id).expires_at = ends;
        alive.extend(is_alive.then_some(id));
    }
    let minting = scene.derived(&parent, "minting");
    scene.facts(&minting).expires_at = Some(NOW);
    scene.facts(&minting).lease = Some(crate::grant::Lease {
        owner: crate::ids::OwnerToken::random(),
        epoch: crate::ids::Epoch(1),
        left: HOUR,
    });
    alive.push(minting);
    alive.sort();
    let mut found = derived_alive(&scene.0, &parent);
    found.sort();
    assert_eq!(found, alive);
}

#[test]
fn what_was_revoked_is_forgotten_and_its_parent_told_of_as_changed() {
    let mut scene = Scene::new();
    let parent = scene.minted(&["a"]);
    let revoked = scene.derived(&parent, "read");
    let generation = scene.facts(&revoked).generation;
    let change = forget_revoked(&scene.0, &revoked, generation).unwrap();
    let both = [
        Write::TouchGrant(parent),
        Write::DeleteGrant(revoked.clone()),
    ];
    assert_eq!(change.writes, both);
    assert_eq!(forget_revoked(&scene.0, &revoked, generation.next()), None);
}

#[test]
fn a_set_of_scopes_has_one_grant() {
    let mut scene = Scene::new();
    let parent = scene.minted(&["a"]);
    scene.derived(&parent, "read");
    assert_eq!(derive(&scene.0, &ask(&parent, "read")), Ok(None));
}

#[test]
fn nothing_is_derived_from_a_parent_that_moved_on() {
    let mut scene = Scene::new();
    let parent = scene.minted(&["a"]);
    let late = Derive {
        version: 8,
        ..ask(&parent, "read")
    };
    assert_eq!(derive(&scene.0, &late), Err(DeriveError::Moved));
    let gone = ask(&GrantId::random(), "read");
    assert_eq!(derive(&scene.0, &gone), Err(DeriveError::Moved));
    let dead = scene.dead_grant(None, &["b"]);
    assert_eq!(
        derive(&scene.0, &ask(&dead, "read")),
        Err(DeriveError::Moved)
    );
}

#[test]
fn the_one_minted_longest_ago_makes_room_if_its_token_has_ended() {
    let mut scene = Scene::new();
    let parent = scene.minted(&["a"]);
    let all: Vec<_> = (0..MAX_DERIVED)
        .map(|n| scene.derived(&parent, &n.to_string()))
        .collect();
    let full = derive(&scene.0, &ask(&parent, "read"));
    assert_eq!(full, Err(DeriveError::TooMany));

    for (id, age) in [(&all[3], 2), (&all[5], 3), (&all[7], 9)] {
        let facts = scene.facts(id);
        facts.issued_at = NOW.minus(HOUR * age);
        facts.expires_at = Some(NOW.minus(HOUR * (age - 1)));
    }
    // Somebody mints it right now.
    scene.lease(&all[7], 1);
    let change = derive(&scene.0, &ask(&parent, "read")).unwrap().unwrap();
    let oldest = Write::DeleteGrant(all[5].clone());
    assert!(change.writes.contains(&oldest));
    assert_eq!(change.writes.len(), 2);

    let never_ends = scene.facts(&all[5]);
    never_ends.expires_at = None;
    let change = derive(&scene.0, &ask(&parent, "read")).unwrap().unwrap();
    assert!(change.writes.contains(&Write::DeleteGrant(all[3].clone())));
}

#[test]
fn scopes_that_come_back_have_a_newer_generation() {
    let mut scene = Scene::new();
    let parent = scene.minted(&["a"]);
    let first = inserted(&derive(&scene.0, &ask(&parent, "read")).unwrap().unwrap());
    scene.0.now = NOW.plus(Duration::from_secs(60));
    let then = inserted(&derive(&scene.0, &ask(&parent, "read")).unwrap().unwrap());
    assert_eq!(then.generation.0, first.generation.0 + 60);
}

#[test]
fn what_was_derived_goes_with_its_parent_and_with_its_means() {
    let mut scene = Scene::new();
    let parent = scene.minted(&["a"]);
    scene.derived(&parent, "read");
    let other = scene.minted(&["b"]);
    scene.derived(&other, "read");

    let change = delete_credential(&scene.0, &key("a")).unwrap();
    let gone = ["delete a", "delete grant", "delete grant"];
    assert_eq!(written(&change), gone);
    let change = invalidate(
        &scene.0,
        &parent,
        Generation(5),
        None,
        death("token_revoked"),
    );
    assert_eq!(
        written(&change.unwrap()),
        ["delete grant", "invalidate grant 5"]
    );
    let again = Reconnect {
        key: key("a"),
        account: None,
        allow_account_change: false,
        resume_paused: false,
        tokens: tokens("new"),
        issued_at: NOW,
        renewal: Renewal::default(),
    };
    let (change, _) = reconnect(&scene.0, &again).unwrap();
    assert_eq!(written(&change), ["delete grant", "store tokens 5 -> 6"]);
}
