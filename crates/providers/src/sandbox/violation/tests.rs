use super::super::ledger::Recorder;
use super::super::mode::RotationMode;
use super::super::refusal::Dialect;
use super::*;

/// Writes a ledger by hand, as a broken provider or careless clients would.
struct Script(Recorder);

impl Script {
    fn new() -> Self {
        Self(Recorder::start())
    }

    fn call(&mut self, token: &str, mode: RotationMode) -> u64 {
        let sequence = self.0.open(Endpoint::Token, Dialect::Rfc6749);
        let entry = self.0.entry(sequence);
        entry.refresh_token = Some(Fingerprint::of(token));
        entry.mode = Some(mode);
        sequence
    }

    fn end(&mut self, sequence: u64, outcome: Outcome) {
        let number = self.0.next();
        let entry = self.0.entry(sequence);
        entry.outcome = Some(outcome);
        entry.ended = Some(number);
        entry.delivered = true;
    }

    fn whole_call(&mut self, token: &str, mode: RotationMode, outcome: Outcome) {
        let sequence = self.call(token, mode);
        self.end(sequence, outcome);
    }

    fn ledger(&self) -> Ledger {
        self.0.since(0)
    }
}

use Outcome::{Issued, Refused, Replayed};
use RotationMode::{None as NoRotation, Strict};

#[test]
fn a_single_use_token_that_brought_tokens_twice_is_found() {
    let mut script = Script::new();
    script.whole_call("a", Strict, Issued);
    script.whole_call("b", Strict, Issued);
    assert_eq!(script.ledger().violations(), []);
    script.whole_call("a", Strict, Issued);
    let found = script.ledger().violations();
    let expected = Violation::SpentTwice {
        refresh_token: Fingerprint::of("a"),
        requests: vec![1, 5],
    };
    assert_eq!(found, [expected]);
    assert_eq!(
        found[0].to_string(),
        "refresh token ca978112ca1bbdca brought new tokens in requests [1, 5]"
    );
}

#[test]
fn refusals_replays_and_lasting_tokens_count_as_no_second_spending() {
    let mut script = Script::new();
    script.whole_call("a", Strict, Issued);
    script.whole_call("a", Strict, Refused);
    script.whole_call("a", Strict, Replayed);
    script.whole_call("b", NoRotation, Issued);
    script.whole_call("b", NoRotation, Issued);
    assert_eq!(script.ledger().violations(), []);
}

#[test]
fn r3_overlapping_calls_with_one_refresh_token_are_found_and_others_are_not() {
    let mut script = Script::new();
    let first = script.call("a", Strict);
    let other = script.call("b", Strict);
    let second = script.call("a", Strict);
    script.end(second, Refused);
    script.end(other, Issued);
    let third = script.call("a", Strict);
    script.end(first, Issued);
    let overlap = |second| Violation::Overlap {
        refresh_token: Fingerprint::of("a"),
        first,
        second,
    };
    assert_eq!(
        script.ledger().violations(),
        [overlap(second), overlap(third)]
    );
}

#[test]
fn a_call_whose_client_has_gone_is_no_longer_in_flight() {
    let mut script = Script::new();
    let first = script.call("a", Strict);
    let gone = script.0.next();
    script.0.entry(first).client_left = Some(gone);
    let second = script.call("a", Strict);
    script.end(second, Issued);
    script.end(first, Refused);
    assert_eq!(script.ledger().violations(), []);
}

#[test]
fn r4_calls_beyond_the_limit_are_found_for_single_use_tokens_alone() {
    let mut script = Script::new();
    for token in ["a", "a", "a", "b"] {
        script.whole_call(token, Strict, Refused);
    }
    for _ in 0..5 {
        script.whole_call("lasting", NoRotation, Issued);
    }
    let ledger = script.ledger();
    assert_eq!(ledger.calls_beyond(3), []);
    let found = ledger.calls_beyond(2);
    let expected = Violation::TooManyCalls {
        refresh_token: Fingerprint::of("a"),
        requests: vec![1, 3, 5],
        limit: 2,
    };
    assert_eq!(found, [expected]);
    assert_eq!(ledger.calls_per_refresh_token()[&Fingerprint::of("b")], [7]);
}

#[test]
fn a_rotation_is_lost_if_its_answer_did_not_arrive() {
    let mut script = Script::new();
    script.whole_call("a", Strict, Issued);
    script.whole_call("b", Strict, Issued);
    assert!(script.ledger().lost_rotations().is_empty());
    script.0.entry(3).delivered = false;
    let ledger = script.ledger();
    let lost: Vec<u64> = ledger
        .lost_rotations()
        .iter()
        .map(|entry| entry.sequence)
        .collect();
    assert_eq!(lost, [3]);
}

#[test]
fn since_brings_what_is_new_or_has_changed() {
    let mut script = Script::new();
    let slow = script.call("a", Strict);
    script.whole_call("b", Strict, Issued);
    let seen = script.ledger().last;
    assert!(script.0.since(seen).entries.is_empty());
    script.end(slow, Issued);
    let changed = script.0.since(seen).entries;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].sequence, slow);
}
