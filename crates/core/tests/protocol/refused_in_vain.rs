//! A refusal that was confirmed and could not be stored: the attempt is over all the same, and leaves no doubt.

use evergrant_core::broker::Ask;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::CredentialKey;
use evergrant_core::scopes::ScopeSet;
use evergrant_core::secret::Parameter;
use evergrant_core::store::GrantStore;
use evergrant_core::testing::provider::refused as refused_grant;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::world::{Replica, World, death_of, reason_of, refused, seconds};

/// Once the store is back, the grant is dead of what the provider said, after one more call.
async fn ends_as_it_was_refused(world: &World, replica: &Replica, key: &CredentialKey) {
    world.provider.revoke("a");
    world.store.faults().fail_next(Op::Apply, 1);
    let answer = replica.ask(key, refused(1)).await;
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
    let facts = world.grant(key).await.facts;
    assert_eq!((facts.lease, facts.in_doubt), (None, false));
    tokio::time::sleep(seconds(10)).await;
    let answer = replica.ask(key, refused(1)).await;
    assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    assert_eq!(world.calls(), 2);
    world.check(key).await;
}

// R5
#[tokio::test(start_paused = true)]
async fn a_refusal_that_could_not_be_stored_is_no_lost_rotation() {
    let (world, replica, key) = World::with_fresh().await;
    ends_as_it_was_refused(&world, &replica, &key).await;
}

// R5
#[tokio::test(start_paused = true)]
async fn nor_is_one_of_a_grant_that_brings_its_own_client() {
    let world = World::new();
    let mut tokens = world.provider.consent("a");
    let own = ("client_id".to_owned(), Parameter::new("own".into()));
    tokens.means.parameters = [own].into();
    let key = world.connect_with("a", None, tokens).await;
    ends_as_it_was_refused(&world, &world.replica(), &key).await;
}

// R5
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_some_seconds_is_waited_for_while_callers_are_not() {
    for is_down in [true, false] {
        let (world, replica, key) = World::with_fresh().await;
        world.provider.revoke("a");
        let held = world.provider.hold_next();
        let caller = replica.begin_ask(&key, refused(1));
        held.reached().await;
        let faults = world.store.faults();
        // Away before the refusal is confirmed, or only when it is to be stored.
        if is_down {
            faults.set_down(true);
        } else {
            faults.fail_next(Op::Apply, 1);
            faults.fail_next(Op::EndAttempt, 3);
        }
        let began = Instant::now();
        held.release();
        let answer = caller.await.unwrap();
        assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
        assert_eq!(began.elapsed(), seconds(0));
        tokio::time::sleep(seconds(6)).await;
        faults.set_down(false);
        tokio::time::sleep(seconds(14)).await;
        let answer = replica.ask(&key, refused(1)).await;
        assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
        assert_eq!(world.calls(), 2);
        replica.idle().await;
        world.check(&key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_derived_grant_whose_refusal_could_not_be_stored_is_free_for_the_next_attempt() {
    let (world, replica, key) = World::with_minted().await;
    let scopes: ScopeSet = ["read".to_owned()].into_iter().collect();
    let ask = Ask {
        scopes: Some(scopes.clone()),
        ..Ask::default()
    };
    let first = replica.ask(&key, ask.clone()).await.unwrap();
    let reason = InvalidationReason::GrantRevoked;
    world.provider.fail_all(Some(refused_grant(reason)));
    world.store.faults().fail_next(Op::Apply, 1);
    let again = Ask {
        scopes: Some(scopes.clone()),
        ..refused(first.live.grant.facts.generation.0)
    };
    let answer = replica.ask(&key, again.clone()).await;
    assert_eq!(reason_of(&answer), FailureReason::StoreUnavailable);
    let base = world.grant(&key).await.facts.id;
    let derived = world.store.derived(&base, &scopes).await.unwrap().unwrap();
    assert_eq!(derived.facts.lease, None);
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(death_of(&replica.ask(&key, again).await), reason);
}
