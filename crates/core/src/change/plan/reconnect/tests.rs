use super::*;
use crate::change::plan::sample::{
    NOW, Scene, inserted, key, left, standing, tokens, told, written,
};
use crate::integration::IntegrationStatus::{self, Disabled, Enabled, Error};

fn again(name: &str, account: Option<&str>) -> Reconnect {
    Reconnect {
        key: key(name),
        account: account.map(str::to_owned),
        allow_account_change: false,
        resume_paused: false,
        tokens: tokens("new"),
        issued_at: NOW,
        renewal: Renewal::default(),
    }
}

fn moving(name: &str, account: &str) -> Reconnect {
    Reconnect {
        allow_account_change: true,
        ..again(name, Some(account))
    }
}

/// The change, and the integrations that it says have changed.
fn change_of(scene: &Scene, ask: &Reconnect) -> (ChangeSet, Vec<(String, IntegrationStatus)>) {
    let (change, changed) = reconnect(&scene.0, ask).unwrap();
    let changed = changed.into_iter();
    let changed = changed.map(|integration| (integration.key.id.to_string(), integration.status));
    (change, changed.collect())
}

#[test]
fn its_grant_gets_the_next_generation_and_nothing_is_told_of_a_working_one() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    scene.integration("i", &["a"]);
    let (change, changed) = change_of(&scene, &again("a", Some("acct")));
    assert_eq!(written(&change), ["store tokens 5 -> 6"]);
    assert_eq!(told(&change), [""; 0]);
    assert_eq!(changed, []);
    let Write::StoreTokens {
        account,
        tokens: stored,
        ..
    } = &change.writes[0]
    else {
        panic!();
    };
    assert_eq!(account.as_deref(), Some("acct"), "known from now on");
    assert_eq!(**stored, tokens("new"));
}

#[test]
fn a_dead_grant_is_restored_for_all_its_credentials_and_what_needs_them() {
    let mut scene = Scene::new();
    scene.dead_grant(Some("acct"), &["a", "b"]);
    scene.integration("i", &["b"]);
    let (change, changed) = change_of(&scene, &again("a", Some("acct")));
    assert_eq!(
        told(&change),
        ["a works as 6", "b works as 6", "i Error -> Enabled"]
    );
    assert_eq!(changed, [("i".to_owned(), Enabled)]);
}

#[test]
fn a_credential_that_is_not_there_is_not_reconnected() {
    let result = reconnect(&Scene::new().0, &again("a", None));
    assert_eq!(result, Err(ReconnectError::NotFound(key("a"))));
}

#[test]
fn another_account_is_refused_unless_it_is_allowed() {
    let mut scene = Scene::new();
    scene.grant(Some("acct"), &["a"]);
    assert_eq!(
        reconnect(&scene.0, &again("a", Some("other"))),
        Err(ReconnectError::AccountMismatch {
            credential: key("a")
        })
    );
    let (change, _) = change_of(&scene, &moving("a", "other"));
    assert_eq!(written(&change), ["store tokens 5 -> 6"]);
    let unknown = reconnect(&scene.0, &again("a", None));
    assert!(unknown.is_ok(), "an account that is not known is no other");
}

// W30
#[test]
fn a_pause_outlives_it() {
    let mut scene = Scene::new();
    scene.dead_grant(None, &["a"]);
    scene.integration_with("i", &["a"], |facts| facts.paused = true);
    let (change, changed) = change_of(&scene, &again("a", None));
    assert_eq!(told(&change), ["a works as 6"]);
    assert_eq!(written(&change), ["store tokens 5 -> 6"]);
    assert_eq!(changed, []);
}

#[test]
fn a_pause_ends_with_it_on_request_for_what_needs_the_credential() {
    let mut scene = Scene::new();
    scene.dead_grant(Some("acct"), &["a", "b"]);
    scene.integration_with("i", &["a"], |facts| facts.paused = true);
    scene.integration_with("j", &["b"], |facts| facts.paused = true);
    scene.integration("k", &["a"]);
    let ask = Reconnect {
        resume_paused: true,
        ..again("a", Some("acct"))
    };
    let (change, changed) = change_of(&scene, &ask);
    assert_eq!(
        told(&change),
        [
            "a works as 6",
            "b works as 6",
            "i Disabled -> Enabled",
            "k Error -> Enabled"
        ]
    );
    let expected = [("i".to_owned(), Enabled), ("k".to_owned(), Enabled)];
    assert_eq!(changed, expected);
    assert!(!left(&change, "i").facts.paused);
}

