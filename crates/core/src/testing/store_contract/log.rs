//! Claims on the event log: dense, in commit order, forgetting only below its floor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::StoreHarness;
use super::sample::{Subject, T0, client, integration_key, key, restored};
use crate::change::{ChangeSet, Scope, Write};
use crate::events::{
    ClientBraked, ClientRecovered, ClientRejected, ClientReleased, CredentialDeleted,
    CredentialInvalidated, CredentialRestored, Event, EventBody, IntegrationStatusChanged,
    ReauthorizationDue,
};
use crate::grant::InvalidationReason;
use crate::ids::{Generation, GrantId};
use crate::integration::IntegrationStatus;
use crate::store::{ApplyError, Store};

const WRITERS: u64 = 8;
const CHANGES_EACH: u64 = 10;

/// E1, E2: writers that conflict and retry, some changes that never apply, and a reader that polls meanwhile.
pub async fn eight_writers_number_events_densely_in_commit_order(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::task::JoinSet::from_iter([follow(subject.0.clone(), done.clone())]);
    let writers: tokio::task::JoinSet<_> = (0..WRITERS)
        .map(|_| write_events(subject.0.clone(), grant.clone()))
        .collect();
    let mut heads: Vec<u64> = writers.join_all().await.into_iter().flatten().collect();
    done.store(true, Ordering::SeqCst);
    let seen = reader.join_all().await.remove(0);

    heads.sort_unstable();
    let total = WRITERS * CHANGES_EACH;
    let expected: Vec<u64> = (1..=total).map(|change| change * 2).collect();
    assert_eq!(
        heads, expected,
        "each change moves the head by its two events"
    );
    let numbers: Vec<u64> = seen.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=total * 2).collect::<Vec<_>>());
    assert!(seen.is_sorted_by_key(|event| event.at));
    assert_eq!(subject.version(&grant).await, 1 + total, "one write each");
}

