//! A credential is deleted, and its grant taken back at the provider first.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::events::EventKind;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{Delivery, Revocation, Rotation, Verdict};
use evergrant_core::revocation::RevocationOutcome::{self, NotSupported, Revoked, Shared};
use evergrant_core::revocation::RevokeError;
use evergrant_core::secret::RefreshToken;
use evergrant_core::store::GrantStore as _;
use evergrant_core::testing::provider::{Reuse, failure};
use evergrant_core::testing::store::Op;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::doomed::Doomed;
use super::rotation::again;
use super::world::{LIMITS, Replica, World, client, death_of, generation_of, key, seconds};

type Deleted = Result<RevocationOutcome, RevokeError>;

impl Replica {
    async fn revoke(&self, key: &CredentialKey) -> Deleted {
        self.broker.revoker().delete_credential(key, None).await
    }

    async fn revoke_within(&self, key: &CredentialKey, patience: Duration) -> Deleted {
        let revoker = self.broker.revoker();
        let deadline = Instant::now() + patience;
        revoker.delete_credential(key, Some(deadline)).await
    }

    /// Revokes in a task of its own.
    fn begin_revoke(&self, key: &CredentialKey) -> JoinHandle<Deleted> {
        let (revoker, key) = (self.broker.revoker(), key.clone());
        TaskTracker::new().spawn(async move { revoker.delete_credential(&key, None).await })
    }
}

impl World {
    /// The refresh tokens that the provider was asked to take back, in order.
    fn revoked(&self) -> Vec<String> {
        let calls = self.provider.revocations().into_iter();
        calls
            .map(|call| text(call.refresh_token.as_ref()))
            .collect()
    }

    async fn is_gone(&self, key: &CredentialKey) -> bool {
        self.store.grant_of(key).await.unwrap().is_none()
    }

    fn accepts(&self, token: &str) -> bool {
        self.provider.accepts(&RefreshToken::new(token.to_owned()))
    }
}

fn text(token: Option<&RefreshToken>) -> String {
    token.map_or_else(String::new, |token| token.expose().to_owned())
}