#[test]
fn what_is_resumed_may_be_in_error_for_another_credential() {
    let mut scene = Scene::new();
    scene.dead_grant(None, &["a"]);
    scene.dead_grant(None, &["b"]);
    scene.integration_with("i", &["a", "b"], |facts| facts.paused = true);
    let ask = Reconnect {
        resume_paused: true,
        ..again("a", None)
    };
    let (change, changed) = change_of(&scene, &ask);
    assert_eq!(told(&change), ["a works as 6", "i Disabled -> Error"]);
    let cause = "credential b was invalidated: token_revoked";
    assert_eq!(standing(&change, "i"), (Error, cause.to_owned()));
    assert_eq!(changed, [("i".to_owned(), Error)]);
}

#[test]
fn a_pause_without_an_error_ends_on_request_too() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    scene.integration_with("i", &["a"], |facts| facts.paused = true);
    assert_eq!(scene.0.integrations[0].status, Disabled);
    let ask = Reconnect {
        resume_paused: true,
        ..again("a", None)
    };
    assert_eq!(told(&change_of(&scene, &ask).0), ["i Disabled -> Enabled"]);
}

#[test]
fn who_leaves_a_shared_grant_gets_one_of_its_own_and_the_others_keep_theirs() {
    let mut scene = Scene::new();
    scene.grant(Some("acct"), &["a", "b"]);
    let (change, _) = change_of(&scene, &moving("a", "other"));
    assert_eq!(
        written(&change),
        ["insert grant of generation 6", "move a", "touch grant"]
    );
    assert_eq!(told(&change), [""; 0]);
    assert_eq!(inserted(&change).account.as_deref(), Some("other"));
}

// E1: the others are as dead as before.
#[test]
fn who_leaves_a_dead_grant_is_restored_alone() {
    let mut scene = Scene::new();
    scene.dead_grant(Some("acct"), &["a", "b"]);
    scene.integration("i", &["a"]);
    scene.integration("j", &["b"]);
    scene.integration("k", &["a", "b"]);
    let (change, changed) = change_of(&scene, &moving("a", "other"));
    assert_eq!(told(&change), ["a works as 6", "i Error -> Enabled"]);
    assert_eq!(changed, [("i".to_owned(), Enabled)]);
    let cause = "credential b was invalidated: token_revoked";
    assert_eq!(standing(&change, "k"), (Error, cause.to_owned()));
}

#[test]
fn who_joins_the_grant_of_its_account_leaves_none_behind_that_nobody_uses() {
    let mut scene = Scene::new();
    scene.grant(Some("acct"), &["a"]);
    scene.grant(Some("other"), &["b"]);
    let (change, _) = change_of(&scene, &moving("a", "other"));
    assert_eq!(
        written(&change),
        ["delete grant", "move a", "store tokens 5 -> 6"]
    );
    assert_eq!(told(&change), [""; 0]);
}

#[test]
fn generations_of_a_credential_ascend_wherever_it_moves() {
    let mut scene = Scene::new();
    let old = scene.grant(Some("acct"), &["a", "c"]);
    scene.facts(&old).generation = Generation(40);
    scene.grant(Some("other"), &["b"]);
    let (change, _) = change_of(&scene, &moving("a", "other"));
    assert_eq!(
        written(&change),
        ["move a", "store tokens 5 -> 41", "touch grant"]
    );
}

#[test]
fn who_joins_a_dead_grant_restores_it() {
    let mut scene = Scene::new();
    scene.grant(Some("acct"), &["a"]);
    scene.dead_grant(Some("other"), &["b"]);
    scene.integration("i", &["a", "b"]);
    let (change, _) = change_of(&scene, &moving("a", "other"));
    assert_eq!(told(&change), ["b works as 6", "i Error -> Enabled"]);
}

#[test]
fn who_leaves_one_dead_grant_for_another_is_told_once_with_the_others() {
    let mut scene = Scene::new();
    scene.dead_grant(Some("acct"), &["a"]);
    scene.dead_grant(Some("other"), &["b"]);
    scene.integration("i", &["a", "b"]);
    let (change, changed) = change_of(&scene, &moving("a", "other"));
    assert_eq!(
        told(&change),
        ["b works as 6", "a works as 6", "i Error -> Enabled"]
    );
    assert_eq!(changed, [("i".to_owned(), Enabled)]);
    assert_eq!(
        written(&change),
        [
            "delete grant",
            "move a",
            "store tokens 5 -> 6",
            "update i to Enabled"
        ]
    );
}

#[test]
fn a_credential_whose_account_was_not_known_joins_the_grant_of_it() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    scene.grant(Some("acct"), &["b"]);
    let (change, _) = change_of(&scene, &again("a", Some("acct")));
    assert_eq!(
        written(&change),
        ["delete grant", "move a", "store tokens 5 -> 6"]
    );
}
