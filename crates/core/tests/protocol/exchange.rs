//! Token exchange: a token is minted from another credential's (RFC 8693).

use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{GrantType, InvalidationReason, Means, TokenSet};
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{CallError, Issued, Verdict};
use evergrant_core::testing::provider::{failure, refused as refused_grant};

use super::minted::{text, with};
use super::renewal::renewing;
use super::world::{Answered, World, all, due, generation_of, reason_of, seconds};

impl World {
    async fn exchange(&self, name: &str, subject: &str) -> CredentialKey {
        let means = with(&[("subject_credential", subject)]);
        self.mint(name, GrantType::TokenExchange, means).await
    }
}

/// The subjects' tokens that the provider was given, in order; empty where there was none.
fn given(world: &World) -> Vec<String> {
    let calls = world.provider.calls();
    let token = |means: Means| means.subject_token.map(|token| token.expose().to_owned());
    calls
        .into_iter()
        .map(|call| token(call.means).unwrap_or_default())
        .collect()
}

fn message(answered: &Answered) -> String {
    answered.as_ref().unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn the_subjects_token_is_obtained_first_and_then_exchanged() {
    let (world, replica, _) = World::with_expired().await;
    let key = world.exchange("x", "a").await;
    world.provider.set_latency(seconds(1));
    let callers = (0..50).map(|_| replica.begin(&key)).collect();
    for answer in all(callers).await {
        assert_eq!(text(&answer), "access-3");
    }
    assert_eq!(given(&world), ["", "access-2"], "one refresh, one exchange");
    let stored = world.grant(&key).await.tokens;
    assert_eq!(stored.means.subject_token, None, "it is not stored");
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn background_work_exchanges_too() {
    let (world, _, _) = World::with_fresh().await;
    let key = world.exchange("x", "a").await;
    let replica = renewing(&world);
    replica.token(&key).await.unwrap();
    world.make_due_soon();
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(world.calls(), 3);
    assert_eq!(generation_of(&replica.token(&key).await), 3);
    assert!(
        given(&world)
            .iter()
            .filter(|token| !token.is_empty())
            .count()
            == 2
    );
    replica.stop.cancel();
    replica.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_subject_fails_the_exchange_and_does_not_kill_its_grant() {
    let (world, replica, subject) = World::with_expired().await;
    let key = world.exchange("x", "a").await;
    let refusal = refused_grant(InvalidationReason::GrantRevoked);
    world.provider.answer_next(Err(refusal));
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::SubjectInvalid);
    assert!(message(&answer).contains("t1/a"), "{}", message(&answer));
    assert!(!world.is_active(&subject).await);
    assert!(world.is_active(&key).await);
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_exchanged_token_outlives_its_dead_subject() {
    let (world, replica, subject) = World::with_fresh().await;
    let key = world.exchange("x", "a").await;
    let first = replica.token(&key).await;
    let registry = replica.broker.registry();
    registry.invalidate(&subject, None, "gone").await.unwrap();
    assert_eq!(text(&replica.token(&key).await), text(&first));
    world.make_due();
    let old = replica.token(&key).await.unwrap();
    assert_eq!(old.failure.unwrap().reason, FailureReason::SubjectInvalid);
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_subject_is_named() {
    let world = World::new();
    let key = world.exchange("x", "nobody").await;
    let answer = world.replica().token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::SubjectInvalid);
    assert!(message(&answer).contains("t1/nobody"));
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_of_the_subject_is_told_as_one() {
    let (world, replica, _) = World::with_expired().await;
    let key = world.exchange("x", "a").await;
    world
        .provider
        .answer_next(Err(failure(Verdict::RateLimit, "slow_down")));
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::ProviderRateLimited);
    assert!(message(&answer).contains("t1/a"));
}

#[tokio::test(start_paused = true)]
async fn l1_a_circle_of_exchanges_is_found_by_all_who_walk_into_it() {
    let world = World::new();
    let mut circle = Vec::new();
    for (name, subject) in [("x", "y"), ("y", "z"), ("z", "x")] {
        circle.push(world.exchange(name, subject).await);
    }
    circle.push(world.exchange("self", "self").await);
    let replica = world.replica();
    let callers = (0..40).map(|n| replica.begin(&circle[n % 4])).collect();
    for answer in all(callers).await {
        assert_eq!(reason_of(&answer), FailureReason::SubjectInvalid);
    }
    assert_eq!(world.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn four_exchanges_may_follow_each_other_and_no_fifth() {
    let (world, replica, _) = World::with_fresh().await;
    let mut last = "a".to_owned();
    let mut keys = Vec::new();
    for n in 1..=5 {
        let name = format!("x{n}");
        keys.push(world.exchange(&name, &last).await);
        last = name;
    }
    let too_long = replica.token(&keys[4]).await;
    assert_eq!(reason_of(&too_long), FailureReason::SubjectInvalid);
    assert_eq!(world.calls(), 0);
    replica.token(&keys[3]).await.unwrap();
    assert_eq!(
        given(&world),
        ["access-1", "access-2", "access-3", "access-4"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_subjects_token_that_is_refused_is_renewed_once_and_kills_nobody() {
    let (world, replica, subject) = World::with_fresh().await;
    let key = world.exchange("x", "a").await;
    let refusal = || Err(refused_grant(InvalidationReason::GrantRevoked));
    world.provider.answer_next(refusal());
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::SubjectInvalid);
    assert_eq!(world.generation(&subject).await, 2, "renewed");
    let again = replica.token(&key).await;
    assert_eq!(reason_of(&again), FailureReason::SubjectInvalid);
    assert_eq!(world.calls(), 2, "it cools down");

    world.provider.answer_next(refusal());
    tokio::time::sleep(seconds(60)).await;
    replica.token(&key).await.unwrap_err();
    assert_eq!(world.generation(&subject).await, 2, "and not again");
    tokio::time::sleep(seconds(60)).await;
    replica.token(&key).await.unwrap();
    assert_eq!(given(&world).last().unwrap(), "access-2");
    assert!(world.is_active(&key).await && world.is_active(&subject).await);
    world.check(&key).await;
}

fn wrong(code: &str) -> Result<Issued, CallError> {
    Err(failure(Verdict::Request, code))
}

// RFC 8693 section 2.2.2
#[tokio::test(start_paused = true)]
async fn an_invalid_request_finds_a_revoked_subject_dead() {
    for code in ["invalid_request", "invalid_token"] {
        let (world, replica, subject) = World::with_fresh().await;
        let key = world.exchange("x", "a").await;
        world.provider.revoke("a");
        world.provider.answer_next(wrong(code));
        let answer = replica.token(&key).await;
        assert_eq!(reason_of(&answer), FailureReason::SubjectInvalid);
        assert!(!world.is_active(&subject).await, "{code}");
        assert!(world.is_active(&key).await);
        tokio::time::sleep(seconds(60)).await;
        let answer = replica.token(&key).await;
        assert!(message(&answer).contains("t1/a"), "{}", message(&answer));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_wrong_itself_renews_the_subject_once_and_backs_off() {
    let (world, replica, subject) = World::with_fresh().await;
    let key = world.exchange("x", "a").await;
    for calls in [2, 3, 4] {
        world.provider.answer_next(wrong("invalid_request"));
        for _ in 0..3 {
            replica.token(&key).await.unwrap_err();
        }
        assert_eq!(world.calls(), calls, "it cools down");
        assert_eq!(world.generation(&subject).await, 2);
        tokio::time::sleep(seconds(60)).await;
    }
    assert!(world.is_active(&key).await && world.is_active(&subject).await);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_came_before_does_not_hide_a_revoked_subject() {
    let (world, replica, subject) = World::with_fresh().await;
    let key = world.exchange("x", "a").await;
    let down = failure(Verdict::Transient, "server_error");
    world.provider.answer_next(Err(down));
    replica.token(&key).await.unwrap_err();
    world.provider.revoke("a");
    world.provider.answer_next(wrong("invalid_request"));
    tokio::time::sleep(seconds(60)).await;
    replica.token(&key).await.unwrap_err();
    assert!(!world.is_active(&subject).await);
}

#[tokio::test(start_paused = true)]
async fn background_work_finds_a_revoked_subject_dead() {
    let (world, _, subject) = World::with_fresh().await;
    let key = world.exchange("x", "a").await;
    world.replica().token(&key).await.unwrap();
    world.provider.revoke("a");
    world.provider.answer_next(wrong("invalid_request"));
    // Its own token, like that of the subject, is due long after.
    let due = due(&world.grant(&key).await.facts);
    world.replica().broker.renew(&due).await;
    assert!(!world.is_active(&subject).await);
    assert!(world.is_active(&key).await);
}

#[tokio::test(start_paused = true)]
async fn a_subject_that_cannot_be_renewed_is_not_dead_of_a_refused_exchange() {
    let refusals = [
        wrong("invalid_request"),
        Err(refused_grant(InvalidationReason::AccessDenied)),
    ];
    for refusal in refusals {
        let world = World::new();
        let tokens = TokenSet {
            refresh_token: None,
            ..world.provider.consent("a")
        };
        let subject = world.connect_with("a", None, tokens).await;
        let key = world.exchange("x", "a").await;
        world.provider.answer_next(refusal);
        let answer = world.replica().token(&key).await;
        assert_eq!(reason_of(&answer), FailureReason::SubjectInvalid);
        assert!(world.is_active(&subject).await);
        assert_eq!(world.calls(), 1);
    }
}
