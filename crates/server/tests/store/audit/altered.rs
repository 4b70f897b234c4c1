//! What somebody does to the tables of the trail while replicas run stops none of them, and is told.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::store::StoreError;
use evergrant_server::audit::chain::Link;
use evergrant_server::audit::record::{OK, Record, TRAIL_ALTERED};
use evergrant_server::audit::verify::{Fault, verify};
use evergrant_server::store::{
    AuditBatch, AuditLog, AuditQuery, OpenStoreError, OpenedTrail, SqlStore, StoreUrl,
};
use tokio_util::task::TaskTracker;

use super::{entry, found, some, told, trail, without_macs, write};
use crate::harness::{Harness, postgres_options, sealer};

async fn both() -> [Harness; 2] {
    [Harness::sqlite().await, Harness::postgres().await]
}

/// Puts a copy of the record 5 elsewhere.
async fn insert(harness: &Harness, number: i64) {
    let columns = "at, until, count, caller, peer, action, tenant, credential, integration, \
                   provider, client, generation, outcome, detail, mac";
    harness
        .execute(&format!(
            "INSERT INTO audit_records (number, {columns})
             SELECT {number}, {columns} FROM audit_records WHERE number = 5"
        ))
        .await;
}

/// Three batches of one record each on every one of the stores, all at once.
async fn write_at_once(stores: &[Arc<SqlStore>]) {
    let tasks = TaskTracker::new();
    let writers = stores.iter().enumerate().map(|(replica, store)| {
        let log = store.audit_log().clone();
        tasks.spawn(async move {
            for round in 0..3 {
                let one = entry("billing", &format!("w{replica}-{round}"), OK, 1);
                write(&log, vec![one]).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

async fn two_replicas(harness: &Harness) -> Vec<Arc<SqlStore>> {
    let other = harness.reopen(&["k1"], postgres_options()).await.unwrap();
    vec![harness.store.clone(), Arc::new(other)]
}

async fn records(harness: &Harness) -> Vec<Record> {
    let log = harness.store.audit_log();
    log.records_after(0, 1_000).await.unwrap()
}

/// The numbers of records that tell of an alteration, and how many were written by [`write_at_once`].
async fn standing(harness: &Harness) -> (Vec<u64>, usize) {
    let records = records(harness).await;
    let tells = |record: &&Record| record.content.action == TRAIL_ALTERED;
    let numbers = records.iter().filter(tells).map(|record| record.number);
    let written = records
        .iter()
        .filter(|record| record.content.credential.starts_with('w'));
    (numbers.collect(), written.count())
}

/// What there is to find behind the record of this number.
async fn faults_behind(harness: &Harness, number: u64) -> Vec<Fault> {
    let log = trail(harness, &["k1"]).await;
    let there = log.records_after(number - 1, 1).await.unwrap();
    let behind = Link {
        number,
        mac: there[0].mac,
    };
    let findings = verify(&log, Some(behind), None, |_, _| {}).await.unwrap();
    log.close().await;
    findings.faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_above_the_end_is_found_and_not_listed() {
    for harness in both().await {
        let log = harness.store.audit_log();
        write(log, some(0, 5)).await;
        insert(&harness, 9).await;
        insert(&harness, 11).await;
        let beyond = Fault::Beyond { first: 9, last: 11 };
        assert_eq!(found(&harness).await.faults, [beyond]);
        let all = AuditQuery {
            limit: 100,
            ..AuditQuery::default()
        };
        let listed = log.records(&all).await.unwrap();
        let numbers: Vec<_> = listed.iter().map(|record| record.number).collect();
        assert_eq!(numbers, [5, 4, 3, 2, 1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_goes_on_behind_what_lies_in_its_way_and_says_so_once() {
    for harness in both().await {
        let stores = two_replicas(&harness).await;
        write(harness.store.audit_log(), some(0, 5)).await;
        insert(&harness, 6).await;
        insert(&harness, 9).await;
        write_at_once(&stores).await;
        assert_eq!(standing(&harness).await, (vec![10], 6));
        let foreign = records(&harness).await.remove(6);
        assert_eq!((foreign.number, &*foreign.content.credential), (9, "c4"));

        let faults = without_macs(found(&harness).await.faults);
        let missing = Fault::Missing { first: 7, last: 8 };
        let what = "what is there from 6 to 9 was above the head; left at 5:";
        assert_eq!(faults, [Fault::Altered(6), missing, told(10, what)]);
        assert_eq!(faults_behind(&harness, 10).await, []);
        assert_ne!(
            faults_behind(&harness, 9).await,
            [],
            "it is told until it is pruned"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_was_removed_is_put_back_by_one_of_those_who_know_it_and_told_once() {
    for harness in both().await {
        let stores = two_replicas(&harness).await;
        write_at_once(&stores).await;
        let log = trail(&harness, &["k1"]).await;
        harness.execute("DELETE FROM audit_log").await;
        assert!(log.state().await.is_err());
        let opened = AuditLog::open(&harness.url, Some(&sealer(&["k1"]))).await;
        let headless = OpenedTrail::Headless { first: 1, last: 6 };
        assert_eq!(format!("{:?}", opened.unwrap()), format!("{headless:?}"));

        write_at_once(&stores).await;
        let (tells, written) = standing(&harness).await;
        assert_eq!((&*tells, written), ([7].as_slice(), 12));
        let findings = found(&harness).await;
        let [Fault::Told { number: 7, found }] = findings.faults.as_slice() else {
            panic!("{:?}", findings.faults)
        };
        assert!(
            found.starts_with("the head was altered or removed"),
            "{found}"
        );
        assert_eq!(
            (findings.floor, findings.read),
            (0, 13),
            "nothing is given up"
        );
        assert_eq!(faults_behind(&harness, 7).await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_was_removed_while_nobody_ran_begins_a_chain_that_says_so() {
    for harness in both().await {
        write(harness.store.audit_log(), some(0, 5)).await;
        harness.execute("DELETE FROM audit_log").await;
        // The replica of the harness runs on, with the key of before.
        let stores = two_replicas(&harness).await;
        let begun = found(&harness).await;
        assert_eq!(
            begun.faults,
            [Fault::HeadAltered(5)],
            "before anything is written"
        );
        write_at_once(&stores).await;
        assert_eq!(standing(&harness).await, (vec![6], 6));
        let findings = found(&harness).await;
        let what = "the head was altered or removed";
        assert_eq!(findings.faults, [told(6, what)]);
        assert_eq!((findings.floor, findings.read), (5, 7));
        assert_eq!(records(&harness).await.len(), 12, "all that was there is");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_stops_the_trail() {
    for harness in both().await {
        let log = harness.store.audit_log();
        write(log, some(0, 5)).await;
        insert(&harness, i64::MAX).await;
        assert_eq!(write(log, some(5, 1)).await, 6);
        let last = i64::MAX.unsigned_abs();
        let far = Fault::Beyond { first: last, last };
        assert_eq!(found(&harness).await.faults, [far]);
        harness
            .execute(&format!("DELETE FROM audit_records WHERE number = {last}"))
            .await;
        assert_eq!(found(&harness).await.faults, []);

        harness
            .execute(&format!("UPDATE audit_log SET head = {last}"))
            .await;
        assert_eq!(write(log, some(6, 1)).await, 8);
        let faults = without_macs(found(&harness).await.faults);
        let what = "the head was altered or removed; left at 6:";
        assert_eq!(faults, [told(7, what)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_starts_with_a_forged_head_goes_on_behind_what_is_there() {
    for harness in both().await {
        write(harness.store.audit_log(), some(0, 5)).await;
        harness.execute("UPDATE audit_log SET head = 2").await;
        let other = harness.reopen(&["k1"], postgres_options()).await.unwrap();
        assert_eq!(write(other.audit_log(), some(5, 1)).await, 7);
        let what = "the head was altered or removed";
        assert_eq!(found(&harness).await.faults, [told(6, what)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_the_way_is_pruned_in_its_time_however_far_it_was() {
    for harness in both().await {
        let log = harness.store.audit_log();
        write(log, some(0, 5)).await;
        insert(&harness, 900_000).await;
        write(log, some(5, 1)).await;
        let now = Timestamp::from_millis(4_000_000_000_000);
        let last = write(log, vec![entry("billing", "new", OK, now.as_millis())]).await;
        assert_eq!(last, 900_003);
        let day = Duration::from_hours(24);
        while log.prune(day, 3).await.unwrap() > 0 {}
        let findings = found(&harness).await;
        assert_eq!((findings.faults, findings.read), (vec![], 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_that_the_chain_begins_above_its_end_hides_nothing() {
    for harness in both().await {
        write(harness.store.audit_log(), some(0, 6)).await;
        let forge = "UPDATE audit_records SET caller = 'mallory' WHERE number = 3";
        harness.execute(forge).await;
        for base in [7, i64::MAX] {
            let raise = format!("UPDATE audit_log SET base = {base}");
            harness.execute(&raise).await;
            let expected = [Fault::FloorAltered(base.unsigned_abs()), Fault::Altered(3)];
            assert_eq!(found(&harness).await.faults, expected);
        }
        harness.execute("UPDATE audit_records SET until = 5").await;
        for base in [5, i64::MAX] {
            let raise = format!("UPDATE audit_log SET base = {base}");
            harness.execute(&raise).await;
            let log = harness.store.audit_log();
            assert_eq!(log.prune(Duration::from_hours(24), 9).await.unwrap(), 0);
            assert_eq!(records(&harness).await.len(), 6, "base {base}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_chain_that_was_damaged_stops_no_start_and_is_told() {
    for (harness, nothing) in both().await.into_iter().zip(["x'00'", "'\\x00'"]) {
        write(harness.store.audit_log(), some(0, 5)).await;
        let damage = format!("UPDATE audit_log SET chain_key = {nothing}");
        harness.execute(&damage).await;
        let stores = two_replicas(&harness).await;
        write_at_once(&stores).await;
        assert_eq!(standing(&harness).await, (vec![6], 6));
        let what = "the head was altered or removed";
        let faults = without_macs(found(&harness).await.faults);
        assert_eq!(faults, [told(6, what)]);
        assert_eq!(records(&harness).await.len(), 12, "all that was there is");
    }
}

#[tokio::test]
async fn a_row_that_takes_no_record_is_told_as_altered_and_not_as_an_outage() {
    let harness = Harness::sqlite().await;
    let log = harness.store.audit_log();
    write(log, some(0, 5)).await;
    harness
        .execute("UPDATE audit_log SET head_seal = 'x'")
        .await;
    let failed = log.append(&mut AuditBatch::new(some(5, 1))).await;
    assert!(matches!(failed, Err(StoreError::Corrupt(_))), "{failed:?}");
}

#[tokio::test]
async fn an_expected_head_that_is_not_kept_any_more_is_no_proof() {
    let harness = Harness::sqlite().await;
    let log = harness.store.audit_log();
    write(log, some(0, 6)).await;
    let there = records(&harness).await;
    let expect = |number: u64| Link {
        number,
        mac: there[0].mac,
    };
    let faults = async |expected| {
        let findings = verify(log, None, Some(expected), |_, _| {}).await.unwrap();
        findings.faults
    };
    assert_eq!(faults(expect(1)).await, []);
    assert_eq!(faults(expect(2)).await, [Fault::NotExpected(2)]);
    log.prune(Duration::from_hours(24), 4).await.unwrap();
    assert_eq!(faults(expect(1)).await, [Fault::ExpectedGone(1)]);
    assert_eq!(faults(expect(4)).await, [Fault::NotExpected(4)]);
    let floor = Link {
        number: 4,
        mac: there[3].mac,
    };
    assert_eq!(faults(floor).await, []);
}

/// A trail of six young records, of which `damage` is done to, after it was pruned.
async fn pruned(harness: &Harness, damage: &str) -> (Vec<u64>, Vec<Fault>) {
    let log = harness.store.audit_log();
    let young = |number| entry("billing", &format!("w{number}"), OK, 4_000_000_000_000);
    write(log, (0..6).map(young).collect()).await;
    harness.execute(damage).await;
    while log.prune(Duration::from_hours(24), 2).await.unwrap() > 0 {}
    let numbers = records(harness)
        .await
        .iter()
        .map(|record| record.number)
        .collect();
    (numbers, without_macs(found(harness).await.faults))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_makes_records_look_old_does_not_have_them_pruned() {
    for harness in both().await {
        let (numbers, faults) = pruned(&harness, "UPDATE audit_records SET until = 5").await;
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
        assert_eq!(faults, [1, 2, 3, 4, 5, 6].map(Fault::Altered));
        let log = harness.store.audit_log();
        let old = "UPDATE audit_log SET floor = 4, floor_mac = (SELECT mac FROM audit_records WHERE number = 4)";
        harness.execute(old).await;
        log.prune(Duration::from_hours(24), 2).await.unwrap();
        assert_eq!(records(&harness).await.len(), 7, "and what was found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_raises_the_floor_has_nothing_pruned_and_is_told_of_once() {
    for floor in [3, 900_000] {
        for harness in both().await {
            let damage = format!("UPDATE audit_log SET floor = {floor}");
            let (numbers, faults) = pruned(&harness, &damage).await;
            assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
            let what = format!("nothing shows that the trail was pruned up to {floor}");
            assert_eq!(faults, [told(7, &what)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_removes_the_oldest_and_raises_the_floor_is_found_out_after_pruning_too() {
    for harness in both().await {
        let log = harness.store.audit_log();
        write(log, some(0, 6)).await;
        harness
            .execute("DELETE FROM audit_records WHERE number < 3")
            .await;
        harness.execute("UPDATE audit_log SET floor = 2").await;
        let long = Duration::from_hours(24 * 365 * 1_000);
        log.prune(long, 2).await.unwrap();
        let faults = without_macs(found(&harness).await.faults);
        let what = "nothing shows that the trail was pruned up to 2";
        assert_eq!(faults, [Fault::Altered(3), told(7, what)]);
        while log.prune(Duration::from_hours(24), 2).await.unwrap() > 0 {}
        let numbers: Vec<_> = records(&harness)
            .await
            .iter()
            .map(|record| record.number)
            .collect();
        assert_eq!(
            numbers,
            [7],
            "what is old goes in its time, and what tells of it stays"
        );
        assert_eq!(without_macs(found(&harness).await.faults), [told(7, what)]);
    }
}

#[tokio::test]
async fn what_is_no_store_is_an_error_and_a_store_without_a_trail_is_none() {
    let harness = Harness::sqlite().await;
    let folder = harness.folder.as_ref().unwrap().path();
    let open = async |name: &str| {
        let url = format!("sqlite://{}", folder.join(name).display());
        AuditLog::open(&StoreUrl::parse(&url).unwrap(), None).await
    };
    assert!(matches!(
        open("grant.db").await,
        Err(OpenStoreError::NoFile(_))
    ));
    assert!(!folder.join("grant.db").exists(), "nothing is made");
    std::fs::write(folder.join("empty.db"), "").unwrap();
    assert!(matches!(
        open("empty.db").await,
        Err(OpenStoreError::NoSchema)
    ));
    let copied = SqlStore::back_up(&folder.join("empty.db"), &folder.join("copy.db")).await;
    assert!(matches!(copied, Err(OpenStoreError::NoSchema)));
    harness.execute("DELETE FROM audit_log").await;
    assert!(matches!(open("grants.db").await, Ok(OpenedTrail::None)));
}
