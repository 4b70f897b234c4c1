//! What an answer makes of the stored token set, and that a rotated refresh token is never lost.

use std::collections::BTreeMap;

use evergrant_core::change::plan::Reconnect;
use evergrant_core::clock::Clock;
use evergrant_core::grant::TokenSet;
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{Issued, Rotation};
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_core::testing::provider::Reuse;
use evergrant_core::testing::store::Op;

use super::world::{World, all, client, generation_of, seconds};

fn issued(world: &World) -> Issued {
    Issued {
        access_token: AccessToken::new("new".into()),
        token_type: "Bearer".into(),
        expires_at: Some(world.clock.now().plus(seconds(3_600))),
        refresh_token: None,
        refresh_expires_at: None,
        scopes: None,
        metadata: BTreeMap::new(),
        minted_by: None,
    }
}

fn rich(world: &World) -> TokenSet {
    TokenSet {
        refresh_expires_at: Some(world.clock.now().plus(seconds(1_000_000))),
        scopes: vec!["read".into()],
        metadata: BTreeMap::from([("a".into(), "1".into()), ("b".into(), "1".into())]),
        ..world.provider.consent("a")
    }
}

pub(super) fn again(key: &CredentialKey, tokens: TokenSet, world: &World) -> Reconnect {
    Reconnect {
        key: key.clone(),
        account: None,
        allow_account_change: false,
        resume_paused: false,
        tokens,
        issued_at: world.clock.now(),
        renewal: world.renewal(),
    }
}

#[tokio::test(start_paused = true)]
async fn r1_every_refresh_spends_the_stored_refresh_token_and_stores_its_successor() {
    let (world, replica, key) = World::with_fresh().await;
    for generation in 2..12 {
        world.expire();
        assert_eq!(generation_of(&replica.token(&key).await), generation);
    }
    let spent: Vec<_> = world.provider.calls();
    assert_eq!(spent.len(), 10);
    for (call, generation) in spent.iter().zip(1..) {
        assert_eq!(call.generation.0, generation);
    }
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_leaves_things_out_leaves_them_as_they_were() {
    let world = World::new();
    let tokens = rich(&world);
    let key = world.connect_with("a", None, tokens.clone()).await;
    world.expire();
    let answer = issued(&world);
    world.provider.answer_next(Ok(answer.clone()));
    world.replica().token(&key).await.unwrap();
    let stored = world.grant(&key).await.tokens;
    assert_eq!(
        stored,
        TokenSet {
            access_token: answer.access_token,
            expires_at: answer.expires_at,
            ..tokens
        }
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_states_things_replaces_them() {
    let world = World::new();
    let key = world.connect_with("a", None, rich(&world)).await;
    world.expire();
    let answer = Issued {
        refresh_token: Some(RefreshToken::new("next".into())),
        scopes: Some(vec!["write".into()]),
        metadata: BTreeMap::from([("b".into(), "2".into())]),
        ..issued(&world)
    };
    world.provider.answer_next(Ok(answer));
    world.replica().token(&key).await.unwrap();
    let stored = world.grant(&key).await.tokens;
    assert_eq!(stored.refresh_token.unwrap().expose(), "next");
    assert_eq!(
        stored.refresh_expires_at, None,
        "that was the old one's end"
    );
    assert_eq!(stored.scopes, ["write"]);
    let metadata = BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
    assert_eq!(stored.metadata, metadata);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_never_ends_is_used_again() {
    let (world, replica, key) = World::with_fresh().await;
    world.provider.set_reuse(Reuse::Allowed, Rotation::None);
    for generation in 2..5 {
        world.expire();
        assert_eq!(generation_of(&replica.token(&key).await), generation);
    }
    world.check(&key).await;
}

// R1, R8
#[tokio::test(start_paused = true)]
async fn r1_an_answer_that_comes_after_a_reconnect_replaces_nothing_and_is_kept_aside() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let callers: Vec<_> = (0..5).map(|_| replica.begin(&key)).collect();
    held.reached().await;
    let ask = again(&key, world.provider.consent("b"), &world);
    let registry = world.replica().broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    held.release();
    for answer in all(callers).await {
        let live = answer.unwrap().live;
        assert_eq!(live.grant.tokens.access_token, ask.tokens.access_token);
    }
    replica.idle().await;
    assert_eq!(world.generation(&key).await, 2);
    let orphans = world.store.orphans();
    assert_eq!(orphans.len(), 1);
    assert_eq!(orphans[0].base.0, 1);
    world.check(&key).await;
}

// W15: a provider whose tokens expire at once must not be asked for ever.
#[tokio::test(start_paused = true)]
async fn a_token_that_expires_at_once_is_never_handed_out_and_asked_for_three_times_at_most() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.set_lifetime(Some(seconds(0)));
    assert!(replica.token(&key).await.is_err(), "R11");
    assert!(world.calls() <= 3, "{} calls", world.calls());
    world.check(&key).await;
}

// It took so long to store that it is due again already.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_due_when_it_comes_is_served_and_not_renewed_at_once() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.set_lifetime(Some(seconds(10)));
    let slow = world.store.faults().hold_next(Op::Commit);
    let caller = replica.begin(&key);
    slow.reached().await;
    world.clock.shift(seconds(9));
    slow.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_lived_token_is_renewed_once_for_each_of_its_lives() {
    let (world, replica, key) = World::with_expired().await;
    world.provider.set_lifetime(Some(seconds(10)));
    for calls in 1..6 {
        for _ in 0..20 {
            replica.token(&key).await.unwrap();
        }
        assert_eq!(world.calls(), calls);
        world.clock.shift(seconds(10));
    }
    world.check(&key).await;
}
