//! One minted grant, tokens of many sets of scopes: each is a grant of its own underneath.

use evergrant_core::broker::{Ask, TokenError};
use evergrant_core::change::plan::MAX_DERIVED;
use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{GrantType, InvalidationReason, Means};
use evergrant_core::ids::{CredentialKey, Generation};
use evergrant_core::provider::Verdict;
use evergrant_core::scopes::ScopeSet;
use evergrant_core::store::{GrantStore, GrantVersion};
use evergrant_core::testing::provider::{failure, refused as refused_grant};

use super::minted::{hear_of, reconnect, text, with};
use super::renewal::renewing;
use super::world::{World, all, death_of, generation_of, reason_of, refused, seconds};

fn set(scopes: &[&str]) -> ScopeSet {
    scopes.iter().map(ToString::to_string).collect()
}

fn scoped(scopes: &[&str]) -> Ask {
    Ask {
        scopes: Some(set(scopes)),
        ..Ask::default()
    }
}

/// The sets of scopes that the provider was asked for, in order.
fn asked(world: &World) -> Vec<ScopeSet> {
    let calls = world.provider.calls();
    calls.into_iter().map(|call| call.means.scopes).collect()
}

async fn derived(world: &World, key: &CredentialKey, scopes: &[&str]) -> bool {
    let base = world.grant(key).await.facts.id;
    let found = world.store.derived(&base, &set(scopes)).await;
    found.unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn r3_each_set_of_scopes_is_one_call_whatever_the_order_and_however_many_ask() {
    let (world, one, key) = World::with_minted().await;
    let other = world.replica();
    world.provider.set_latency(seconds(1));
    let wanted = [
        scoped(&["read", "write"]),
        scoped(&["write", "read", "write"]),
        scoped(&["read"]),
        Ask::default(),
    ];
    let callers = (0..200)
        .map(|n| [&one, &other][n % 2].begin_ask(&key, wanted[n / 2 % 4].clone()))
        .collect();
    let answers = all(callers).await;
    assert_eq!(world.calls(), 3);
    for (n, answer) in answers.iter().enumerate() {
        let scopes = wanted[n / 2 % 4].scopes.clone().unwrap_or_default();
        let live = &answer.as_ref().unwrap().live;
        assert_eq!(live.grant.facts.requested_scopes, scopes);
        assert_eq!(live.grant.facts.scopes, scopes.as_slice());
    }
    assert_eq!(text(&answers[0]), text(&answers[2]), "one set, one token");
    assert_ne!(text(&answers[0]), text(&answers[4]));
    // From memory from then on.
    one.ask(&key, wanted[1].clone()).await.unwrap();
    assert_eq!(world.calls(), 3);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn the_scopes_that_a_credential_has_anyway_are_no_other_set() {
    let world = World::new();
    let means = Means {
        scopes: set(&["read"]),
        ..Means::default()
    };
    let key = world.mint("a", GrantType::JwtBearer, means).await;
    let replica = world.replica();
    let plain = replica.token(&key).await;
    assert_eq!(
        text(&replica.ask(&key, scoped(&["read"])).await),
        text(&plain)
    );
    assert_eq!(asked(&world), [set(&["read"])]);
}

#[tokio::test(start_paused = true)]
async fn scopes_that_a_user_fixed_cannot_be_chosen() {
    let (world, replica, key) = World::with_fresh().await;
    let answer = replica.ask(&key, scoped(&["read"])).await;
    assert!(
        matches!(answer, Err(TokenError::Scopes { .. })),
        "{answer:?}"
    );
    assert_eq!(world.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_provider_of_one_token_at_a_time_mints_for_one_set_of_scopes() {
    let (world, replica, key) = World::with_minted().await;
    world
        .provider
        .set_profile(|profile| profile.renewal.single_active_token = true);
    let answer = replica.ask(&key, scoped(&["read"])).await;
    assert!(
        matches!(answer, Err(TokenError::Scopes { .. })),
        "{answer:?}"
    );
    replica.token(&key).await.unwrap();
    assert_eq!(asked(&world), [ScopeSet::default()]);
}

#[tokio::test(start_paused = true)]
async fn a_set_of_scopes_is_renewed_while_it_is_wanted_and_only_then() {
    let (world, _, key) = World::with_minted().await;
    let replica = renewing(&world);
    let read = || scoped(&["read"]);
    replica.ask(&key, read()).await.unwrap();
    world.make_due_soon();
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(world.calls(), 1, "nobody asked");
    let first = replica.ask(&key, read()).await;
    tokio::time::sleep(seconds(5)).await;
    let second = replica.ask(&key, read()).await;
    assert_ne!(text(&first), text(&second), "renewed behind the answer");
    assert_eq!(world.calls(), 2);
    replica.stop.cancel();
    replica.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_of_one_set_is_renewed_alone() {
    let (world, replica, key) = World::with_minted().await;
    let plain = replica.token(&key).await;
    let read = replica.ask(&key, scoped(&["read"])).await;
    let report = Ask {
        scopes: Some(set(&["read"])),
        ..refused(generation_of(&read))
    };
    let renewed = replica.ask(&key, report).await;
    assert_ne!(text(&renewed), text(&read));
    assert_eq!(text(&replica.token(&key).await), text(&plain));
    assert_eq!(world.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_one_set_holds_no_other_back() {
    let (world, replica, key) = World::with_minted().await;
    let odd = failure(Verdict::Protocol, "");
    world.provider.answer_next(Err(odd));
    for _ in 0..10 {
        let answer = replica.ask(&key, scoped(&["odd"])).await;
        assert_eq!(reason_of(&answer), FailureReason::ProviderProtocolError);
    }
    assert_eq!(world.calls(), 1);
    replica.ask(&key, scoped(&["read"])).await.unwrap();
    replica.token(&key).await.unwrap();
    assert_eq!(world.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn scopes_that_the_client_may_not_have_do_not_reject_the_client() {
    let (world, replica, key) = World::with_minted().await;
    let invalid = failure(Verdict::Client, "invalid_scope");
    world.provider.answer_next(Err(invalid));
    let answer = replica.ask(&key, scoped(&["nonsense"])).await;
    assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
    replica.token(&key).await.unwrap();
    assert_eq!(world.kinds().await, []);
}

#[tokio::test(start_paused = true)]
async fn e1_means_refused_for_one_set_are_dead_for_all_and_told_once() {
    let (world, replica, key) = World::with_minted().await;
    let other = world.replica();
    for replica in [&replica, &other] {
        replica.token(&key).await.unwrap();
        replica.ask(&key, scoped(&["read"])).await.unwrap();
    }
    let refusal = refused_grant(InvalidationReason::GrantRevoked);
    world.provider.answer_next(Err(refusal));
    let callers = (0..50)
        .map(|n| [&replica, &other][n % 2].begin_ask(&key, scoped(&["write"])))
        .collect();
    for answer in all(callers).await {
        assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
    }
    for ask in [Ask::default(), scoped(&["read"]), scoped(&["other"])] {
        for replica in [&replica, &other] {
            let answer = replica.ask(&key, ask.clone()).await;
            assert_eq!(death_of(&answer), InvalidationReason::GrantRevoked);
        }
    }
    assert_eq!(world.calls(), 3);
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
    assert!(!derived(&world, &key, &["read"]).await);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r6_a_refusal_of_means_that_were_replaced_meanwhile_harms_nothing() {
    let (world, replica, key) = World::with_minted().await;
    replica.token(&key).await.unwrap();
    let refusal = refused_grant(InvalidationReason::GrantRevoked);
    world.provider.fail_all(Some(refusal));
    let held = world.provider.hold_next_answer();
    let caller = replica.begin_ask(&key, scoped(&["read"]));
    held.reached().await;
    world.provider.fail_all(None);
    reconnect(&world, &world.replica(), &key, with(&[("subject", "b")])).await;
    held.release();
    let answer = caller.await.unwrap();
    assert!(answer.is_ok(), "with the new means: {answer:?}");
    let last = world.provider.calls().pop().unwrap();
    assert_eq!(last.means.parameters, with(&[("subject", "b")]).parameters);
    assert!(world.is_active(&key).await);
    assert_eq!(world.kinds().await, []);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_set_while_another_is_minted_with_success_is_a_failure_that_may_pass() {
    let (world, replica, key) = World::with_minted().await;
    let refusal = refused_grant(InvalidationReason::GrantRevoked);
    world.provider.fail_all(Some(refusal));
    let held = world.provider.hold_next_answer();
    let caller = replica.begin_ask(&key, scoped(&["read"]));
    held.reached().await;
    world.provider.fail_all(None);
    replica.token(&key).await.unwrap();
    held.release();
    let answer = caller.await.unwrap();
    assert_eq!(reason_of(&answer), FailureReason::ProviderUnavailable);
    assert!(world.is_active(&key).await);
    world.check(&key).await;
}

// D5
#[tokio::test(start_paused = true)]
async fn other_means_mint_other_tokens_of_every_set() {
    let (world, one, key) = World::with_minted().await;
    let other = world.replica();
    for replica in [&one, &other] {
        replica.ask(&key, scoped(&["read"])).await.unwrap();
    }
    let means = with(&[("corpsecret", "2")]);
    reconnect(&world, &one, &key, means.clone()).await;
    hear_of(&world, &other, &key).await;
    for replica in [&one, &other] {
        let answer = replica.ask(&key, scoped(&["read"])).await;
        assert_eq!(text(&answer), "access-2");
    }
    let last = world.provider.calls().pop().unwrap();
    assert_eq!(last.means.parameters, means.parameters);
    assert_eq!(world.calls(), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn sets_of_scopes_are_bounded_and_the_unused_make_room() {
    let (world, replica, key) = World::with_minted().await;
    for n in 0..MAX_DERIVED {
        let name = format!("s{n}");
        replica.ask(&key, scoped(&[&name])).await.unwrap();
        tokio::time::sleep(seconds(1)).await;
    }
    let one_more = replica.ask(&key, scoped(&["more"])).await;
    assert_eq!(
        one_more.unwrap_err(),
        TokenError::TooManyScopeSets(key.clone())
    );
    replica.token(&key).await.unwrap();
    assert_eq!(world.calls(), MAX_DERIVED + 1);

    world.expire();
    let kept = replica.ask(&key, scoped(&["s0"])).await;
    replica.ask(&key, scoped(&["more"])).await.unwrap();
    assert!(derived(&world, &key, &["s0"]).await, "it was used since");
    assert!(!derived(&world, &key, &["s1"]).await);
    let back = replica.ask(&key, scoped(&["s1"])).await;
    assert!(generation_of(&back) > generation_of(&kept) - 10);
    assert_eq!(text(&replica.ask(&key, scoped(&["s0"])).await), text(&kept));
}

#[tokio::test(start_paused = true)]
async fn a_set_goes_with_its_credential() {
    let (world, replica, key) = World::with_minted().await;
    let other = world.replica();
    for replica in [&replica, &other] {
        replica.ask(&key, scoped(&["read"])).await.unwrap();
    }
    let registry = replica.broker.registry();
    let base = world.grant(&key).await.facts;
    assert!(registry.delete_credential(&key).await.unwrap());
    other.broker.learn(&GrantVersion {
        id: base.id,
        generation: base.generation,
        version: u64::MAX,
    });
    for replica in [&replica, &other] {
        let answer = replica.ask(&key, scoped(&["read"])).await;
        assert_eq!(answer.unwrap_err(), TokenError::NotFound(key.clone()));
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_may_name_the_generation_of_any_of_its_tokens() {
    let (world, replica, key) = World::with_minted().await;
    replica.token(&key).await.unwrap();
    let read = replica.ask(&key, scoped(&["read"])).await;
    let registry = replica.broker.registry();
    let seen = Generation(generation_of(&read));
    let older = registry.invalidate(&key, Some(Generation(seen.0 - 1)), "gone");
    older.await.unwrap_err();
    assert!(world.is_active(&key).await);
    registry.invalidate(&key, Some(seen), "gone").await.unwrap();
    let answer = replica.ask(&key, scoped(&["read"])).await;
    assert_eq!(death_of(&answer), InvalidationReason::Reported);
}
