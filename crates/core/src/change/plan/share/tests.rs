use super::*;
use crate::change::plan::sample::{
    NOW, Scene, client, inserted, key, labels, tokens, told, written,
};
use crate::change::plan::{
    CreateError, ReconnectError, create_credential, reconnect as plan_reconnect,
};
use crate::change::{ChangeSet, Write};
use crate::clock::Timestamp;
use crate::ids::{Generation, GrantId};
use crate::provider::Renewal;

const ACCOUNT: Option<&str> = Some("acct");

impl Scene {
    /// A working grant of the account with these scopes.
    fn scoped(&mut self, users: &[&str], scopes: &[&str]) -> GrantId {
        let id = self.grant(ACCOUNT, users);
        self.facts(&id).scopes = texts(scopes);
        id
    }

    /// From now on the tokens that are brought hold the refresh token of this grant.
    fn brings_the_token_of(&mut self, id: &GrantId) {
        let generation = self.facts(id).generation;
        self.0.same_token.push(Holder {
            id: id.clone(),
            generation,
            tokens: Some(tokens("held")),
        });
    }
}

fn texts(scopes: &[&str]) -> Vec<String> {
    scopes.iter().map(ToString::to_string).collect()
}

fn new(name: &str, scopes: &[&str]) -> CreateCredential {
    CreateCredential {
        key: key(name),
        client: client("main"),
        grant_type: GrantType::AuthorizationCode,
        account: ACCOUNT.map(str::to_owned),
        labels: labels(name),
        tokens: TokenSet {
            scopes: texts(scopes),
            ..tokens("new")
        },
        issued_at: NOW,
        renewal: Renewal::default(),
    }
}

fn again(name: &str, scopes: &[&str]) -> Reconnect {
    let new = new(name, scopes);
    Reconnect {
        key: new.key,
        account: new.account,
        allow_account_change: false,
        resume_paused: false,
        tokens: new.tokens,
        issued_at: NOW,
        renewal: new.renewal,
    }
}

fn created(scene: &Scene, new: &CreateCredential) -> ChangeSet {
    create_credential(&scene.0, new).unwrap()
}

fn reconnected(scene: &Scene, ask: &Reconnect) -> ChangeSet {
    plan_reconnect(&scene.0, ask).unwrap().0
}

/// The grant whose tokens a change leaves alone, and the account that it learns.
fn kept(change: &ChangeSet) -> Option<(GrantId, Option<String>)> {
    let mut writes = change.writes.iter();
    writes.find_map(|write| match write {
        Write::KeepTokens { grant, account } => Some((grant.clone(), account.clone())),
        _ => None,
    })
}

/// The grant whose tokens a change replaces.
fn replaced(change: &ChangeSet) -> Option<GrantId> {
    let mut writes = change.writes.iter();
    writes.find_map(|write| match write {
        Write::StoreTokens { grant, .. } => Some(grant.clone()),
        _ => None,
    })
}

const OWN: [&str; 2] = ["insert calendar", "insert grant of generation 1"];
const SHARED: [&str; 2] = ["insert calendar", "store tokens 5 -> 6"];

#[test]
fn a_new_credential_takes_no_scope_from_another_of_its_account() {
    for (theirs, brought, expected) in [
        (&["drive", "mail"][..], &["mail"][..], OWN),
        (&["drive"], &["calendar"], OWN),
        (&["drive"], &["drive"], SHARED),
        (&["mail", "drive"], &["drive", "mail", "drive"], SHARED),
        (&["drive"], &["drive", "calendar"], SHARED),
        // What is not known cannot be compared.
        (&["drive"], &[], OWN),
        (&[], &["drive"], OWN),
        (&[], &[], SHARED),
        // As the provider spells them.
        (&["drive"], &["Drive"], OWN),
    ] {
        let mut scene = Scene::new();
        scene.scoped(&["drive"], theirs);
        let change = created(&scene, &new("calendar", brought));
        assert_eq!(written(&change), expected, "{theirs:?} {brought:?}");
        assert_eq!(told(&change), [""; 0]);
    }
}

#[test]
fn a_grant_of_its_own_is_of_the_same_account() {
    let mut scene = Scene::new();
    scene.scoped(&["drive"], &["drive"]);
    let change = created(&scene, &new("calendar", &["calendar"]));
    let own = inserted(&change);
    assert_eq!(own.account.as_deref(), ACCOUNT);
    assert_eq!(own.tokens.scopes, ["calendar"]);
}

#[test]
fn tokens_that_cannot_be_renewed_replace_none_that_can() {
    let mut scene = Scene::new();
    let id = scene.scoped(&["drive"], &["drive"]);
    let mut brief = new("calendar", &["drive", "calendar"]);
    brief.tokens.refresh_token = None;
    assert_eq!(written(&created(&scene, &brief)), OWN);
    scene.facts(&id).refreshable = false;
    assert_eq!(written(&created(&scene, &brief)), SHARED);
}

#[test]
fn a_grant_of_another_type_is_not_shared() {
    let mut scene = Scene::new();
    let id = scene.scoped(&["drive"], &["drive"]);
    scene.facts(&id).grant_type = GrantType::Static;
    assert_eq!(written(&created(&scene, &new("calendar", &["drive"]))), OWN);
}

#[test]
fn where_a_new_token_ends_the_one_before_all_share_one() {
    let mut scene = Scene::new();
    scene.scoped(&["drive", "mail"], &["drive", "mail"]);
    let renewal = Renewal {
        single_active_token: true,
        ..Renewal::default()
    };
    let narrow = CreateCredential {
        renewal,
        ..new("calendar", &["calendar"])
    };
    assert_eq!(written(&created(&scene, &narrow)), SHARED);
    let narrow = Reconnect {
        renewal,
        ..again("mail", &["mail"])
    };
    let change = reconnected(&scene, &narrow);
    assert_eq!(written(&change), ["store tokens 5 -> 6"]);
}