fn reason(deleted: Deleted) -> FailureReason {
    match deleted {
        Err(RevokeError::Failed { failure, .. }) => failure.reason,
        other => panic!("not a failure: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_revoked_and_then_forgotten() {
    let (world, replica, key) = World::with_fresh().await;
    assert_eq!(replica.revoke(&key).await, Ok(Revoked));
    assert_eq!(world.revoked(), ["refresh-a-1"]);
    assert!(!world.accepts("refresh-a-1"));
    assert!(world.is_gone(&key).await);
    assert_eq!(world.kinds().await, [EventKind::CredentialDeleted]);
    assert!(replica.token(&key).await.is_err());
    replica.idle().await;
    assert!(world.coordinator.is_quiescent());
    assert_eq!(world.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found_and_nobody_is_asked() {
    let (world, replica, _) = World::with_fresh().await;
    let missing = key("nobody");
    let error = replica.revoke(&missing).await.unwrap_err();
    assert_eq!(error, RevokeError::NotFound(missing));
    assert!(world.revoked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_revoked_with_the_last_of_its_credentials_only() {
    let world = World::new();
    let mut keys = Vec::new();
    for name in ["a", "b"] {
        let tokens = world.provider.consent("installation");
        keys.push(world.connect_with(name, Some("acct"), tokens).await);
    }
    let replica = world.replica();
    let left = Ok(Shared(vec![keys[1].clone()]));
    assert_eq!(replica.revoke(&keys[0]).await, left);
    assert!(world.revoked().is_empty() && world.is_gone(&keys[0]).await);
    assert!(replica.token(&keys[1]).await.is_ok());
    assert_eq!(replica.revoke(&keys[1]).await, Ok(Revoked));
    assert_eq!(world.revoked(), ["refresh-installation-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_cannot_revoke_is_no_reason_to_keep_the_credential() {
    let (world, replica, key) = World::with_fresh().await;
    let cannot = Ok(Revocation::NotSupported);
    world.provider.answer_next_revocation(cannot);
    assert_eq!(replica.revoke(&key).await, Ok(NotSupported));
    assert!(world.is_gone(&key).await);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_keeps_the_credential_and_harms_nothing() {
    let faults = [
        (Verdict::Client, FailureReason::ClientRejected),
        (Verdict::Request, FailureReason::ProviderProtocolError),
        (Verdict::Protocol, FailureReason::ProviderProtocolError),
        (Verdict::Transient, FailureReason::ProviderUnavailable),
        (Verdict::RateLimit, FailureReason::ProviderRateLimited),
    ];
    for (verdict, expected) in faults {
        let (world, replica, key) = World::with_expired().await;
        let fault = Err(failure(verdict, "no"));
        world.provider.answer_next_revocation(fault);
        assert_eq!(reason(replica.revoke(&key).await), expected);
        assert_eq!(world.kinds().await, []);
        // The lease is given back, and no client is held back for what another endpoint says.
        assert_eq!(generation_of(&replica.token(&key).await), 2);
        replica.idle().await;
        world.check(&key).await;
        assert_eq!(
            replica.revoke(&key).await,
            Ok(Revoked),
            "it may be repeated"
        );
    }
}

/// An entry that leads to where nothing may be sent, say: no later try would end otherwise.
#[tokio::test(start_paused = true)]
async fn a_revocation_that_cannot_be_asked_for_is_not_one_that_may_work_later() {
    let (world, replica, key) = World::with_expired().await;
    let mut fault = failure(
        Verdict::Request,
        "revoke_url leads to an address that is not public",
    );
    fault.delivery = Delivery::NotSent;
    world.provider.answer_next_revocation(Err(fault));
    assert_eq!(
        reason(replica.revoke(&key).await),
        FailureReason::GrantUnusable
    );
    assert!(world.is_active(&key).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_configured_any_more_cannot_revoke() {
    let (world, replica, key) = World::with_fresh().await;
    world.provider.forget_clients();
    let deleted = replica.revoke(&key).await;
    assert_eq!(reason(deleted), FailureReason::UnknownClient);
    assert!(world.is_active(&key).await);
}

// A rotation under way must not leave a successor behind that lives on.
#[tokio::test(start_paused = true)]
async fn a_refresh_under_way_is_waited_for_and_what_it_brings_is_revoked() {
    let (world, one, _) = World::with_expired().await;
    world
        .provider
        .set_reuse(Reuse::Refused, Rotation::SingleUse);
    world.connect("b").await;
    let two = world.replica();
    for (name, replica) in [("a", &one), ("b", &two)] {
        let key = key(name);
        let (spent, successor) = (format!("refresh-{name}-1"), format!("refresh-{name}-2"));
        world.expire();
        let held = world.provider.hold_next_answer();
        let refresh = one.begin(&key);
        held.reached().await;
        let revoking = replica.begin_revoke(&key);
        tokio::time::sleep(LIMITS.attempt_timeout).await;
        assert!(!revoking.is_finished());
        held.release();
        assert_eq!(revoking.await.unwrap(), Ok(Revoked));
        assert_eq!(world.revoked().pop(), Some(successor.clone()));
        assert!(!world.accepts(&successor) && !world.accepts(&spent));
        assert!(world.is_gone(&key).await);
        assert_eq!(generation_of(&refresh.await.unwrap()), 2);
    }
    one.idle().await;
    assert!(world.coordinator.is_quiescent());
    assert!(world.store.orphans().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_refreshes_a_grant_that_is_being_revoked() {
    let (world, one, key) = World::with_expired().await;
    let two = world.replica();
    let held = world.provider.hold_next_revocation();
    let revoking = one.begin_revoke(&key);
    held.reached().await;
    let asking = [one.begin(&key), two.begin(&key)];
    tokio::time::sleep(LIMITS.attempt_timeout).await;
    assert_eq!(world.calls(), 0);
    held.release();
    assert_eq!(revoking.await.unwrap(), Ok(Revoked));
    for caller in asking {
        assert!(caller.await.unwrap().is_err());
    }
    assert_eq!(world.calls(), 0);
    assert_eq!(world.kinds().await, [EventKind::CredentialDeleted]);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_for_a_refresh_has_changed_nothing() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    let began = Instant::now();
    let late = replica.revoke_within(&key, seconds(5)).await;
    assert_eq!(late, Err(RevokeError::InProgress(key.clone())));
    assert_eq!(began.elapsed(), seconds(5));
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    replica.idle().await;
    assert!(world.revoked().is_empty());
    assert_eq!(world.kinds().await, []);
    world.check(&key).await;
}

// L2: a token that is revoked must be forgotten, whoever is still there to hear of it.
#[tokio::test(start_paused = true)]
async fn l2_a_revocation_that_has_begun_goes_on_without_its_caller() {
    let (world, replica, key) = World::with_fresh().await;
    let held = world.provider.hold_next_revocation();
    let late = replica.revoke_within(&key, seconds(5)).await;
    assert_eq!(late, Err(RevokeError::InProgress(key.clone())));
    held.release();
    replica.idle().await;
    assert!(world.is_gone(&key).await);

    let key = world.connect("b").await;
    let held = world.provider.hold_next_revocation();
    let caller = replica.begin_revoke(&key);
    held.reached().await;
    caller.abort();
    held.release();
    replica.idle().await;
    assert!(world.is_gone(&key).await);
    assert!(world.coordinator.is_quiescent());
}

#[tokio::test(start_paused = true)]
async fn two_who_delete_at_once_revoke_once() {
    let (world, one, key) = World::with_fresh().await;
    let two = world.replica();
    let held = world.provider.hold_next_revocation();
    let callers = [
        one.begin_revoke(&key),
        one.begin_revoke(&key),
        two.begin_revoke(&key),
    ];
    held.reached().await;
    held.release();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.unwrap());
    }
    answers.retain(|answer| *answer != Err(RevokeError::NotFound(key.clone())));
    assert_eq!(answers, [Ok(Revoked)]);
    assert_eq!(world.revoked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_begins_no_revocation() {
    let (world, replica, key) = World::with_fresh().await;
    replica.stop.cancel();
    let deleted = replica.revoke(&key).await;
    assert_eq!(reason(deleted), FailureReason::ShuttingDown);
    assert!(world.revoked().is_empty() && world.is_active(&key).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_and_not_forgotten_is_forgotten_by_the_next_try() {
    let (world, replica, key) = World::with_fresh().await;
    world.store.faults().fail_next(Op::Apply, 1);
    let deleted = replica.revoke(&key).await;
    assert_eq!(reason(deleted), FailureReason::StoreUnavailable);
    assert!(!world.is_gone(&key).await);
    assert_eq!(replica.revoke(&key).await, Ok(Revoked));
    assert_eq!(world.revoked().len(), 2);
    assert!(world.is_gone(&key).await);
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_nobody_is_asked() {
    let (world, replica, key) = World::with_fresh().await;
    world.store.faults().lose_next_answers(Op::Claim, 1);
    let deleted = replica.revoke(&key).await;
    assert_eq!(reason(deleted), FailureReason::StoreUnavailable);
    assert!(world.revoked().is_empty());
    world.check(&key).await;
}

// R8: the successor of the stored refresh token lies in escrow.
#[tokio::test(start_paused = true)]
async fn what_a_crashed_leader_obtained_is_revoked() {
    let (world, replica, key) = World::with_expired().await;
    world
        .provider
        .set_reuse(Reuse::Refused, Rotation::SingleUse);
    let commit = world.store.faults().hold_next(Op::Commit);
    let doomed = Doomed::begin(&world, &key).await;
    commit.reached().await;
    doomed.crash().await;
    assert!(world.accepts("refresh-a-2"));
    assert_eq!(replica.revoke(&key).await, Ok(Revoked));
    assert_eq!(world.revoked(), ["refresh-a-2"]);
    assert!(!world.accepts("refresh-a-2"));
    replica.idle().await;
    assert!(world.coordinator.is_quiescent());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_may_be_spent_is_not_taken_for_all_there_is_while_the_escrow_is_away() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let doomed = Doomed::begin(&world, &key).await;
    held.reached().await;
    doomed.crash().await;
    tokio::time::sleep(LIMITS.lease).await;
    world.coordinator.set(|faults| faults.down = true);
    let deleted = replica.revoke(&key).await;
    assert_eq!(reason(deleted), FailureReason::ProviderUnavailable);
    assert!(world.revoked().is_empty());
    world.coordinator.set(|faults| faults.down = false);
    assert_eq!(replica.revoke(&key).await, Ok(Revoked));
}

#[tokio::test(start_paused = true)]
async fn without_doubt_neither_lock_nor_escrow_is_needed() {
    let (world, replica, key) = World::with_fresh().await;
    world.coordinator.set(|faults| faults.down = true);
    assert_eq!(replica.revoke(&key).await, Ok(Revoked));
    assert!(world.is_gone(&key).await);
}

// The refresh token of the row is spent, and its successor is among the orphans.
#[tokio::test(start_paused = true)]
async fn what_came_too_late_for_a_reported_grant_is_revoked_with_it() {
    let (world, replica, key) = World::with_expired().await;
    world
        .provider
        .set_reuse(Reuse::Refused, Rotation::SingleUse);
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    let registry = replica.broker.registry();
    registry.invalidate(&key, None, "stolen").await.unwrap();
    let revoking = replica.begin_revoke(&key);
    tokio::time::sleep(seconds(10)).await;
    assert!(!revoking.is_finished(), "a call is under way");
    held.release();
    assert_eq!(
        death_of(&caller.await.unwrap()),
        InvalidationReason::Reported
    );
    assert_eq!(revoking.await.unwrap(), Ok(Revoked));
    assert_eq!(world.revoked(), ["refresh-a-2", "refresh-a-1"]);
    assert!(!world.accepts("refresh-a-2"));
}

// At some providers it would take the living consent along.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_consent_left_aside_is_not_revoked() {
    let (world, replica, key) = World::with_expired().await;
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(&key);
    held.reached().await;
    let ask = again(&key, world.provider.consent("b"), &world);
    let registry = Arc::clone(&replica.broker).registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    held.release();
    caller.await.unwrap().unwrap();
    replica.idle().await;
    assert_eq!(world.store.orphans().len(), 1);
    assert!(world.revoked().is_empty(), "a reconnect revokes nothing");
    assert_eq!(replica.revoke(&key).await, Ok(Revoked));
    assert_eq!(world.revoked(), ["refresh-b-1"]);
    assert!(world.accepts("refresh-a-2"));
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_comes_meanwhile_is_revoked_too() {
    let (world, replica, key) = World::with_fresh().await;
    let held = world.provider.hold_next_revocation();
    let revoking = replica.begin_revoke(&key);
    held.reached().await;
    let ask = again(&key, world.provider.consent("b"), &world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    held.release();
    assert_eq!(revoking.await.unwrap(), Ok(Revoked));
    assert_eq!(world.revoked(), ["refresh-a-1", "refresh-b-1"]);
    assert!(world.is_gone(&key).await);
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_joins_meanwhile_keeps_its_grant() {
    let world = World::new();
    let tokens = world.provider.consent("a");
    let key = world.connect_with("a", Some("acct"), tokens).await;
    let replica = world.replica();
    let held = world.provider.hold_next_revocation();
    let revoking = replica.begin_revoke(&key);
    held.reached().await;
    let tokens = world.provider.consent("b");
    let joined = world.connect_with("b", Some("acct"), tokens).await;
    held.release();
    let left = Ok(Shared(vec![joined.clone()]));
    assert_eq!(revoking.await.unwrap(), left, "the grant as it is now");
    assert!(world.is_gone(&key).await);
    world.expire();
    assert_eq!(generation_of(&replica.token(&joined).await), 3);
    replica.idle().await;
    world.check(&joined).await;
}
