//! Claims on what is remembered of attempts.

use std::time::Duration;

use super::StoreHarness;
use super::sample::{Subject, T0};
use crate::attempts::{AttemptError, AttemptOutcome, AttemptRecord, REMEMBERED};
use crate::failure::FailureReason;
use crate::ids::{Epoch, Generation, GrantId, OwnerToken, ReplicaName};
use crate::refresh::Cause;
use crate::store::AttemptEnd;

const DAY: Duration = Duration::from_secs(86_400);
const LEASE: Duration = Duration::from_secs(45);

fn attempt(grant: &GrantId, epoch: u64) -> AttemptRecord {
    AttemptRecord {
        grant: grant.clone(),
        epoch: Epoch(epoch),
        replica: ReplicaName::parse("evergrant-0:7070").unwrap(),
        cause: Cause::Expiry,
        began_at: T0.plus(Duration::from_secs(epoch)),
        took: Duration::from_millis(123),
        base: Generation(epoch),
        left: Some(Generation(epoch + 1)),
        took_over: false,
        calls: 1,
        outcome: AttemptOutcome::Refreshed,
        error: None,
    }
}

impl Subject {
    async fn attempts(&self, grant: &GrantId) -> Vec<AttemptRecord> {
        self.0.attempts_of(grant).await.unwrap()
    }
}

pub async fn attempts_come_back_as_they_were_told_the_latest_first(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let (grant, other) = (GrantId::random(), GrantId::random());
    let first = attempt(&grant, 1);
    let second = AttemptRecord {
        cause: Cause::Refusal,
        left: None,
        took_over: true,
        calls: 2,
        outcome: AttemptOutcome::Failed(FailureReason::ProviderUnavailable),
        error: Some(AttemptError {
            status: Some(503),
            code: "try_later".into(),
            message: "not now\0".into(),
        }),
        ..attempt(&grant, 2)
    };
    let third = AttemptRecord {
        cause: Cause::Renewal,
        calls: 0,
        outcome: AttemptOutcome::Adopted,
        error: Some(AttemptError {
            status: None,
            code: String::new(),
            message: String::new(),
        }),
        ..attempt(&grant, 3)
    };
    let told = [second.clone(), first.clone(), attempt(&other, 1)];
    subject.0.note_attempts(&told).await.unwrap();
    subject
        .0
        .note_attempts(std::slice::from_ref(&third))
        .await
        .unwrap();
    subject.0.note_attempts(&[]).await.unwrap();

    let mut known = subject.attempts(&grant).await;
    let message = &mut known[1].error.as_mut().unwrap().message;
    *message = message.replace('\u{fffd}', "\0");
    assert_eq!(known, [third, second, first]);
    assert_eq!(subject.attempts(&other).await.len(), 1);
    assert_eq!(subject.attempts(&GrantId::random()).await, []);
}

pub async fn the_latest_attempts_are_remembered_and_each_once(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = GrantId::random();
    let last = REMEMBERED as u64 + 5;
    let all: Vec<_> = (1..=last).map(|epoch| attempt(&grant, epoch)).collect();
    for some in all.chunks(7) {
        subject.0.note_attempts(some).await.unwrap();
    }
    // Told late, or told again.
    let again = [all[0].clone(), all[last as usize - 1].clone()];
    subject.0.note_attempts(&again).await.unwrap();

    let known = subject.attempts(&grant).await;
    let epochs: Vec<_> = known.iter().map(|attempt| attempt.epoch.0).collect();
    let expected: Vec<_> = (6..=last).rev().collect();
    assert_eq!(epochs, expected);
}

pub async fn attempts_are_forgotten_when_they_are_old(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let now = subject.facts(&grant).await.created_at;
    let began = |epoch, age| AttemptRecord {
        began_at: now.minus(age),
        ..attempt(&grant, epoch)
    };
    let told = [began(1, 40 * DAY), began(2, 35 * DAY), began(3, DAY)];
    subject.0.note_attempts(&told).await.unwrap();

    let prune = async |limit| subject.0.prune_attempts(30 * DAY, limit).await.unwrap();
    assert_eq!(prune(1).await, 1);
    assert_eq!(prune(10).await, 1);
    assert_eq!(prune(10).await, 0);
    let known = subject.attempts(&grant).await;
    assert_eq!(known, told[2..]);
}

pub async fn a_doubt_shows_once_nobody_is_at_it_and_until_new_tokens_are_stored(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let doubt = async || subject.facts(&grant).await.in_doubt;
    let claim = async || {
        let owner = OwnerToken::random();
        let claimed = subject.0.claim(&grant, Generation(1), &owner, LEASE).await;
        claimed.unwrap().unwrap()
    };
    assert!(!doubt().await);
    let unused = claim().await;
    assert!(!doubt().await, "an attempt is under way");
    let end = subject
        .0
        .end_attempt(&grant, unused.epoch, AttemptEnd::Unused);
    assert!(end.await.unwrap());
    assert!(!doubt().await);

    claim().await;
    harness.pass(LEASE).await;
    assert!(doubt().await, "an attempt never told its end");
    let next = claim().await;
    assert!(doubt().await);
    let end = subject
        .0
        .end_attempt(&grant, next.epoch, AttemptEnd::Unused);
    assert!(end.await.unwrap());
    assert!(doubt().await);
    subject.invalidate(&grant, "gone").await;
    assert!(!doubt().await);
}
