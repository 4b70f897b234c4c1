//! Tokens of every set of scopes are taken back with the credential that they were minted for.

use evergrant_core::broker::Ask;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{GrantType, Means};
use evergrant_core::ids::{CredentialKey, KillId};
use evergrant_core::kill::{KillBatch, KillOrder, KillTarget};
use evergrant_core::provider::{Revocation, Verdict};
use evergrant_core::revocation::RevocationOutcome::{self, NoToken, NotSupported, Revoked};
use evergrant_core::revocation::{RevokeError, Withdrawn};
use evergrant_core::store::GrantStore as _;
use evergrant_core::testing::provider::failure;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

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
    let (broker, wanted) = (replica.broker.clone(), key.clone());
    let revoking = tokio_util::task::TaskTracker::new()
        .spawn(async move { broker.revoker().delete_credential(&wanted, None).await });
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
    let order = KillOrder {
        id: KillId::random(),
        target: KillTarget::Provider(client().provider),
        begun_at: facts.created_at,
        reason: "the key leaked".into(),
        revoke: true,
    };
    let batch = KillBatch {
        order,
        after: None,
        limit: 100,
    };
    let killed = replica.broker.registry().kill(&batch).await.unwrap();
    assert_eq!(killed.map(|killed| killed.grants), Some(1));
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
