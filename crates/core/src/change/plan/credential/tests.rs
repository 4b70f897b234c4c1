use super::*;
use crate::change::plan::sample::{
    NOW, Scene, client, inserted, key, labels, left, standing, tokens, told, written,
};
use crate::integration::IntegrationStatus::Error;

fn new(name: &str, account: Option<&str>) -> CreateCredential {
    CreateCredential {
        key: key(name),
        client: client("main"),
        grant_type: GrantType::AuthorizationCode,
        account: account.map(str::to_owned),
        labels: labels(name),
        tokens: tokens("new"),
        issued_at: NOW,
        renewal: Renewal::default(),
    }
}

#[test]
fn a_first_credential_of_an_account_gets_a_grant_of_its_own_and_is_not_told() {
    let mut scene = Scene::new();
    scene.grant(Some("other"), &["b"]);
    for account in [None, Some("acct")] {
        let change = create_credential(&scene.0, &new("a", account)).unwrap();
        assert_eq!(
            written(&change),
            ["insert a", "insert grant of generation 1"]
        );
        assert_eq!(told(&change), [""; 0]);
        let grant = inserted(&change);
        assert_eq!(grant.account.as_deref(), account);
        assert_eq!(grant.tokens, tokens("new"));
        assert!(grant.dates.due_at.is_some_and(|due| due > NOW));
        let stored = change.writes.iter().find_map(|write| match write {
            Write::InsertCredential(credential) => Some(credential.grant.clone()),
            _ => None,
        });
        assert_eq!(stored, Some(grant.id));
    }
}

#[test]
fn a_name_is_given_once() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    let created = create_credential(&scene.0, &new("a", None));
    assert_eq!(created, Err(CreateError::Exists(key("a"))));
}

#[test]
fn another_credential_of_the_account_brings_its_grant_the_next_generation() {
    let mut scene = Scene::new();
    let id = scene.grant(Some("acct"), &["b"]);
    let change = create_credential(&scene.0, &new("a", Some("acct"))).unwrap();
    assert_eq!(written(&change), ["insert a", "store tokens 5 -> 6"]);
    assert_eq!(told(&change), [""; 0]);
    let shares = change.writes.iter().any(
        |write| matches!(write, Write::InsertCredential(credential) if credential.grant == id),
    );
    assert!(shares);
}

#[test]
fn it_heals_the_others_if_their_grant_was_dead() {
    let mut scene = Scene::new();
    scene.dead_grant(Some("acct"), &["b", "c"]);
    scene.integration("i", &["b"]);
    let change = create_credential(&scene.0, &new("a", Some("acct"))).unwrap();
    assert_eq!(
        told(&change),
        ["b works as 6", "c works as 6", "i Error -> Enabled"]
    );
}

#[test]
fn the_account_of_another_client_is_another_account() {
    let mut scene = Scene::new();
    let id = scene.grant(Some("acct"), &["b"]);
    scene.facts(&id).client = client("other");
    let change = create_credential(&scene.0, &new("a", Some("acct"))).unwrap();
    assert_eq!(inserted(&change).generation, Generation::FIRST);
}

#[test]
fn what_still_names_a_deleted_credential_works_when_one_of_that_name_comes() {
    let mut scene = Scene::new();
    scene.integration("i", &["a"]);
    assert_eq!(scene.0.integrations[0].status, Error);
    let change = create_credential(&scene.0, &new("a", None)).unwrap();
    assert_eq!(told(&change), ["i Error -> Enabled"]);
}

#[test]
fn an_integration_that_is_healed_for_two_reasons_is_written_and_told_once() {
    let mut scene = Scene::new();
    scene.dead_grant(Some("acct"), &["b"]);
    scene.integration("i", &["a", "b"]);
    let change = create_credential(&scene.0, &new("a", Some("acct"))).unwrap();
    assert_eq!(told(&change), ["b works as 6", "i Error -> Enabled"]);
    assert_eq!(
        written(&change),
        ["insert a", "store tokens 5 -> 6", "update i to Enabled"]
    );
}

#[test]
fn the_last_credential_takes_its_grant_along() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    let change = delete_credential(&scene.0, &key("a")).unwrap();
    assert_eq!(written(&change), ["delete a", "delete grant"]);
    assert_eq!(told(&change), ["a is deleted"]);
}

#[test]
fn the_others_keep_their_grant() {
    let mut scene = Scene::new();
    scene.grant(Some("acct"), &["a", "b"]);
    let change = delete_credential(&scene.0, &key("a")).unwrap();
    assert_eq!(written(&change), ["delete a", "touch grant"]);
}

