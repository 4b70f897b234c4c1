//! The audit trail in the database.

mod altered;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::ageing::Dates;
use evergrant_core::clock::Timestamp;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::PassingFailure;
use evergrant_core::ids::{CredentialId, CredentialKey, Generation, OwnerToken, TenantId};
use evergrant_core::store::{AttemptEnd, Directory, GrantStore};
use evergrant_server::audit::Audit;
use evergrant_server::audit::queue::Queue;
use evergrant_server::audit::record::{Act, Content, Entry, OK, Subject};
use evergrant_server::audit::verify::{Fault, Findings, verify};
use evergrant_server::clock::SystemClock;
use evergrant_server::store::{
    AuditBatch, AuditLog, AuditQuery, OpenedTrail, Order, Outcomes, SqlStore, StoreOptions,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::harness::{Harness, first_change, postgres_options, sealer, tokens};

const AT: i64 = 1_700_000_000_000;

/// The trail as another process sees it.
pub async fn trail(harness: &Harness, keys: &[&str]) -> AuditLog {
    match AuditLog::open(&harness.url, Some(&sealer(keys)))
        .await
        .unwrap()
    {
        OpenedTrail::Begun(log) => log,
        other => panic!("{other:?}"),
    }
}

pub async fn found(harness: &Harness) -> Findings {
    let log = trail(harness, &["k1"]).await;
    let findings = verify(&log, None, None, |_, _| {}).await.unwrap();
    log.close().await;
    findings
}

pub fn told(number: u64, found: &str) -> Fault {
    let found = found.to_owned();
    Fault::Told { number, found }
}

/// What records tell, up to the code of a head.
pub fn without_macs(mut faults: Vec<Fault>) -> Vec<Fault> {
    for fault in &mut faults {
        if let Fault::Told { found, .. } = fault
            && let Some(mac) = found.rfind(':')
        {
            found.truncate(mac + 1);
        }
    }
    faults
}

pub fn entry(caller: &str, credential: &str, outcome: &'static str, at: i64) -> Entry {
    let key = CredentialKey {
        tenant: TenantId::parse("acme").unwrap(),
        id: CredentialId::parse(credential).unwrap(),
    };
    let act = Act {
        caller: caller.into(),
        peer: Some([192, 0, 2, 1].into()),
        action: "GetToken",
        subject: Subject::credential(&key).of(Generation(3)),
        outcome,
        detail: "a \u{0}detail with 'quotes' \"and\" {braces}".into(),
    };
    Entry::new(act, Timestamp::from_millis(at))
}

pub async fn write(log: &AuditLog, entries: Vec<Entry>) -> u64 {
    let records = log.append(&mut AuditBatch::new(entries)).await.unwrap();
    records.last().unwrap().number
}

pub fn some(from: i64, count: i64) -> Vec<Entry> {
    let each = (from..from + count).map(|at| entry("billing", &format!("c{at}"), OK, AT + at));
    each.collect()
}

async fn what_is_written_is_read_and_whole(harness: Harness) {
    let log = harness.store.audit_log();
    assert_eq!(found(&harness).await.faults, [], "an empty trail is whole");
    assert_eq!(write(log, some(0, 3)).await, 3);
    assert_eq!(
        write(log, vec![entry("sync", "x", "PERMISSION_DENIED", AT + 9)]).await,
        4
    );
    let records = log.records_after(0, 10).await.unwrap();
    let numbers: Vec<_> = records.iter().map(|record| record.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let expected = Content {
        at: AT + 9,
        until: AT + 9,
        count: 1,
        caller: "sync".into(),
        peer: "192.0.2.1".into(),
        action: "GetToken".into(),
        tenant: "acme".into(),
        credential: "x".into(),
        integration: String::new(),
        provider: String::new(),
        client: String::new(),
        generation: 3,
        outcome: "PERMISSION_DENIED".into(),
        detail: "a \u{fffd}detail with 'quotes' \"and\" {braces}".into(),
    };
    assert_eq!(records[3].content, expected);
    let findings = found(&harness).await;
    assert_eq!((findings.faults, findings.read), (vec![], 4));
    assert_eq!(findings.head.mac, records[3].mac);
}

async fn replicas_that_write_at_once_leave_no_gap(harness: Harness) {
    let mut stores = vec![harness.store.clone()];
    for _ in 0..2 {
        let other = harness.reopen(&["k1"], postgres_options()).await.unwrap();
        stores.push(Arc::new(other));
    }
    let tasks = TaskTracker::new();
    let writers = stores.iter().enumerate().map(|(replica, store)| {
        let log = store.audit_log().clone();
        tasks.spawn(async move {
            for round in 0..15 {
                let caller = format!("caller-{replica}");
                let each =
                    (0..4).map(|at| entry(&caller, &format!("c{replica}-{round}-{at}"), OK, AT));
                write(&log, each.collect()).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let records = harness
        .store
        .audit_log()
        .records_after(0, 1_000)
        .await
        .unwrap();
    let numbers = records.iter().map(|record| record.number);
    assert!(numbers.eq(1..=180));
    let names: BTreeSet<_> = records
        .iter()
        .map(|record| &record.content.credential)
        .collect();
    assert_eq!(names.len(), 180, "each is there once");
    assert_eq!(found(&harness).await.faults, []);
}

async fn whatever_is_done_to_the_tables_is_found(harness: Harness) {
    write(harness.store.audit_log(), some(0, 20)).await;
    for (damage, mend, expected) in [
        (
            "UPDATE audit_records SET caller = 'somebody' WHERE number = 7",
            "UPDATE audit_records SET caller = 'billing' WHERE number = 7",
            Fault::Altered(7),
        ),
        (
            "UPDATE audit_records SET number = number + 100 WHERE number = 9",
            "UPDATE audit_records SET number = 9 WHERE number = 109",
            Fault::Missing { first: 9, last: 9 },
        ),
        (
            "UPDATE audit_log SET floor = 5",
            "UPDATE audit_log SET floor = 0",
            Fault::FloorAltered(5),
        ),
        (
            "UPDATE audit_log SET head = 15, head_mac = (SELECT mac FROM audit_records WHERE number = 15)",
            "UPDATE audit_log SET head = 20, head_mac = (SELECT mac FROM audit_records WHERE number = 20)",
            Fault::HeadAltered(15),
        ),
    ] {
        harness.execute(damage).await;
        let faults = found(&harness).await.faults;
        assert!(faults.contains(&expected), "{damage}: {faults:?}");
        harness.execute(mend).await;
        assert_eq!(found(&harness).await.faults, [], "{mend}");
    }
    harness
        .execute("DELETE FROM audit_records WHERE number > 17")
        .await;
    let cut = Fault::Missing {
        first: 18,
        last: 20,
    };
    assert_eq!(found(&harness).await.faults, [cut]);
}

async fn an_end_that_was_cut_off_is_told_by_the_next_record(harness: Harness) {
    let log = harness.store.audit_log();
    write(log, some(0, 10)).await;
    let old = "CREATE TABLE old AS SELECT * FROM audit_log";
    harness.execute(old).await;
    write(log, some(10, 10)).await;
    // Whoever kept the row of before puts it back, and all seals are right.
    harness
        .execute("DELETE FROM audit_records WHERE number > 10")
        .await;
    harness.execute("DELETE FROM audit_log").await;
    harness
        .execute("INSERT INTO audit_log SELECT * FROM old")
        .await;
    assert_eq!(found(&harness).await.faults, []);
    write(log, some(20, 1)).await;
    let findings = found(&harness).await;
    assert_eq!(
        (without_macs(findings.faults), findings.read),
        (vec![told(11, "the head was put back; left at 20:")], 12)
    );
}

async fn a_pruned_trail_is_whole_and_goes_on(harness: Harness) {
    let log = harness.store.audit_log();
    write(log, some(0, 30)).await;
    let now = Timestamp::from_millis(4_000_000_000_000);
    write(log, vec![entry("billing", "new", OK, now.as_millis())]).await;
    let day = Duration::from_hours(24);
    let mut pruned = 0;
    loop {
        match log.prune(day, 7).await.unwrap() {
            0 => break,
            count => pruned += count,
        }
    }
    assert_eq!(pruned, 30);
    let findings = found(&harness).await;
    assert_eq!(
        (findings.faults, findings.floor, findings.read),
        (vec![], 30, 1)
    );
    assert_eq!(write(log, some(30, 1)).await, 32);
    assert_eq!(found(&harness).await.faults, []);
}

async fn records_are_found_by_what_they_say(harness: Harness) {
    let log = harness.store.audit_log();
    let refused = entry("sync", "b", "CREDENTIAL_NOT_FOUND", AT + 20);
    let entries = vec![
        entry("billing", "a", OK, AT),
        entry("billing", "b", OK, AT + 10),
        refused,
        entry("sync", "a", OK, AT + 30),
    ];
    write(log, entries).await;
    let ask = AuditQuery {
        limit: 10,
        ..AuditQuery::default()
    };
    let numbers = async |query: AuditQuery| {
        let records = log.records(&query).await.unwrap();
        records
            .iter()
            .map(|record| record.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(ask.clone()).await, [4, 3, 2, 1]);
    let caller = AuditQuery {
        caller: Some("sync".into()),
        ..ask.clone()
    };
    assert_eq!(numbers(caller).await, [4, 3]);
    let credential = CredentialId::parse("a").ok();
    let credential = AuditQuery {
        credential,
        order: Order::Ascending,
        ..ask.clone()
    };
    assert_eq!(numbers(credential).await, [1, 4]);
    let refused = AuditQuery {
        outcomes: Outcomes::Refused,
        ..ask.clone()
    };
    assert_eq!(numbers(refused).await, [3]);
    let one = AuditQuery {
        outcomes: Outcomes::Only(OK.into()),
        limit: 2,
        ..ask.clone()
    };
    assert_eq!(numbers(one).await, [4, 2]);
    let time = AuditQuery {
        since: Some(Timestamp::from_millis(AT + 10)),
        before: Some(Timestamp::from_millis(AT + 30)),
        ..ask.clone()
    };
    assert_eq!(numbers(time).await, [3, 2]);
    let page = AuditQuery {
        above: 1,
        below: Some(4),
        ..ask.clone()
    };
    assert_eq!(numbers(page).await, [3, 2]);
    let tenants = Some(vec![TenantId::parse("other").unwrap()]);
    assert!(numbers(AuditQuery { tenants, ..ask }).await.is_empty());

    let disclosed = async |caller: &str, since: i64, after: Option<&CredentialKey>| {
        let since = Timestamp::from_millis(since);
        let keys = log.disclosed_to(caller, since, after, 10).await.unwrap();
        keys.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(disclosed("billing", AT, None).await, ["acme/a", "acme/b"]);
    assert_eq!(disclosed("billing", AT + 1, None).await, ["acme/b"]);
    assert_eq!(disclosed("sync", AT, None).await, ["acme/a"]);
    let first = log
        .disclosed_to("billing", Timestamp::from_millis(AT), None, 1)
        .await
        .unwrap();
    assert_eq!(disclosed("billing", AT, first.first()).await, ["acme/b"]);
}

async fn what_the_store_changes_is_noted_for_each_credential(harness: Harness) {
    let queue = Arc::new(Queue::new(100));
    let (_told, stored) = watch::channel(0);
    let audit = Audit::new(queue.clone(), stored, false, Arc::new(SystemClock));
    let store = harness
        .reopen(&["k1"], StoreOptions::default())
        .await
        .unwrap();
    let store: SqlStore = store.noting(audit);
    let (grant, change) = first_change();
    store.apply(&change).await.unwrap();
    let at = Timestamp::from_millis(AT);
    let (next, dates) = (tokens("next"), Dates::default());
    for stored in [Some(2), None] {
        let commit = store.commit(&grant, Generation(1), &next, at, &dates);
        assert_eq!(commit.await, Ok(stored));
    }
    let owner = OwnerToken::random();
    let lease = Duration::from_secs(9);
    let claimed = store
        .claim(&grant, Generation(2), &owner, lease)
        .await
        .unwrap()
        .unwrap();
    let deferred = AttemptEnd::Deferred {
        next_at: at,
        failure: PassingFailure {
            reason: FailureReason::ProviderUnavailable,
            message: "hush".into(),
        },
        ambiguous: false,
    };
    assert!(
        store
            .end_attempt(&grant, claimed.epoch, deferred)
            .await
            .unwrap()
    );
    store
        .keep_orphan(&grant, Generation(2), &next, "late")
        .await
        .unwrap();

    let mut batch = AuditBatch::new(queue.take().1);
    let records = store.audit_log().append(&mut batch).await.unwrap();
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            let Content {
                caller,
                action,
                tenant,
                credential,
                client,
                generation,
                outcome,
                ..
            } = &record.content;
            format!("{caller} {action} {tenant}/{credential} {client} {generation} {outcome}")
        })
        .collect();
    assert_eq!(
        told,
        [
            "evergrant CredentialCreated t1/a main 1 OK",
            "evergrant TokensRefreshed t1/a main 2 OK",
            "evergrant RefreshFailed t1/a main 0 PROVIDER_UNAVAILABLE",
            "evergrant TokensKeptAside t1/a main 2 OK",
        ]
    );
}

macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            use crate::harness::Harness;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(Harness::sqlite().await).await;
                }
            )*
        }
        mod postgres {
            use crate::harness::Harness;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(Harness::postgres().await).await;
                }
            )*
        }
    };
}

