//! Tokens of every set of scopes are taken back with the credential that they were minted for.

use evergrant_core::broker::Ask;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{GrantType, Means, TokenSet};
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{Limits, Revocation, Verdict};
use evergrant_core::revocation::RevocationOutcome::{self, NoToken, NotSupported, Revoked};
use evergrant_core::revocation::{RevokeError, Withdrawn};
use evergrant_core::store::GrantStore as _;
use evergrant_core::testing::provider::failure;
use evergrant_core::testing::store::Op;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::rotation::again;
use super::world::{Replica, World, client, seconds};

const SETS: [&[&str]; 3] = [&[], &["read"], &["read", "write"]];

fn scoped(scopes: &[&str]) -> Ask {
    Ask {
        scopes: Some(scopes.iter().map(ToString::to_string).collect()),
        ..Ask::default()
    }
}

/// A minted credential of which a token of each of [`SETS`] was handed out.
async fn minted() -> (World, Replica, CredentialKey) {
    let (world, replica, key) = World::with_minted().await;
    for scopes in SETS {
        replica.ask(&key, scoped(scopes)).await.unwrap();
    }
    (world, replica, key)
}

/// The sets of scopes that the provider was asked to take back, each as one word.
fn taken_back(world: &World) -> Vec<String> {
    let calls = world.provider.revocations().into_iter();
    calls
        .map(|call| call.means.scopes.as_slice().join("+"))
        .collect()
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

async fn revoke(replica: &Replica, key: &CredentialKey) -> Result<RevocationOutcome, RevokeError> {
    replica.broker.revoker().delete_credential(key, None).await
}

/// Revokes in a task of its own.
fn begin_to_revoke(
    replica: &Replica,
    key: &CredentialKey,
) -> JoinHandle<Result<RevocationOutcome, RevokeError>> {
    let (broker, key) = (replica.broker.clone(), key.clone());
    TaskTracker::new().spawn(async move { broker.revoker().delete_credential(&key, None).await })
}

async fn is_gone(world: &World, key: &CredentialKey) -> bool {
    world.store.grant_of(key).await.unwrap().is_none()
}

#[tokio::test(start_paused = true)]
async fn the_tokens_of_all_sets_of_scopes_are_revoked_and_the_own_one_last() {
    let (world, replica, key) = minted().await;
    assert_eq!(revoke(&replica, &key).await, Ok(Revoked));
    let taken = taken_back(&world);
    assert_eq!(taken.last().map(String::as_str), Some(""));
    assert_eq!(sorted(taken), ["", "read", "read+write"]);
    assert!(is_gone(&world, &key).await);
    replica.idle().await;
    assert!(world.coordinator.is_quiescent());
}

#[tokio::test(start_paused = true)]
async fn a_failure_half_way_keeps_the_credential_and_asking_again_finishes() {
    let (world, replica, key) = minted().await;
    world
        .provider
        .answer_next_revocation(Ok(Revocation::Revoked));
    let down = failure(Verdict::Transient, "server_error");
    world.provider.answer_next_revocation(Err(down));
    let failed = match revoke(&replica, &key).await {
        Err(RevokeError::Failed { failure, .. }) => failure,
        other => panic!("not a failure: {other:?}"),
    };
    assert_eq!(failed.reason, FailureReason::ProviderUnavailable);
    let left = "1 token of another set of scopes is left to revoke: ";
    assert!(failed.message.starts_with(left), "{}", failed.message);
    assert!(!is_gone(&world, &key).await);

    // What was taken back is handed out no more, on no replica.
    let before = world.calls();
    let first = taken_back(&world)[0].clone();
    let scopes: Vec<_> = first.split('+').collect();
    replica.ask(&key, scoped(&scopes)).await.unwrap();
    assert_eq!(world.calls(), before + 1);

    assert_eq!(revoke(&replica, &key).await, Ok(Revoked));
    let taken = taken_back(&world);
    assert_eq!(taken.len(), 2 + 3, "with the one that was minted meanwhile");
    assert!(is_gone(&world, &key).await);
    replica.idle().await;
    assert!(world.coordinator.is_quiescent());
}

#[tokio::test(start_paused = true)]
async fn another_replica_hands_out_no_token_that_was_taken_back() {
    let (world, one, key) = minted().await;
    let other = world.replica();
    other.ask(&key, scoped(SETS[1])).await.unwrap();
    other.ask(&key, scoped(SETS[2])).await.unwrap();
    world
        .provider
        .answer_next_revocation(Ok(Revocation::Revoked));
    let down = failure(Verdict::Transient, "server_error");
    world.provider.answer_next_revocation(Err(down));
    assert!(revoke(&one, &key).await.is_err());
    super::minted::hear_of(&world, &other, &key).await;
    let before = world.calls();
    for scopes in SETS {
        other.ask(&key, scoped(scopes)).await.unwrap();
    }
    assert_eq!(world.calls(), before + 1, "the one is minted anew");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_cannot_revoke_is_asked_no_more_than_it_must() {
    let (world, replica, key) = minted().await;
    for _ in 0..2 {
        let cannot = Ok(Revocation::NotSupported);
        world.provider.answer_next_revocation(cannot);
    }
    assert_eq!(revoke(&replica, &key).await, Ok(NotSupported));
    assert_eq!(taken_back(&world).len(), 2);
    assert!(is_gone(&world, &key).await);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_being_minted_is_waited_for() {
    let (world, replica, key) = World::with_minted().await;
    replica.token(&key).await.unwrap();
    let held = world.provider.hold_next_answer();
    let asking = replica.begin_ask(&key, scoped(SETS[1]));
    held.reached().await;
    let revoking = begin_to_revoke(&replica, &key);
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(taken_back(&world), Vec::<String>::new());
    held.release();
    assert!(asking.await.unwrap().is_ok());
    assert_eq!(revoking.await.unwrap(), Ok(Revoked));
    assert_eq!(taken_back(&world), ["read", ""]);
    let hurried = world
        .mint("b", GrantType::JwtBearer, Means::default())
        .await;
    let held = world.provider.hold_next_answer();
    let asking = replica.begin_ask(&hurried, scoped(SETS[1]));
    held.reached().await;
    let deadline = Some(Instant::now() + seconds(2));
    let revoker = replica.broker.revoker();
    let late = revoker.delete_credential(&hurried, deadline).await;
    assert_eq!(late, Err(RevokeError::InProgress(hurried)));
    held.release();
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn tokens_that_have_ended_are_nobodys_business() {
    let (world, replica, key) = minted().await;
    world.expire();
    replica.ask(&key, scoped(SETS[2])).await.unwrap();
    assert_eq!(revoke(&replica, &key).await, Ok(Revoked));
    assert_eq!(taken_back(&world), ["read+write", ""]);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_minted_is_deleted_without_asking_anybody() {
    let (world, replica, key) = World::with_minted().await;
    assert_eq!(revoke(&replica, &key).await, Ok(NoToken));
    assert!(taken_back(&world).is_empty() && is_gone(&world, &key).await);
    let scopes_alone = world
        .mint("b", GrantType::JwtBearer, Means::default())
        .await;
    replica.ask(&scopes_alone, scoped(SETS[1])).await.unwrap();
    assert_eq!(revoke(&replica, &scopes_alone).await, Ok(Revoked));
    assert_eq!(taken_back(&world), ["read"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_in_between_loses_no_token() {
    let (world, replica, key) = minted().await;
    world.store.faults().fail_next(Op::Apply, 1);
    assert!(revoke(&replica, &key).await.is_err());
    assert!(!is_gone(&world, &key).await);
    assert_eq!(revoke(&replica, &key).await, Ok(Revoked));
    let taken = sorted(taken_back(&world));
    assert_eq!(taken.len(), 4, "one was asked for twice: {taken:?}");
    replica.idle().await;
    assert!(world.coordinator.is_quiescent());
}

#[tokio::test(start_paused = true)]
async fn a_kill_takes_back_the_tokens_of_all_sets_of_scopes() {
    let (world, replica, key) = minted().await;
    let facts = world.grant(&key).await.facts;
    replica.kill(&facts).await;
    for scopes in SETS {
        assert!(replica.ask(&key, scoped(scopes)).await.is_err());
    }
    let calls = world.calls();
    let revoker = replica.broker.revoker();
    let down = failure(Verdict::Transient, "server_error");
    world.provider.answer_next_revocation(Err(down));
    let failed = revoker.withdraw(&facts.id, facts.generation).await;
    let told = failed.unwrap_err().message;
    assert!(
        told.starts_with("2 tokens of other sets of scopes are left"),
        "{told}"
    );
    let withdrawn = revoker.withdraw(&facts.id, facts.generation).await;
    assert_eq!(withdrawn, Ok(Withdrawn::Revoked));
    assert_eq!(
        sorted(taken_back(&world)[1..].to_vec()),
        ["", "read", "read+write"]
    );
    assert_eq!(world.calls(), calls);
    replica.idle().await;
    assert!(world.coordinator.is_quiescent());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_minted_since_the_last_look_is_revoked_before_its_credential_is_deleted() {
    let (world, replica, key) = World::with_minted().await;
    replica.token(&key).await.unwrap();
    let held = world.provider.hold_next_revocation();
    let revoking = begin_to_revoke(&replica, &key);
    held.reached().await;
    replica.ask(&key, scoped(SETS[1])).await.unwrap();
    held.release();
    assert_eq!(revoking.await.unwrap(), Ok(Revoked));
    assert_eq!(taken_back(&world), ["", "read", ""]);
    assert!(is_gone(&world, &key).await);
}

#[tokio::test(start_paused = true)]
async fn a_caller_need_not_wait_until_all_of_them_are_revoked() {
    let (world, _, key) = minted().await;
    world.provider.set_profile(|profile| {
        profile.limits = Limits {
            concurrent: Some(1),
            per_minute: None,
        };
    });
    let replica = world.replica();
    let held = world.provider.hold_next_revocation();
    let revoking = begin_to_revoke(&replica, &key);
    held.reached().await;
    let other = world.connect("b").await;
    world.expire();
    let caller = replica.begin(&other);
    tokio::time::sleep(seconds(1)).await;
    assert!(!caller.is_finished(), "there is one place");
    held.release();
    assert!(caller.await.unwrap().is_ok());
    assert_eq!(taken_back(&world).len(), 1);
    assert_eq!(revoking.await.unwrap(), Ok(Revoked));
}

#[tokio::test(start_paused = true)]
async fn they_leave_callers_their_share_of_a_minute() {
    let (world, _, key) = minted().await;
    let (most, sets) = (4, 7);
    for n in 2..sets {
        let scopes = [n.to_string()];
        let ask = scoped(&[&*scopes[0]]);
        world.replica().ask(&key, ask).await.unwrap();
    }
    world.provider.set_profile(|profile| {
        profile.limits = Limits {
            concurrent: None,
            per_minute: Some(most),
        };
    });
    let replica = world.replica();
    let hurried = || Some(Instant::now() + seconds(5));
    let revoker = replica.broker.revoker();
    let failed = match revoker.delete_credential(&key, hurried()).await {
        Err(RevokeError::Failed { failure, .. }) => failure,
        other => panic!("not a failure: {other:?}"),
    };
    assert_eq!(failed.reason, FailureReason::ProviderRateLimited);
    let left = "4 tokens of other sets of scopes are left to revoke: ";
    assert!(failed.message.starts_with(left), "{}", failed.message);
    assert_eq!(taken_back(&world).len(), 3);
    let asked = Instant::now();
    replica.ask(&key, scoped(&["new"])).await.unwrap();
    assert_eq!(asked.elapsed(), seconds(0));

    while !is_gone(&world, &key).await {
        tokio::time::sleep(seconds(60)).await;
        let _ = revoker.delete_credential(&key, hurried()).await;
    }
    let mut taken = sorted(taken_back(&world));
    let all = taken.len();
    taken.dedup();
    assert_eq!((all, taken.len()), (sets + 2, sets + 2), "each once");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_for_another_token_once_the_caller_has_gone() {
    let (world, replica, key) = minted().await;
    let held = world.provider.hold_next_revocation();
    let deadline = Some(Instant::now() + seconds(2));
    let late = replica.broker.revoker();
    let late = late.delete_credential(&key, deadline).await;
    assert_eq!(late, Err(RevokeError::InProgress(key.clone())));
    held.release();
    replica.idle().await;
    assert_eq!(taken_back(&world).len(), 1);
    assert_eq!(revoke(&replica, &key).await, Ok(Revoked));
    assert_eq!(taken_back(&world).len(), SETS.len(), "each once");
    assert!(world.coordinator.is_quiescent());
}

#[tokio::test(start_paused = true)]
async fn what_a_reconnect_forgot_was_not_revoked() {
    let (world, replica, key) = minted().await;
    let held = world.provider.hold_next_revocation();
    let revoking = begin_to_revoke(&replica, &key);
    held.reached().await;
    world.clock.shift(seconds(1));
    let ask = again(&key, TokenSet::to_mint(Means::default()), &world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    held.release();
    assert_eq!(revoking.await.unwrap(), Ok(NotSupported));
    assert_eq!(taken_back(&world).len(), 1);
    assert!(is_gone(&world, &key).await);
}

#[tokio::test(start_paused = true)]
async fn what_another_replica_revoked_was_revoked() {
    let (world, one, key) = minted().await;
    let held = world.provider.hold_next_revocation();
    let revoking = begin_to_revoke(&one, &key);
    held.reached().await;
    let other = world.replica();
    let waiting = begin_to_revoke(&other, &key);
    tokio::time::sleep(seconds(2)).await;
    assert!(!waiting.is_finished() && taken_back(&world).len() == 1);
    held.release();
    for outcome in [revoking.await.unwrap(), waiting.await.unwrap()] {
        let fine = outcome == Ok(Revoked) || outcome == Err(RevokeError::NotFound(key.clone()));
        assert!(fine, "{outcome:?}");
    }
    assert_eq!(sorted(taken_back(&world)), ["", "read", "read+write"]);
}