#[test]
fn a_grant_that_is_to_be_revoked_is_left_to_others_who_use_it() {
    let mut scene = Scene::new();
    scene.grant(Some("acct"), &["z", "b", "a"]);
    scene.grant(None, &["c"]);
    let (change, others) = leave_shared_grant(&scene.0, &key("b")).unwrap();
    assert_eq!(written(&change), ["delete b", "touch grant"]);
    assert_eq!(others, [key("a"), key("z")], "by id");
    for sole_or_missing in ["c", "nobody"] {
        assert_eq!(leave_shared_grant(&scene.0, &key(sole_or_missing)), None);
    }
}

#[test]
fn only_what_was_revoked_is_forgotten() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    scene.grant(Some("acct"), &["b", "c"]);
    let of = |name: &str| {
        let mut credentials = scene.0.credentials.iter();
        let credential = credentials.find(|known| known.key == key(name)).unwrap();
        find(&scene.0, &credential.grant).unwrap()
    };
    let forget = |name, grant: &GrantFacts, generation| {
        delete_revoked(&scene.0, &key(name), &grant.id, generation, false)
    };
    let grant = of("a");
    let change = forget("a", grant, grant.generation).unwrap();
    assert_eq!(written(&change), ["delete a", "delete grant"]);
    assert_eq!(told(&change), ["a is deleted"]);
    assert_eq!(forget("a", grant, grant.generation.next()), None);
    assert_eq!(forget("nobody", grant, grant.generation), None);
    let shared = of("b");
    assert_eq!(forget("a", shared, shared.generation), None, "it moved");
    assert_eq!(
        forget("b", shared, shared.generation),
        None,
        "others use it"
    );
}

#[test]
fn what_was_revoked_is_kept_while_a_token_of_other_scopes_is_alive() {
    let mut scene = Scene::new();
    let minted = scene.grant(None, &["a"]);
    let scopes = scene.grant(None, &[]);
    scene.facts(&scopes).parent = Some(minted.clone());
    let forget = |scene: &Scene, lives_on| {
        delete_revoked(&scene.0, &key("a"), &minted, Generation(5), lives_on)
    };
    assert_eq!(forget(&scene, false), None);
    let gone = ["delete a", "delete grant", "delete grant"];
    assert_eq!(written(&forget(&scene, true).unwrap()), gone);
    scene.facts(&scopes).expires_at = Some(NOW);
    assert_eq!(written(&forget(&scene, false).unwrap()), gone);
}

#[test]
fn what_needs_it_is_in_error_and_named_in_the_event() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    scene.grant(None, &["b"]);
    scene.integration("i", &["a", "b"]);
    scene.integration("j", &["b"]);
    let change = delete_credential(&scene.0, &key("a")).unwrap();
    assert_eq!(told(&change), ["a is deleted", "i Enabled -> Error"]);
    assert_eq!(
        standing(&change, "i"),
        (Error, "credential a was deleted".to_owned())
    );
    let EventBody::CredentialDeleted(event) = &change.events[0] else {
        panic!();
    };
    assert_eq!(event.integrations, [left(&change, "i").key.id]);
    assert_eq!(event.labels, labels("a"));
}

#[test]
fn an_error_gets_its_new_cause_without_being_told() {
    let mut scene = Scene::new();
    scene.dead_grant(None, &["a"]);
    scene.integration("i", &["a"]);
    let change = delete_credential(&scene.0, &key("a")).unwrap();
    assert_eq!(told(&change), ["a is deleted"]);
    assert_eq!(standing(&change, "i").1, "credential a was deleted");
}

#[test]
fn what_is_not_there_is_neither_deleted_nor_labelled() {
    let scene = Scene::new();
    assert_eq!(delete_credential(&scene.0, &key("a")), None);
    let missing = UpdateLabelsError::NotFound(key("a"));
    let relabelled = update_labels(&scene.0, &key("a"), labels("x"), None);
    assert_eq!(relabelled, Err(missing));
}

#[test]
fn new_labels_touch_no_grant_and_are_not_told() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    let change = update_labels(&scene.0, &key("a"), labels("x"), None).unwrap();
    assert_eq!(written(&change), ["label a"]);
    assert_eq!(told(&change), [""; 0]);
}

#[test]
fn new_labels_are_refused_if_the_credential_is_not_of_the_version_that_was_read() {
    let mut scene = Scene::new();
    scene.grant(None, &["a"]);
    let read = scene.0.credentials[0].version;
    let update = |version| update_labels(&scene.0, &key("a"), labels("x"), Some(version));
    assert_eq!(written(&update(read).unwrap()), ["label a"]);
    let changed = UpdateLabelsError::EtagMismatch(key("a"));
    assert_eq!(update(read + 1), Err(changed));
}
