use proptest::prelude::*;

use super::*;
use crate::audit::chain::Mac;
use crate::audit::record::{Content, OK};

fn key() -> ChainKey {
    ChainKey::new(&[7; 32])
}

fn content(credential: &str, count: i64) -> Content {
    Content {
        at: 1_700_000_000_000,
        until: 1_700_000_000_000,
        count,
        caller: "billing".into(),
        peer: "192.0.2.1".into(),
        action: "GetToken".into(),
        tenant: "acme".into(),
        credential: credential.into(),
        integration: String::new(),
        provider: String::new(),
        client: String::new(),
        generation: 3,
        outcome: OK.into(),
        detail: String::new(),
    }
}

/// A whole trail of so many records, and where it stands.
fn trail(records: u64) -> (Vec<Record>, AuditState) {
    let root = key().root(0);
    let contents = (0..records).map(|at| content(&format!("c{at}"), 1));
    let records = key().chain(root, contents);
    let state = state(root, &records);
    (records, state)
}

fn state(floor: Link, records: &[Record]) -> AuditState {
    let head = records.last().map_or(floor, |last| Link {
        number: last.number,
        mac: last.mac,
    });
    AuditState {
        base: 0,
        floor,
        floor_seal: key().seal(End::Floor, floor),
        head,
        head_seal: key().seal(End::Head, head),
        beyond: None,
    }
}

fn walked(records: &[Record], state: &AuditState, expected: Option<Link>) -> Vec<Fault> {
    let key = key();
    let mut walk = Walk::new(&key, state, None, expected);
    for record in records {
        walk.step(record);
    }
    walk.end(state).faults
}

fn faults(records: &[Record], state: &AuditState) -> Vec<Fault> {
    walked(records, state, None)
}

#[test]
fn a_whole_trail_has_no_fault() {
    for records in [0, 1, 20] {
        let (records, state) = trail(records);
        assert_eq!(faults(&records, &state), []);
    }
}

#[test]
fn a_removed_record_is_named() {
    let (mut records, state) = trail(9);
    records.remove(4);
    assert_eq!(
        faults(&records, &state),
        [Fault::Missing { first: 5, last: 5 }]
    );
}

#[test]
fn a_removed_record_whose_followers_were_numbered_anew_is_found() {
    let (mut records, state) = trail(9);
    records.remove(4);
    for (record, number) in records.iter_mut().zip(1..) {
        record.number = number;
    }
    assert_eq!(faults(&records, &state)[0], Fault::Altered(5));
}

#[test]
fn a_trail_that_was_pruned_is_whole_from_its_floor_on() {
    let (records, _) = trail(9);
    let floor = Link {
        number: 4,
        mac: records[3].mac,
    };
    let kept = &records[4..];
    let mut state = state(floor, kept);
    assert_eq!(faults(kept, &state), []);
    state.floor_seal = key().seal(End::Head, floor);
    assert_eq!(faults(kept, &state), [Fault::FloorAltered(4)]);
}

#[test]
fn a_beginning_that_was_removed_is_found_whatever_the_row_says() {
    let (records, whole) = trail(9);
    let kept = &records[4..];
    assert_eq!(faults(kept, &whole), [Fault::Missing { first: 1, last: 4 }]);
    let forged = AuditState { base: 4, ..whole };
    assert_eq!(faults(kept, &forged), [Fault::Altered(5)]);
}

#[test]
fn an_end_that_was_cut_off_is_found_whatever_the_row_says() {
    let (records, whole) = trail(9);
    let kept = &records[..6];
    assert_eq!(faults(kept, &whole), [Fault::Missing { first: 7, last: 9 }]);
    let head = Link {
        number: 6,
        mac: records[5].mac,
    };
    let forged = AuditState { head, ..whole };
    assert_eq!(faults(kept, &forged), [Fault::HeadAltered(6)]);
}

#[test]
fn an_end_that_was_put_back_with_its_old_seal_is_found_by_who_knows_a_later_one() {
    let (records, whole) = trail(9);
    let kept = &records[..6];
    let old = state(key().root(0), kept);
    assert_eq!(faults(kept, &old), [], "nothing in the database shows it");
    let known = whole.head;
    assert_eq!(
        walked(kept, &old, Some(known)),
        [Fault::NotExpected(known.number)]
    );
    assert_eq!(walked(&records, &whole, Some(known)), []);
    let other = Link {
        mac: Mac([1; 32]),
        ..known
    };
    assert_eq!(
        walked(&records, &whole, Some(other)),
        [Fault::NotExpected(9)]
    );
}

#[test]
fn what_the_trail_tells_of_itself_is_told() {
    let told = [
        Content {
            action: TRAIL_ALTERED.into(),
            detail: "the head was put back".into(),
            ..content("", 1)
        },
        Content {
            action: RECORDS_LOST.into(),
            ..content("", 41)
        },
    ];
    let records = key().chain(key().root(0), told);
    let state = state(key().root(0), &records);
    let key = key();
    let mut walk = Walk::new(&key, &state, None, None);
    records.iter().for_each(|record| walk.step(record));
    let findings = walk.end(&state);
    let told = Fault::Told {
        number: 1,
        found: "the head was put back".into(),
    };
    assert_eq!(findings.faults, [told]);
    assert_eq!((findings.lost, findings.read), (41, 2));
}