on_both!(
    what_is_written_is_read_and_whole,
    replicas_that_write_at_once_leave_no_gap,
    whatever_is_done_to_the_tables_is_found,
    an_end_that_was_cut_off_is_told_by_the_next_record,
    a_pruned_trail_is_whole_and_goes_on,
    records_are_found_by_what_they_say,
    what_the_store_changes_is_noted_for_each_credential,
);

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_not_written_twice() {
    let harness = Harness::sqlite().await;
    let log = harness.store.audit_log();
    write(log, some(0, 2)).await;
    let mut batch = AuditBatch::new(some(2, 3));
    let first = log.append(&mut batch).await.unwrap();
    // As if its answer had not come.
    batch.doubt(first.clone());
    let again = log.append(&mut batch).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(log.state().await.unwrap().head.number, 5);
    write(log, some(9, 1)).await;
    assert_eq!(found(&harness).await.faults, []);
}

#[tokio::test]
async fn the_chain_goes_on_when_sealing_keys_are_rotated_and_anew_when_one_is_lost() {
    let harness = Harness::sqlite().await;
    write(harness.store.audit_log(), some(0, 5)).await;
    let rotated = harness
        .reopen(&["k2", "k1"], postgres_options())
        .await
        .unwrap();
    write(rotated.audit_log(), some(5, 5)).await;
    let with = async |keys: &[&str]| {
        let log = trail(&harness, keys).await;
        verify(&log, None, None, |_, _| {}).await.unwrap()
    };
    assert_eq!(with(&["k2"]).await.faults, []);
    assert!(
        AuditLog::open(&harness.url, Some(&sealer(&["k3"])))
            .await
            .is_err()
    );

    let lost = ["k2".to_owned()];
    let anew = SqlStore::connect_without(&harness.url, sealer(&["k3"]), &lost, postgres_options());
    let anew = anew.await.unwrap();
    assert_eq!(write(anew.audit_log(), some(10, 2)).await, 12);
    let findings = with(&["k3"]).await;
    assert_eq!(
        (findings.faults, findings.floor, findings.read),
        (vec![], 10, 2)
    );
    harness
        .execute("UPDATE audit_records SET caller = 'x' WHERE number = 11")
        .await;
    assert_eq!(with(&["k3"]).await.faults, [Fault::Altered(11)]);
}
