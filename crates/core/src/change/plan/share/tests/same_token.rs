//! The refresh token that is brought is one that is stored already.

use super::*;

impl Scene {
    /// An attempt that has ended may have spent the refresh token of this grant.
    fn doubt(&mut self, id: &GrantId) {
        self.facts(id).in_doubt = true;
    }

    /// The scene as it is, and with an attempt at this grant that is under way, or left it in doubt.
    fn busy(build: impl Fn() -> (Self, GrantId)) -> [Self; 2] {
        let ((mut leased, id), (mut in_doubt, doubted)) = (build(), build());
        leased.lease(&id, 3);
        in_doubt.doubt(&doubted);
        [leased, in_doubt]
    }
}

/// The write that replaces tokens expects nobody to spend them.
fn expects_idle(change: &ChangeSet) -> bool {
    let mut writes = change.writes.iter();
    writes.any(|write| matches!(write, Write::StoreTokens { idle: true, .. }))
}

fn held_by(users: &[&str], account: Option<&str>) -> (Scene, GrantId) {
    let mut scene = Scene::new();
    let holder = scene.grant(account, users);
    scene.facts(&holder).scopes = texts(&["drive", "mail"]);
    scene.brings_the_token_of(&holder);
    (scene, holder)
}

// R1, R8
#[test]
fn a_new_credential_joins_the_grant_of_its_refresh_token_and_leaves_the_tokens_alone() {
    let build = || held_by(&["drive"], ACCOUNT);
    let plain = build().0;
    for scene in Scene::busy(build).iter().chain([&plain]) {
        for (account, scopes) in [(ACCOUNT, &["mail"][..]), (None, &[])] {
            let mut new = new("calendar", scopes);
            new.account = account.map(str::to_owned);
            let change = created(scene, &new);
            assert_eq!(written(&change), ["insert calendar", "keep tokens"]);
            assert_eq!(told(&change), [""; 0]);
        }
    }
}

#[test]
fn an_account_becomes_known_with_the_token_that_it_shares() {
    let (scene, holder) = held_by(&["a"], None);
    let change = created(&scene, &new("b", &[]));
    assert_eq!(kept(&change), Some((holder, ACCOUNT.map(str::to_owned))));
}

#[test]
fn a_dead_grant_is_restored_by_the_refresh_token_that_it_holds() {
    let build = |generation| {
        let mut scene = Scene::new();
        let holder = scene.dead_grant(ACCOUNT, &["drive"]);
        scene.facts(&holder).generation = Generation(generation);
        scene.grant(Some("other"), &["mail"]);
        scene.integration("i", &["drive"]);
        scene.brings_the_token_of(&holder);
        scene
    };
    let scene = build(5);
    let restored = ["drive works as 6", "i Error -> Enabled"];
    for change in [
        created(&scene, &new("calendar", &[])),
        reconnected(&scene, &again("drive", &[])),
    ] {
        assert_eq!(told(&change), restored);
        assert!(written(&change).contains(&"store tokens 5 -> 6".to_owned()));
        assert!(!expects_idle(&change));
    }
    let scene = build(40);
    let moving = Reconnect {
        allow_account_change: true,
        ..again("mail", &[])
    };
    let change = reconnected(&scene, &moving);
    assert!(written(&change).contains(&"store tokens 40 -> 41".to_owned()));
}

#[test]
fn who_comes_back_with_the_refresh_token_of_its_own_grant_replaces_it_only_if_nobody_may_lose() {
    let alone = || held_by(&["drive"], ACCOUNT);
    let change = reconnected(&alone().0, &again("drive", &["mail"]));
    assert_eq!(written(&change), ["store tokens 5 -> 6"]);
    assert!(expects_idle(&change));

    let shared = || held_by(&["drive", "mail"], ACCOUNT);
    let mut scenes = Vec::from(Scene::busy(alone));
    scenes.extend(Scene::busy(shared));
    scenes.push(shared().0);
    for mut scene in scenes {
        scene.integration_with("i", &["drive"], |facts| facts.paused = true);
        let ask = Reconnect {
            resume_paused: true,
            ..again("drive", &["mail"])
        };
        let change = reconnected(&scene, &ask);
        assert_eq!(written(&change), ["keep tokens", "update i to Enabled"]);
        assert_eq!(told(&change), ["i Disabled -> Enabled"]);
    }
}

/// `mail` uses a grant of its own, and `drive` one of this generation that holds the refresh token which `mail` brings.
fn two(generation: u64) -> (Scene, GrantId) {
    let (mut scene, holder) = held_by(&["drive"], ACCOUNT);
    scene.facts(&holder).generation = Generation(generation);
    scene.0.same_token[0].generation = Generation(generation);
    scene.scoped(&["mail"], &["mail"]);
    (scene, holder)
}

#[test]
fn who_moves_to_a_later_generation_leaves_the_tokens_alone() {
    let plain = two(6).0;
    for scene in Scene::busy(|| two(6)).iter().chain([&plain]) {
        let change = reconnected(scene, &again("mail", &["mail"]));
        let moved = ["delete grant", "keep tokens", "move mail"];
        assert_eq!(written(&change), moved);
        assert_eq!(told(&change), [""; 0]);
    }
}

#[test]
fn who_leaves_a_dead_grant_for_a_later_generation_is_told_of_it() {
    let (mut scene, _) = two(41);
    scene.dead_grant(ACCOUNT, &["post"]);
    let change = reconnected(&scene, &again("post", &[]));
    assert_eq!(told(&change), ["post works as 41"]);
}

#[test]
fn a_generation_that_would_go_back_is_raised_with_its_own_tokens_while_nobody_may_lose_any() {
    for generation in [4, 5] {
        let (mut scene, holder) = two(generation);
        let change = reconnected(&scene, &again("mail", &["mail"]));
        let stored_as = format!("store tokens {generation} -> 6");
        let moved = ["delete grant", "move mail", &stored_as];
        assert_eq!(written(&change), moved);
        let facts = scene.facts(&holder);
        let raised = Write::StoreTokens {
            grant: holder.clone(),
            base: facts.generation,
            next: Generation(6),
            tokens: Box::new(tokens("held")),
            issued_at: facts.issued_at,
            dates: facts.dates,
            consent: false,
            account: ACCOUNT.map(str::to_owned),
            idle: true,
        };
        assert!(change.writes.contains(&raised));
        for scene in Scene::busy(|| two(generation)) {
            let refused = plan_reconnect(&scene.0, &again("mail", &["mail"]));
            assert_eq!(refused, Err(ReconnectError::HolderBusy(key("drive"))));
        }
    }
}

#[test]
fn tokens_of_another_generation_than_the_holder_is_now_are_not_stored_over_its_own() {
    let (mut scene, _) = two(5);
    scene.0.same_token[0].generation = Generation(4);
    let refused = plan_reconnect(&scene.0, &again("mail", &["mail"]));
    assert_eq!(refused, Err(ReconnectError::HolderBusy(key("drive"))));
}

#[test]
fn tokens_that_do_not_open_are_replaced_by_those_that_are_brought() {
    let (mut scene, _) = two(5);
    scene.0.same_token[0].tokens = None;
    let ask = again("mail", &["mail"]);
    let change = reconnected(&scene, &ask);
    let brought = change
        .writes
        .iter()
        .any(|write| matches!(write, Write::StoreTokens { tokens, .. } if **tokens == ask.tokens));
    assert!(brought && expects_idle(&change));
}
