use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{CredentialId, CredentialKey, Generation, TenantId};

use super::*;
use crate::audit::record::OK;

fn act(caller: &str, action: &'static str, credential: &str, outcome: &'static str) -> Act {
    let key = CredentialKey {
        tenant: TenantId::parse("acme").unwrap(),
        id: CredentialId::parse(credential).unwrap(),
    };
    Act {
        caller: caller.into(),
        peer: Some([192, 0, 2, 1].into()),
        action,
        subject: Subject::credential(&key).of(Generation(3)),
        outcome,
        detail: String::new(),
    }
}

fn at(act: Act, millis: i64) -> Entry {
    Entry::new(act, Timestamp::from_millis(millis))
}

#[test]
fn one_token_to_one_caller_is_one_record_with_a_count() {
    let queue = Queue::new(10);
    for (caller, credential, millis) in [
        ("billing", "a", 1),
        ("billing", "b", 2),
        ("billing", "a", 3),
        ("sync", "a", 4),
        ("billing", "a", 5),
    ] {
        let disclosed = at(act(caller, "GetToken", credential, OK), millis);
        assert_eq!(queue.push(disclosed), Ok(1));
    }
    let mut newer = act("billing", "GetToken", "a", OK);
    newer.subject.generation = Some(Generation(4));
    assert_eq!(queue.push(at(newer, 6)), Ok(1));
    let (batch, entries) = queue.take();
    let told = entries.iter().map(|entry| {
        let (from, until) = (entry.at.as_millis(), entry.until.as_millis());
        (&*entry.act.caller, entry.count, from, until)
    });
    assert_eq!(batch, 1);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("billing", 3, 1, 5),
            ("billing", 1, 2, 2),
            ("sync", 1, 4, 4),
            ("billing", 1, 6, 6)
        ]
    );
    assert_eq!(
        queue.push(at(act("billing", "GetToken", "a", OK), 7)),
        Ok(2)
    );
    assert_eq!(queue.take().1[0].count, 1, "a batch begins with nothing");
}

#[test]
fn each_change_is_a_record_of_its_own() {
    let queue = Queue::new(10);
    for _ in 0..3 {
        let change = at(act("billing", "InvalidateCredential", "a", OK), 1);
        queue.push(change).unwrap();
    }
    assert_eq!(queue.take().1.len(), 3);
}

#[test]
fn a_flood_of_refusals_does_not_fill_the_queue() {
    let queue = Queue::new(1_000);
    for number in 0..5_000 {
        let name = format!("guess-{number}");
        let mut refused = act("billing", "GetToken", &name, "CREDENTIAL_NOT_FOUND");
        refused.detail = name;
        queue.push(at(refused, number)).unwrap();
        // Whoever asks for what is there is not affected.
        queue
            .push(at(act("billing", "GetToken", "a", OK), number))
            .unwrap();
    }
    queue
        .push(at(act("sync", "GetToken", "b", "CREDENTIAL_NOT_FOUND"), 1))
        .unwrap();
    let (_, entries) = queue.take();
    let refusals = entries.iter().filter(|entry| entry.act.is_refusal());
    let of_billing = refusals.filter(|entry| &*entry.act.caller == "billing");
    let counts: Vec<_> = of_billing.map(|entry| entry.count).collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (101, 5_000));
    let flood = entries.iter().find(|entry| entry.count == 4_900).unwrap();
    assert_eq!(flood.act.subject, Subject::default());
    assert_eq!(flood.act.detail, "");
    assert_eq!(flood.until.as_millis(), 4_999);
    let other = entries.iter().filter(|entry| &*entry.act.caller == "sync");
    assert_eq!(other.count(), 1);
}

#[test]
fn what_finds_no_room_is_counted_and_told() {
    let queue = Queue::new(2);
    let change = |millis| at(act("billing", "DeleteCredential", "a", OK), millis);
    assert!(queue.push(change(1)).is_ok() && queue.push(change(2)).is_ok());
    assert_eq!(queue.push(change(3)), Err(Full));
    assert_eq!(queue.push(change(9)), Err(Full));
    let (_, entries) = queue.take();
    let lost = entries.last().unwrap();
    assert_eq!(
        (entries.len(), lost.act.action, lost.count),
        (3, RECORDS_LOST, 2)
    );
    assert_eq!((lost.at.as_millis(), lost.until.as_millis()), (3, 9));
    assert!(queue.push(change(10)).is_ok());
    assert_eq!(queue.take().1.len(), 1, "it is told once");
}

#[tokio::test]
async fn a_queue_that_is_half_full_is_in_a_hurry() {
    let queue = Queue::new(4);
    let change = || at(act("billing", "DeleteCredential", "a", OK), 1);
    queue.push(change()).unwrap();
    let hurried = tokio::time::timeout(std::time::Duration::ZERO, queue.hurried());
    assert!(hurried.await.is_err());
    queue.push(change()).unwrap();
    queue.hurried().await;
}

#[test]
fn a_thousand_streams_that_come_back_at_once_are_one_record_and_changes_are_not() {
    let queue = Queue::new(10);
    for millis in 0..1_000 {
        let opened = at(act("billing", "Watch", "a", OK), millis);
        assert_eq!(queue.push(opened), Ok(1));
    }
    for millis in 0..2 {
        let changed = at(act("billing", "DeleteCredential", "a", OK), millis);
        assert_eq!(queue.push(changed), Ok(1));
    }
    let counts: Vec<_> = queue.take().1.iter().map(|entry| entry.count).collect();
    assert_eq!(counts, [1_000, 1, 1]);
}
