//! An end of a refresh token that the provider stated at the consent, where otherwise only idleness ends one.

use evergrant_core::ageing::EndOf;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::grant::GrantFacts;
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::Issued;
use evergrant_core::secret::{AccessToken, RefreshToken};

use super::ageing::{ageing, kept_while_used, of_a, pass_days, stop, told};
use super::world::{World, seconds};

const DAY: u64 = 86_400;
const IDLE: u64 = 180;

fn in_days(world: &World, days: u64) -> Timestamp {
    world.clock.now().plus(seconds(days * DAY))
}

/// A grant whose refresh token ends after seven days, as the answer to the consent said.
async fn testing() -> (World, CredentialKey) {
    let world = World::new();
    world.provider.set_lifetime(Some(seconds(DAY)));
    world
        .provider
        .set_refresh_lifetime(Some(seconds(IDLE * DAY)));
    kept_while_used(&world, IDLE);
    let mut tokens = world.provider.consent("a");
    tokens.refresh_expires_at = Some(in_days(&world, 7));
    let key = world.connect_with("a", None, tokens).await;
    (world, key)
}

fn end_of(facts: &GrantFacts) -> Option<(Timestamp, EndOf)> {
    facts.dates.end.map(|end| (end.at, end.of))
}

/// The answer to a refresh that states no end of the refresh token, so that what is reckoned is by idleness.
fn answer(world: &World, refresh_token: Option<&str>, end: Timestamp) -> Issued {
    Issued {
        access_token: AccessToken::new("new".to_owned()),
        token_type: "Bearer".to_owned(),
        expires_at: Some(in_days(world, 1)),
        refresh_token: refresh_token.map(|token| RefreshToken::new(token.to_owned())),
        refresh_expires_at: Some(end),
        scopes: None,
        metadata: Default::default(),
        minted_by: None,
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_told_though_each_use_moves_the_end_by_idleness() {
    let (world, key) = testing().await;
    let end = in_days(&world, 7);
    let replica = ageing(&world);
    pass_days(6).await;
    let facts = world.grant(&key).await.facts;
    assert!(facts.generation.0 >= 6, "it was refreshed each day");
    assert_eq!(end_of(&facts), Some((end, EndOf::RefreshToken)));
    assert_eq!(facts.refresh_expires_at, Some(end));
    pass_days(1).await;
    assert_eq!(told(&world).await, of_a(&[(0, 7), (6, 7)]));
    // The provider accepts it still, so it was none.
    pass_days(1).await;
    let facts = world.grant(&key).await.facts;
    assert_eq!(end_of(&facts), None);
    assert!(facts.dates.renew_by > Some(in_days(&world, IDLE - 2)));
    stop(&replica).await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn it_goes_with_its_refresh_token_and_another_that_is_stated_takes_its_place() {
    let (world, key) = testing().await;
    let replica = world.replica();
    let next = async |refresh_token, days| {
        world.clock.shift(seconds(DAY));
        let answer = answer(&world, refresh_token, in_days(&world, days));
        world.provider.answer_next(Ok(answer));
        assert!(replica.token(&key).await.is_ok());
        end_of(&world.grant(&key).await.facts)
    };
    let stated = |end| Some((end, EndOf::RefreshToken));
    let consents = in_days(&world, 7);
    assert_eq!(next(None, IDLE).await, stated(consents));
    let restated = in_days(&world, 6);
    assert_eq!(next(None, 5).await, stated(restated));
    assert_eq!(next(None, IDLE).await, stated(restated));
    assert_eq!(next(Some("another"), IDLE).await, None);
    assert_eq!(next(None, IDLE).await, None);
    assert_eq!(world.generation(&key).await, 6);
}
