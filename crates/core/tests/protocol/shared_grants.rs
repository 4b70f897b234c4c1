//! Credentials of one account share one grant (A42-A46).

use evergrant_core::events::EventBody;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::CredentialKey;

use super::rotation::again;
use super::world::{World, all, client, death_of, generation_of, refused};

/// Three credentials of one account, and an expired token.
async fn shared() -> (World, Vec<CredentialKey>) {
    let world = World::new();
    let mut keys = Vec::new();
    for name in ["a", "b", "c"] {
        let tokens = world.provider.consent("installation");
        keys.push(world.connect_with(name, Some("acct"), tokens).await);
    }
    world.expire();
    (world, keys)
}

#[tokio::test(start_paused = true)]
async fn r2_credentials_that_share_a_grant_get_one_refresh() {
    let (world, keys) = shared().await;
    let replicas = world.replicas(3);
    let callers = keys
        .iter()
        .flat_map(|key| replicas.iter().map(|replica| replica.begin(key)))
        .collect();
    for answer in all(callers).await {
        assert_eq!(generation_of(&answer), 4, "each consent was a generation");
    }
    assert_eq!(world.calls(), 1);
    for replica in &replicas {
        replica.idle().await;
    }
    world.check(&keys[0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_to_one_of_them_is_renewed_for_all() {
    let (world, keys) = shared().await;
    let replica = world.replica();
    assert_eq!(generation_of(&replica.token(&keys[0]).await), 4);
    assert_eq!(generation_of(&replica.ask(&keys[1], refused(4)).await), 5);
    assert_eq!(generation_of(&replica.ask(&keys[2], refused(4)).await), 5);
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn e1_the_death_of_their_grant_is_an_event_each_and_so_is_its_return() {
    let (world, keys) = shared().await;
    world.provider.revoke("installation");
    let replica = world.replica();
    let callers = keys.iter().map(|key| replica.begin(key)).collect();
    for answer in all(callers).await {
        assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    }
    assert_eq!(world.calls(), 1);
    let ask = again(&keys[1], world.provider.consent("installation"), &world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    for key in &keys {
        assert_eq!(generation_of(&replica.token(key).await), 4);
    }
    let events = world.events().await;
    let of = |dies| {
        let named = events.iter().filter_map(move |event| match &event.body {
            EventBody::CredentialInvalidated(event) if dies => Some(event.credential.clone()),
            EventBody::CredentialRestored(event) if !dies => Some(event.credential.clone()),
            _ => None,
        });
        named.collect::<Vec<_>>()
    };
    assert_eq!(of(true), keys);
    assert_eq!(of(false), keys);
    assert_eq!(events.len(), 6);
    world.check(&keys[0]).await;
}

#[tokio::test(start_paused = true)]
async fn who_left_while_the_grant_was_refreshed_is_not_served_what_that_brought() {
    let (world, keys) = shared().await;
    let replica = world.replica();
    for key in &keys {
        replica.token(key).await.unwrap();
    }
    world.expire();
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&keys[0]);
    held.reached().await;
    let elsewhere = world.replica().broker.registry();
    assert_eq!(elsewhere.delete_credential(&keys[1]).await, Ok(true));
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 5);
    assert!(replica.token(&keys[1]).await.is_err());
    assert_eq!(generation_of(&replica.token(&keys[2]).await), 5);
    replica.idle().await;
    world.check(&keys[0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_leaves_leaves_the_grant_to_the_others() {
    let (world, keys) = shared().await;
    let replica = world.replica();
    let registry = replica.broker.registry();
    assert_eq!(registry.delete_credential(&keys[0]).await, Ok(true));
    assert!(replica.token(&keys[0]).await.is_err());
    assert_eq!(generation_of(&replica.token(&keys[1]).await), 4);
    world.check(&keys[1]).await;
}
