//! Grants whose tokens are minted: no user, no refresh token, nothing to lose (D1, B14).

use std::collections::BTreeMap;

use evergrant_core::broker::Ask;
use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{GrantType, InvalidationReason, Means, TokenSet};
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{Renewal, Verdict};
use evergrant_core::secret::{Parameter, SigningKey};
use evergrant_core::store::GrantVersion;
use evergrant_core::testing::provider::{failure, refused as refused_grant};
use evergrant_core::testing::store::Op;

use super::doomed::Doomed;
use super::renewal::renewing;
use super::rotation::again;
use super::world::{
    Answered, Replica, World, all, client, death_of, generation_of, key, reason_of, refused,
    seconds,
};

pub(super) fn with(parameters: &[(&str, &str)]) -> Means {
    let parameters = parameters.iter();
    Means {
        parameters: parameters
            .map(|(name, value)| ((*name).to_owned(), Parameter::new((*value).to_owned())))
            .collect(),
        ..Means::default()
    }
}

pub(super) fn text(answered: &Answered) -> String {
    let live = &answered.as_ref().unwrap().live;
    live.grant.tokens.access_token.expose().to_owned()
}

pub(super) async fn reconnect(world: &World, replica: &Replica, key: &CredentialKey, means: Means) {
    let ask = again(key, TokenSet::to_mint(means), world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
}

/// Lets a replica hear how the credential's own grant stands, and nothing of those that are derived from it.
pub(super) async fn hear_of(world: &World, replica: &Replica, key: &CredentialKey) {
    let facts = world.grant(key).await.facts;
    replica.broker.learn(&GrantVersion {
        id: facts.id,
        generation: facts.generation,
        version: facts.version,
    });
}

#[tokio::test(start_paused = true)]
async fn r3_the_first_token_is_minted_by_one_call_at_the_first_request() {
    let (world, one, key) = World::with_minted().await;
    let other = world.replica();
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(world.calls(), 0);
    world.provider.set_latency(seconds(1));
    let callers = (0..100)
        .map(|n| [&one, &other][n % 2].begin(&key))
        .collect();
    for answer in all(callers).await {
        assert_eq!(text(&answer), "access-1");
    }
    assert_eq!(text(&other.token(&key).await), "access-1");
    assert_eq!(world.calls(), 1);
    world.check(&key).await;
}

// B14
#[tokio::test(start_paused = true)]
async fn a_minted_token_is_renewed_in_every_way_without_a_refresh_token() {
    let (world, replica, key) = World::with_minted().await;
    assert!(world.grant(&key).await.facts.refreshable);
    assert_eq!(text(&replica.token(&key).await), "access-1");
    world.expire();
    assert_eq!(text(&replica.token(&key).await), "access-2");
    world.make_due_soon();
    assert_eq!(
        text(&replica.token(&key).await),
        "access-2",
        "served at once"
    );
    replica.idle().await;
    assert_eq!(text(&replica.token(&key).await), "access-3");
    let generation = generation_of(&replica.token(&key).await);
    assert_eq!(
        text(&replica.ask(&key, refused(generation)).await),
        "access-4"
    );
    assert_eq!(world.calls(), 4);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn background_work_renews_what_was_minted_and_mints_nothing_that_nobody_wanted() {
    let (world, _, key) = World::with_minted().await;
    let unused = world
        .mint("unused", GrantType::JwtBearer, Means::default())
        .await;
    let replica = renewing(&world);
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(world.calls(), 0);
    replica.token(&key).await.unwrap();
    world.make_due_soon();
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(world.calls(), 2);
    assert!(!world.grant(&unused).await.facts.has_token());
    replica.stop.cancel();
    replica.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_during_a_mint_costs_one_more_call_and_no_doubt() {
    let (world, replica, key) = World::with_minted().await;
    let held = world.provider.hold_next_answer();
    let doomed = Doomed::begin(&world, &key).await;
    held.reached().await;
    doomed.crash().await;
    // A refused mint after a crash says that the means are refused, and not that a rotation was lost.
    world
        .provider
        .answer_next(Err(refused_grant(InvalidationReason::GrantRevoked)));
    let died = replica.token(&key).await;
    assert_eq!(death_of(&died), InvalidationReason::GrantRevoked);
    assert_eq!(world.calls(), 2);
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_minted_again_at_once() {
    let (world, replica, key) = World::with_minted().await;
    world.provider.lose_next_answer();
    assert_eq!(text(&replica.token(&key).await), "access-2");
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_that_can_be_minted_again_is_put_in_escrow_or_kept_aside() {
    let (world, replica, key) = World::with_minted().await;
    let id = world.grant(&key).await.facts.id;
    let commit = world.store.faults().hold_next(Op::Commit);
    let caller = replica.begin(&key);
    commit.reached().await;
    assert_eq!(world.coordinator.escrowed(&id), None);
    // Whoever deletes the credential meanwhile wants its means gone too.
    let registry = world.replica().broker.registry();
    assert!(registry.delete_credential(&key).await.unwrap());
    commit.release();
    caller.await.unwrap().unwrap_err();
    assert!(world.store.orphans().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_lets_go_of_a_token_that_it_cannot_store() {
    let (world, replica, key) = World::with_minted().await;
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    world.store.faults().fail_next(Op::Commit, 10_000);
    held.release();
    assert_eq!(text(&caller.await.unwrap()), "access-1", "from memory");
    replica.stop.cancel();
    replica.idle().await;
    assert!(replica.broker.give_up().is_empty(), "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn a_failed_mint_is_remembered_and_callers_are_told_without_a_call() {
    let (world, replica, key) = World::with_minted().await;
    let away = failure(Verdict::RateLimit, "slow_down");
    world.provider.fail_all(Some(away));
    let first = replica.token(&key).await;
    assert_eq!(reason_of(&first), FailureReason::ProviderRateLimited);
    let callers = (0..50).map(|_| world.replica().begin(&key)).collect();
    for answer in all(callers).await {
        assert_eq!(reason_of(&answer), FailureReason::ProviderRateLimited);
    }
    assert_eq!(world.calls(), 1);
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(text(&replica.token(&key).await), "access-1");
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_client_holds_minted_grants_back_and_is_told() {
    let (world, replica, key) = World::with_minted().await;
    let rejection = failure(Verdict::Client, "invalid_client");
    world.provider.answer_next(Err(rejection));
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
    assert_eq!(world.kinds().await, [EventKind::ClientRejected]);
    let again = replica.token(&key).await;
    assert_eq!(reason_of(&again), FailureReason::ClientRejected);
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_a_grant_brings_concerns_nobody_else() {
    let world = World::new();
    let means = with(&[("client_id", "own"), ("client_secret", "wrong")]);
    let own = world.mint("own", GrantType::ClientCredentials, means).await;
    let shared = world
        .mint("shared", GrantType::ClientCredentials, Means::default())
        .await;
    let replica = world.replica();
    let rejection = || Err(failure(Verdict::Client, "invalid_client"));
    world.provider.answer_next(rejection());
    let answer = replica.token(&own).await;
    assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
    assert_eq!(world.kinds().await, []);
    assert_eq!(text(&replica.token(&shared).await), "access-1");
    let again = world.replica().token(&own).await;
    assert_eq!(reason_of(&again), FailureReason::ClientRejected);
    assert_eq!(world.calls(), 2, "it cools down");
    assert!(world.is_active(&own).await);

    // Nor is it held back by the configured client, or taken for its recovery.
    world.expire();
    world.provider.answer_next(rejection());
    let answer = replica.token(&shared).await;
    assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
    assert_eq!(text(&replica.token(&own).await), "access-2");
    let answer = replica.token(&shared).await;
    assert_eq!(reason_of(&answer), FailureReason::ClientRejected);
    assert!(world.kinds().await.ends_with(&[EventKind::ClientRejected]));
}

// D5, W58, W80
#[tokio::test(start_paused = true)]
async fn credentials_never_share_a_token_whatever_their_means_have_in_common() {
    let world = World::new();
    let corp = |secret| with(&[("corpid", "corp"), ("corpsecret", secret)]);
    let mut keys = Vec::new();
    for (name, means) in [("a", corp("1")), ("b", corp("2")), ("c", corp("2"))] {
        keys.push(world.mint(name, GrantType::ClientCredentials, means).await);
    }
    // W81
    keys.push(world.mint("d", GrantType::JwtBearer, corp("2")).await);
    let replica = world.replica();
    let mut seen = std::collections::BTreeSet::new();
    for key in &keys {
        assert!(seen.insert(text(&replica.token(key).await)));
    }
    assert_eq!(world.calls(), keys.len());
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_replaces_the_means_and_what_was_minted_with_them() {
    let (world, replica, key) = World::with_minted().await;
    let other = world.replica();
    other.token(&key).await.unwrap();
    let means = Means {
        signing_key: Some(SigningKey::new("new".into())),
        ..with(&[("subject", "b")])
    };
    reconnect(&world, &replica, &key, means.clone()).await;
    hear_of(&world, &other, &key).await;
    for replica in [&replica, &other] {
        assert_eq!(text(&replica.token(&key).await), "access-2");
    }
    assert_eq!(world.provider.calls().last().unwrap().means, means);
    assert_eq!(world.grant(&key).await.tokens.means, means, "and kept");
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn refused_means_invalidate_the_credential_until_they_are_replaced() {
    let (world, replica, key) = World::with_minted().await;
    world
        .provider
        .answer_next(Err(refused_grant(InvalidationReason::AccessDenied)));
    for _ in 0..10 {
        let answer = replica.token(&key).await;
        assert_eq!(death_of(&answer), InvalidationReason::AccessDenied);
    }
    assert_eq!(world.calls(), 1);
    reconnect(&world, &replica, &key, Means::default()).await;
    assert_eq!(text(&replica.token(&key).await), "access-1");
    let told = [
        EventKind::CredentialInvalidated,
        EventKind::CredentialRestored,
    ];
    assert_eq!(world.kinds().await, told);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_known_end_is_minted_once() {
    let (world, replica, key) = World::with_minted().await;
    world.provider.set_lifetime(None);
    replica.token(&key).await.unwrap();
    world.clock.shift(seconds(100_000_000));
    assert_eq!(text(&replica.token(&key).await), "access-1");
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn facts_of_an_answer_are_kept_and_unstated_scopes_are_those_asked_for() {
    let world = World::new();
    let means = Means {
        scopes: ["write", "read"].map(str::to_owned).into_iter().collect(),
        ..Means::default()
    };
    let key = world.mint("a", GrantType::ClientCredentials, means).await;
    let replica = world.replica();
    let answer = replica.ask(&key, Ask::default()).await.unwrap();
    assert_eq!(answer.live.grant.facts.scopes, ["read", "write"]);
    assert_eq!(answer.live.grant.tokens.metadata, BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_deleted_is_minted_for_no_more() {
    let (world, replica, _) = World::with_minted().await;
    let key = key("a");
    replica.token(&key).await.unwrap();
    let registry = replica.broker.registry();
    assert!(registry.delete_credential(&key).await.unwrap());
    replica.token(&key).await.unwrap_err();
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_rules_of_refresh_tokens_do_not_hold_for_what_is_minted() {
    let (world, replica, key) = World::with_minted().await;
    world.provider.set_profile(|profile| {
        profile.renewal = Renewal {
            self_renewing: true,
            min_age: Some(seconds(1_800)),
            only_while_valid: true,
            grant_lifetime: Some(seconds(60)),
            ..Renewal::default()
        };
    });
    let first = generation_of(&replica.token(&key).await);
    assert_eq!(text(&replica.ask(&key, refused(first)).await), "access-2");
    world.expire();
    assert_eq!(text(&replica.token(&key).await), "access-3");
    assert_eq!(world.grant(&key).await.facts.dates.end, None);
    world.check(&key).await;
}