#[test]
fn a_record_above_the_end_is_found() {
    let (records, whole) = trail(9);
    let state = AuditState {
        beyond: Some((12, 14)),
        ..whole
    };
    let beyond = Fault::Beyond {
        first: 12,
        last: 14,
    };
    assert_eq!(faults(&records, &state), [beyond]);
}

#[test]
fn a_chain_goes_on_behind_what_somebody_wrote_and_only_with_a_record_that_says_so() {
    let (mut records, _) = trail(5);
    let mut foreign = records[4].clone();
    foreign.number = 6;
    let told = Content {
        action: TRAIL_ALTERED.into(),
        detail: "found".into(),
        ..content("", 1)
    };
    let anew = key().chain(key().root(6), [told, content("c", 1)]);
    let unsaid = key().chain(key().root(6), [content("b", 1), content("c", 1)]);
    records.push(foreign);
    let told = Fault::Told {
        number: 7,
        found: "found".into(),
    };
    let with = |more: Vec<Record>| {
        let records = [records.clone(), more].concat();
        faults(&records, &state(key().root(0), &records))
    };
    assert_eq!(with(anew), [Fault::Altered(6), told]);
    assert_eq!(with(unsaid), [Fault::Altered(6), Fault::Altered(7)]);
}

#[test]
fn who_looked_into_a_fault_can_verify_what_came_after_it() {
    let (mut records, whole) = trail(9);
    records[2].content.caller = "somebody else".into();
    let behind = |number: usize| {
        let behind = Link {
            number: number as u64,
            mac: records[number - 1].mac,
        };
        let key = key();
        let mut walk = Walk::new(&key, &whole, Some(behind), None);
        records[number..]
            .iter()
            .for_each(|record| walk.step(record));
        walk.end(&whole)
    };
    assert_eq!(behind(2).faults, [Fault::Altered(3)]);
    let findings = behind(3);
    assert_eq!(
        (findings.faults, findings.floor, findings.read),
        (vec![], 3, 6)
    );
}

#[test]
fn whoever_has_no_key_cannot_chain_anew() {
    let (mut records, mut state) = trail(5);
    records[2].content.caller = "somebody else".into();
    let forger = ChainKey::new(&[8; 32]);
    let contents = records.iter().map(|record| record.content.clone());
    let forged = forger.chain(forger.root(0), contents.collect::<Vec<_>>());
    let head = forged.last().unwrap();
    state.head = Link {
        number: head.number,
        mac: head.mac,
    };
    state.head_seal = forger.seal(End::Head, state.head);
    assert_eq!(faults(&forged, &state)[0], Fault::HeadAltered(5));
    assert!(faults(&forged, &state).contains(&Fault::Altered(1)));
}

type Change = fn(&mut Content);

const CHANGES: [Change; 14] = [
    |content| content.at += 1,
    |content| content.until += 1,
    |content| content.count += 1,
    |content| content.generation += 1,
    |content| content.caller.push('x'),
    |content| content.peer.push('x'),
    |content| content.action.push('x'),
    |content| content.tenant.push('x'),
    |content| content.credential.push('x'),
    |content| content.integration.push('x'),
    |content| content.provider.push('x'),
    |content| content.client.push('x'),
    |content| content.outcome.push('x'),
    |content| content.detail.push('x'),
];

proptest! {
    #[test]
    fn a_change_of_any_field_of_any_record_is_found_there(
        at in 0..12_usize,
        change in 0..CHANGES.len(),
    ) {
        let (mut records, state) = trail(12);
        CHANGES[change](&mut records[at].content);
        prop_assert_eq!(faults(&records, &state), [Fault::Altered(at as u64 + 1)]);
    }

    #[test]
    fn a_text_that_moved_from_one_field_to_the_next_is_found(split in 0..7_usize) {
        let (mut records, state) = trail(3);
        let whole = format!("{}{}", records[1].content.tenant, records[1].content.credential);
        let is_same = split == records[1].content.tenant.len();
        let (tenant, credential) = whole.split_at(split.min(whole.len()));
        records[1].content.tenant = tenant.to_owned();
        records[1].content.credential = credential.to_owned();
        prop_assert_eq!(faults(&records, &state).is_empty(), is_same);
    }

    #[test]
    fn two_records_that_changed_places_are_found(one in 0..12_usize, other in 0..12_usize) {
        prop_assume!(one != other);
        let (mut records, state) = trail(12);
        let (first, second) = (records[one].clone(), records[other].clone());
        records[one].content = second.content;
        records[one].mac = second.mac;
        records[other].content = first.content;
        records[other].mac = first.mac;
        let first = one.min(other) as u64 + 1;
        prop_assert_eq!(&faults(&records, &state)[0], &Fault::Altered(first));
    }

    #[test]
    fn records_that_are_gone_are_found(first in 0..12_usize, count in 1..12_usize) {
        let (mut records, state) = trail(12);
        let last = (first + count).min(12);
        records.drain(first..last);
        let missing = Fault::Missing { first: first as u64 + 1, last: last as u64 };
        prop_assert_eq!(faults(&records, &state), [missing]);
    }
}