// E1: nobody is told to be well who lost something.
#[test]
fn a_dead_grant_with_more_scopes_is_not_restored_by_one_with_fewer() {
    let mut scene = Scene::new();
    let id = scene.dead_grant(ACCOUNT, &["drive"]);
    scene.facts(&id).scopes = texts(&["drive", "mail"]);
    scene.integration("i", &["drive", "calendar"]);
    let change = created(&scene, &new("calendar", &["mail"]));
    assert_eq!(told(&change), [""; 0]);
    assert_eq!(written(&change), OWN);
    let change = created(&scene, &new("calendar", &["mail", "drive"]));
    assert_eq!(told(&change), ["drive works as 6", "i Error -> Enabled"]);
}

#[test]
fn of_several_grants_the_widest_the_oldest_the_first_is_shared() {
    let mut scene = Scene::new();
    let all = ["a", "b", "c"];
    scene.scoped(&["x"], &["other"]);
    let narrow = scene.scoped(&["n"], &["a"]);
    let mut wide = [
        scene.scoped(&["w"], &["a", "b"]),
        scene.scoped(&["v"], &["b", "c"]),
    ];
    wide.sort();
    let shared = |scene: &Scene, scopes: &[&str]| replaced(&created(scene, &new("new", scopes)));
    assert_eq!(shared(&scene, &all), Some(wide[0].clone()));
    scene.facts(&wide[1]).created_at = Timestamp::from_millis(1);
    assert_eq!(shared(&scene, &all), Some(wide[1].clone()));
    assert_eq!(shared(&scene, &["a"]), Some(narrow));
    assert_eq!(shared(&scene, &["c"]), None);
}

#[test]
fn a_user_may_narrow_what_is_his_alone() {
    let mut scene = Scene::new();
    scene.scoped(&["drive"], &["drive", "mail"]);
    scene.scoped(&["other"], &["drive"]);
    let change = reconnected(&scene, &again("drive", &["drive"]));
    assert_eq!(written(&change), ["store tokens 5 -> 6"]);
}

#[test]
fn who_comes_back_with_less_leaves_the_grant_to_the_others() {
    let mut scene = Scene::new();
    scene.scoped(&["drive", "mail"], &["drive", "mail"]);
    for account in [ACCOUNT, None] {
        let ask = Reconnect {
            account: account.map(str::to_owned),
            ..again("mail", &["mail"])
        };
        let change = reconnected(&scene, &ask);
        let moved = ["insert grant of generation 6", "move mail", "touch grant"];
        assert_eq!(written(&change), moved);
        assert_eq!(inserted(&change).account.as_deref(), ACCOUNT);
    }
    let change = reconnected(&scene, &again("mail", &["mail", "drive"]));
    assert_eq!(written(&change), ["store tokens 5 -> 6"]);
}

#[test]
fn who_leaves_a_dead_grant_with_less_is_restored_alone() {
    let mut scene = Scene::new();
    let id = scene.dead_grant(ACCOUNT, &["drive", "mail"]);
    scene.facts(&id).scopes = texts(&["drive", "mail"]);
    let change = reconnected(&scene, &again("mail", &["mail"]));
    assert_eq!(told(&change), ["mail works as 6"]);
}

#[test]
fn who_leaves_joins_another_grant_of_the_account_that_loses_nothing() {
    let mut scene = Scene::new();
    scene.scoped(&["drive", "mail"], &["drive", "mail"]);
    let narrow = scene.scoped(&["post"], &["mail"]);
    scene.facts(&narrow).generation = Generation(40);
    let change = reconnected(&scene, &again("mail", &["mail"]));
    assert_eq!(replaced(&change), Some(narrow));
    assert_eq!(
        written(&change),
        ["move mail", "store tokens 40 -> 41", "touch grant"]
    );
}

#[test]
fn who_learns_its_account_keeps_its_grant_where_joining_would_take_something() {
    let mut scene = Scene::new();
    let own = scene.grant(None, &["a"]);
    scene.scoped(&["drive"], &["drive", "mail"]);
    let change = reconnected(&scene, &again("a", &["mail"]));
    assert_eq!(replaced(&change), Some(own));
    assert_eq!(written(&change), ["store tokens 5 -> 6"]);
}

#[test]
fn a_refresh_token_of_another_account_is_refused_by_the_name_of_who_has_it() {
    let mut scene = Scene::new();
    let holder = scene.grant(Some("other"), &["b"]);
    scene.scoped(&["a"], &["drive"]);
    scene.brings_the_token_of(&holder);
    let refused = create_credential(&scene.0, &new("new", &["drive"]));
    assert_eq!(refused, Err(CreateError::AccountMismatch(key("b"))));
    let refused = plan_reconnect(&scene.0, &again("a", &["drive"]));
    let credential = key("b");
    assert_eq!(refused, Err(ReconnectError::AccountMismatch { credential }));
}

// Two that share a refresh token and no account: the next consent may be of anybody.
#[test]
fn a_consent_of_an_unknown_account_replaces_nobody_elses_tokens() {
    let mut scene = Scene::new();
    scene.grant(None, &["a", "b"]);
    for account in [ACCOUNT, None] {
        let ask = Reconnect {
            account: account.map(str::to_owned),
            ..again("a", &[])
        };
        let change = reconnected(&scene, &ask);
        let moved = ["insert grant of generation 6", "move a", "touch grant"];
        assert_eq!(written(&change), moved);
        assert_eq!(inserted(&change).account.as_deref(), account);
    }
}

mod same_token;