async fn write_events(store: Arc<dyn Store>, grant: GrantId) -> Vec<u64> {
    let scope = Scope::Grant(grant.clone());
    let mut heads = Vec::new();
    while heads.len() < CHANGES_EACH as usize {
        let mut change = ChangeSet {
            revision: store.snapshot(&scope).await.unwrap().revision,
            writes: vec![Write::TouchGrant(grant.clone())],
            events: vec![restored("a"), restored("b")],
        };
        match store.apply(&change).await {
            Ok(head) => heads.push(head),
            Err(ApplyError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
        change.writes.push(Write::DeleteCredential(key("nobody")));
        assert_eq!(store.apply(&change).await, Err(ApplyError::Conflict));
    }
    heads
}

async fn follow(store: Arc<dyn Store>, done: Arc<AtomicBool>) -> Vec<Event> {
    let mut seen: Vec<Event> = Vec::new();
    loop {
        let last_look = done.load(Ordering::SeqCst);
        let after = seen.len() as u64;
        let (events, position) = store.events_after(after, 7).await.unwrap();
        assert!(position.head >= after + events.len() as u64);
        let wanted = after + 1..;
        for (event, wanted) in events.iter().zip(wanted) {
            assert_eq!(event.seq, wanted, "a hole");
        }
        if events.is_empty() && last_look {
            return seen;
        }
        seen.extend(events);
        tokio::task::yield_now().await;
    }
}

pub async fn every_kind_of_event_comes_back_as_it_was_told(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let labels = BTreeMap::from([("ü\"\\\n\0".to_owned(), "{\"a\": 1}".to_owned())]);
    let provider = client("slack").provider;
    let integrations = vec![integration_key("i").id, integration_key("j").id];
    let told = vec![
        EventBody::CredentialInvalidated(CredentialInvalidated {
            credential: key("a"),
            provider: provider.clone(),
            generation: Generation(7),
            reason: InvalidationReason::RotationLost,
            provider_error: "token_revoked".into(),
            message: "a \"quoted\"\0 message".into(),
            integrations: integrations.clone(),
            at: T0,
            labels: labels.clone(),
        }),
        EventBody::CredentialRestored(CredentialRestored {
            credential: key("a"),
            provider: provider.clone(),
            generation: Generation(8),
            integrations: integrations.clone(),
            at: T0,
            labels: labels.clone(),
        }),
        EventBody::CredentialDeleted(CredentialDeleted {
            credential: key("t2/a"),
            provider: provider.clone(),
            integrations,
            labels: labels.clone(),
        }),
        EventBody::IntegrationStatusChanged(IntegrationStatusChanged {
            integration: integration_key("i"),
            from: IntegrationStatus::Enabled,
            to: IntegrationStatus::Error,
            cause: "credential a was deleted".into(),
        }),
        EventBody::ReauthorizationDue(ReauthorizationDue {
            credential: key("a"),
            provider,
            generation: Generation(9),
            due_at: T0,
            labels,
        }),
        EventBody::ClientRejected(ClientRejected {
            client: client("slack"),
            provider_error: "invalid_client".into(),
            message: String::new(),
        }),
        EventBody::ClientRecovered(ClientRecovered {
            client: client("slack"),
        }),
        EventBody::ClientBraked(ClientBraked {
            client: client("slack"),
            refused: 10,
            refreshed: 3,
            provider_error: "invalid_grant".into(),
        }),
        EventBody::ClientReleased(ClientReleased {
            client: client("slack"),
            retried: 7,
        }),
    ];
    let head = subject.try_apply(Vec::new(), told.clone()).await.unwrap();
    assert_eq!(head, told.len() as u64);
    let (events, _) = subject.0.events_after(0, 100).await.unwrap();
    let bodies: Vec<_> = events.into_iter().map(|event| event.body).collect();
    assert_eq!(bodies, told);
}

pub async fn a_page_holds_what_was_asked_for_and_where_the_log_stands(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let empty = subject.0.position().await.unwrap();
    assert_eq!((empty.head, empty.floor), (0, 0));
    assert!(!empty.epoch.0.is_empty());
    let five = vec![restored("a"); 5];
    subject.try_apply(Vec::new(), five).await.unwrap();
    for (after, limit, expected) in [(0, 2, 1..3), (2, 9, 3..6), (5, 9, 6..6), (9, 9, 6..6)] {
        let (events, position) = subject.0.events_after(after, limit).await.unwrap();
        let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, expected.collect::<Vec<_>>());
        assert_eq!((position.head, &position.epoch), (5, &empty.epoch));
    }
}

pub async fn the_last_events_of_a_credential_are_found(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let told = ["a", "b", "a", "t2/a", "a"].map(restored);
    subject.try_apply(Vec::new(), told.to_vec()).await.unwrap();
    let of = async |name, limit| {
        let events = subject.0.events_of(&key(name), limit).await.unwrap();
        let numbers = events.into_iter().map(|event| event.seq);
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(of("a", 10).await, [5, 3, 1]);
    assert_eq!(of("a", 2).await, [5, 3]);
    assert_eq!(of("t2/a", 2).await, [4]);
    assert_eq!(of("c", 2).await, []);
}

pub async fn pruning_raises_the_floor_and_forgets_what_is_old(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let day = Duration::from_secs(86_400);
    assert_eq!(subject.0.prune(day, 10).await.unwrap(), 0);
    subject
        .try_apply(Vec::new(), vec![restored("a"); 5])
        .await
        .unwrap();
    harness.pass(day * 2).await;
    subject
        .try_apply(Vec::new(), vec![restored("b"); 2])
        .await
        .unwrap();

    assert_eq!(subject.0.prune(day * 3, 10).await.unwrap(), 0);
    assert_eq!(subject.0.position().await.unwrap().floor, 0);
    assert_eq!(subject.0.prune(day, 3).await.unwrap(), 3);
    let (events, position) = subject.0.events_after(0, 9).await.unwrap();
    assert_eq!((position.head, position.floor), (7, 3));
    assert_eq!(
        events[0].seq, 4,
        "who asks from 0 sees by the floor that 1 to 3 are gone"
    );
    assert_eq!(subject.0.prune(day, 10).await.unwrap(), 2);
    assert_eq!(subject.0.prune(day, 10).await.unwrap(), 0);
    let (events, position) = subject.0.events_after(5, 9).await.unwrap();
    assert_eq!((position.head, position.floor), (7, 5));
    assert_eq!(events.len(), 2);

    let head = subject.try_apply(Vec::new(), vec![restored("c")]).await;
    assert_eq!(head.unwrap(), 8, "numbers are never given twice");
}
