//! Whom the brake neither counts nor holds: grants with clients of their own, derived grants, and whatever is known from
//! elsewhere.

use evergrant_core::broker::Ask;
use evergrant_core::clock::Clock;
use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{GrantType, InvalidationReason, Means};
use evergrant_core::ids::{CredentialKey, ReceiverName};
use evergrant_core::report::{DeliveryId, Report, Subject};
use evergrant_core::revocation::RevocationOutcome;
use evergrant_core::testing::store::Op;
use tokio_util::task::TaskTracker;

use super::super::minted::with;
use super::super::world::{World, client, death_of, reason_of, seconds};
use super::{BELIEVED, ask_all, count, dead, held, refuse_all, world_of};

/// Stores credentials whose tokens are minted.
async fn mint_all(world: &World, count: usize, means: &Means) -> Vec<CredentialKey> {
    let mut keys = Vec::new();
    for name in 0..count {
        let minted = GrantType::ClientCredentials;
        keys.push(world.mint(&format!("m{name}"), minted, means.clone()).await);
    }
    keys
}

#[tokio::test(start_paused = true)]
async fn refusals_of_clients_that_grants_bring_are_believed_and_do_not_count() {
    let (world, keys) = world_of(BELIEVED).await;
    let means = with(&[("client_id", "own"), ("client_secret", "revoked")]);
    let own = mint_all(&world, 20, &means).await;
    refuse_all(&world);
    let replica = world.replica();
    ask_all(std::slice::from_ref(&replica), &own).await;
    assert_eq!(dead(&world, &own).await, 20);
    ask_all(std::slice::from_ref(&replica), &keys).await;
    assert_eq!(dead(&world, &keys).await, BELIEVED);
    assert_eq!(count(&world, EventKind::ClientBraked).await, 0);
}

#[tokio::test(start_paused = true)]
async fn means_refused_for_a_set_of_scopes_count_and_are_not_held() {
    let (world, keys) = world_of(1).await;
    let minted = mint_all(&world, BELIEVED, &Means::default()).await;
    refuse_all(&world);
    let replica = world.replica();
    let ask = Ask {
        scopes: Some(["read".to_owned()].into_iter().collect()),
        ..Ask::default()
    };
    for key in &minted {
        let answer = replica.ask(key, ask.clone()).await;
        assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    }
    let tenth = replica.token(&keys[0]).await;
    assert_eq!(reason_of(&tenth), FailureReason::ClientBraked);
    assert_eq!(dead(&world, &minted).await, BELIEVED);
}

#[tokio::test(start_paused = true)]
async fn means_refused_for_a_set_of_scopes_die_of_nothing_while_the_brake_is_engaged() {
    let (world, keys) = world_of(BELIEVED + 1).await;
    let minted = mint_all(&world, 3, &Means::default()).await;
    refuse_all(&world);
    let replica = world.replica();
    ask_all(std::slice::from_ref(&replica), &keys).await;
    assert_eq!(held(&world).await, 1);
    let ask = Ask {
        scopes: Some(["read".to_owned()].into_iter().collect()),
        ..Ask::default()
    };
    for key in &minted {
        let answer = replica.ask(key, ask.clone()).await;
        assert_eq!(reason_of(&answer), FailureReason::ClientBraked);
    }
    assert_eq!(dead(&world, &minted).await, 0);
}

fn report(world: &World, account: &str) -> Report {
    Report {
        delivery: DeliveryId::new(ReceiverName::parse("acme").unwrap(), "1"),
        provider: client().provider,
        client: None,
        subjects: vec![Subject::Account(account.to_owned())],
        reason: InvalidationReason::AccessDenied,
        event: "account-disabled".into(),
        message: String::new(),
        happened_at: Some(world.clock.now()),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_reports_of_a_held_grant_is_believed() {
    let world = World::new();
    let mut keys = Vec::new();
    for name in 0..20 {
        let name = format!("c{name}");
        let tokens = world.provider.consent(&name);
        keys.push(world.connect_with(&name, Some(&name), tokens).await);
    }
    world.expire();
    refuse_all(&world);
    let replica = world.replica();
    ask_all(std::slice::from_ref(&replica), &keys).await;
    let held_before = held(&world).await;
    let mut suspect = None;
    for key in &keys {
        let facts = world.grant(key).await.facts;
        if facts.state.suspicion().is_some() {
            suspect = Some((key, facts.account.unwrap()));
        }
    }
    let (key, account) = suspect.unwrap();
    let registry = replica.broker.registry();
    let reported = registry.report(&report(&world, &account)).await;
    assert_eq!(reported.unwrap().unwrap().grants, 1);
    assert!(!world.is_active(key).await);
    assert_eq!(held(&world).await, held_before - 1);
    world.check(key).await;
}

// R3
#[tokio::test(start_paused = true)]
async fn r3_a_held_grant_is_revoked_under_a_lease_as_one_that_works() {
    let (world, keys) = world_of(20).await;
    refuse_all(&world);
    let replica = world.replica();
    ask_all(std::slice::from_ref(&replica), &keys).await;
    let mut suspects = Vec::new();
    for key in &keys {
        if world.grant(key).await.facts.state.suspicion().is_some() {
            suspects.push(key.clone());
        }
    }
    let claim = world.store.faults().hold_next(Op::Claim);
    let (revoker, key) = (replica.broker.revoker(), suspects[0].clone());
    let deleted = {
        let key = key.clone();
        let tracker = TaskTracker::new();
        tracker.spawn(async move { revoker.delete_credential(&key, None).await })
    };
    let claimed = tokio::time::timeout(seconds(60), claim.reached()).await;
    claimed.expect("it is claimed first");
    assert!(world.provider.revocations().is_empty());
    claim.release();
    assert_eq!(deleted.await.unwrap(), Ok(RevocationOutcome::Revoked));
    assert_eq!(held(&world).await, suspects.len() - 1);
    assert_eq!(world.provider.revocations().len(), 1);
}
