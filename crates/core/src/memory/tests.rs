use std::time::Duration;

use super::*;
use crate::cache::sample::{NOW, dead_grant, grant, profile};
use crate::failure::FailureReason;
use crate::ids::{CredentialId, TenantId};

fn key(name: &str) -> CredentialKey {
    CredentialKey {
        tenant: TenantId::parse("t1").unwrap(),
        id: CredentialId::parse(name).unwrap(),
    }
}

/// What is remembered of a grant: whether it lives, and its version.
fn known(memory: &Memory, id: &GrantId) -> Option<(bool, u64)> {
    Some(match memory.grant(id)? {
        Known::Live(live) => (true, live.grant.facts.version),
        Known::Dead(dead) => (false, dead.version),
    })
}

fn read(memory: &Memory, grant: Grant) -> Known {
    memory.remember(grant, profile(), Origin::default())
}

/// The grant of `base` with the tokens that follow, at `version`.
fn renewed(id: &GrantId, base: u64, version: u64) -> Grant {
    let mut grant = grant(id, version);
    grant.facts.generation = Generation(base + 1);
    grant
}

fn over(version: u64) -> Origin {
    Origin {
        over: Some(version),
        for_refusal: false,
    }
}

fn cooling(until: Timestamp) -> Failure {
    Failure {
        next_at: Some(until),
        ..Failure::new(FailureReason::ProviderUnavailable, "away")
    }
}

#[test]
fn a_grant_is_live_or_dead_as_its_newest_version_says() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    read(&memory, grant(&id, 1));
    read(&memory, dead_grant(&id, 2));
    assert_eq!(known(&memory, &id), Some((false, 2)));
    read(&memory, grant(&id, 1));
    assert_eq!(known(&memory, &id), Some((false, 2)), "an older read");
    read(&memory, grant(&id, 3));
    assert_eq!(known(&memory, &id), Some((true, 3)));
}

// C110
#[test]
fn a_death_that_was_read_before_a_reconnect_was_learnt_is_not_remembered() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    memory.learn(&id, 3);
    read(&memory, dead_grant(&id, 2));
    assert_eq!(known(&memory, &id), None);
    read(&memory, grant(&id, 3));
    read(&memory, dead_grant(&id, 2));
    assert_eq!(known(&memory, &id), Some((true, 3)));
    memory.purge_expired(NOW.plus(Duration::from_secs(3_600)));
    assert_eq!(known(&memory, &id), None, "it does not come to light later");
    read(&memory, dead_grant(&id, 3));
    assert_eq!(known(&memory, &id), Some((false, 3)));
}

// D6
#[test]
fn a_full_memory_forgets_instead_of_growing() {
    let memory = Memory::new(100);
    for n in 0..2_000 {
        let (live, dead) = (GrantId::random(), GrantId::random());
        read(&memory, grant(&live, 1));
        read(&memory, dead_grant(&dead, 1));
        memory.bind(&key(&format!("c{n}")), &live, 1);
        memory.cool(&live, Generation(1), cooling(NOW));
    }
    let (live, dead) = memory.len();
    for len in [live, dead, memory.bindings.len(), memory.cooling.len()] {
        assert!((50..=100).contains(&len), "{len}");
    }
}

#[test]
fn a_binding_is_believed_only_while_its_grant_is_remembered() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    memory.bind(&key("a"), &id, 1);
    assert!(memory.find(&key("a")).is_none());
    read(&memory, grant(&id, 1));
    assert!(memory.find(&key("a")).is_some());
    memory.learn(&id, 2);
    assert!(memory.find(&key("a")).is_none());
}

#[test]
fn a_binding_that_is_older_than_news_of_its_grant_is_not_believed_again() {
    for next in [grant, dead_grant] {
        let (memory, id) = (Memory::new(10), GrantId::random());
        for name in ["a", "b"] {
            read(&memory, grant(&id, 1));
            memory.bind(&key(name), &id, 1);
        }
        // One of them may have left the grant.
        memory.learn(&id, 2);
        memory.bind(&key("b"), &id, 2);
        read(&memory, next(&id, 2));
        assert!(memory.find(&key("a")).is_none());
        assert!(memory.find(&key("b")).is_some());
    }
}

#[test]
fn a_binding_that_was_read_before_a_newer_version_was_remembered_is_not_believed() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    read(&memory, grant(&id, 2));
    memory.bind(&key("a"), &id, 1);
    read(&memory, grant(&id, 1));
    assert!(memory.find(&key("a")).is_none());
}

#[test]
fn bindings_outlive_the_commits_of_their_own_replica() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    read(&memory, grant(&id, 1));
    memory.bind(&key("a"), &id, 1);
    for version in 1..4 {
        memory.remember(renewed(&id, version, version), profile(), over(version));
        assert!(memory.find(&key("a")).is_some(), "not stored yet");
        memory.remember(renewed(&id, version, version + 1), profile(), over(version));
        memory.learn(&id, version + 1);
        assert!(memory.find(&key("a")).is_some(), "stored");
    }
}

#[test]
fn no_binding_outlives_a_change_that_was_heard_of_while_a_commit_was_under_way() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    read(&memory, grant(&id, 1));
    memory.bind(&key("a"), &id, 1);
    memory.learn(&id, 2);
    // The commit made version 3, and does not know it.
    memory.remember(renewed(&id, 1, 2), profile(), over(1));
    assert!(memory.find(&key("a")).is_none());
}

#[test]
fn tokens_that_are_not_stored_give_way_to_news_of_a_newer_version() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    memory.remember(renewed(&id, 1, 1), profile(), over(1));
    assert_eq!(known(&memory, &id), Some((true, 1)));
    memory.learn(&id, 2);
    assert_eq!(known(&memory, &id), None, "the news came later");
    memory.remember(renewed(&id, 1, 1), profile(), over(1));
    assert_eq!(known(&memory, &id), None, "the news came first");
    read(&memory, dead_grant(&id, 2));
    memory.remember(renewed(&id, 1, 1), profile(), over(1));
    assert_eq!(known(&memory, &id), Some((false, 2)));
}

#[test]
fn tokens_that_are_not_stored_do_not_give_way_to_those_that_they_replace() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    memory.remember(renewed(&id, 1, 1), profile(), over(1));
    let Known::Live(used) = read(&memory, grant(&id, 1)) else {
        panic!("it lives");
    };
    assert_eq!(used.grant.facts.generation, Generation(2));
}

#[test]
fn of_a_death_and_a_token_of_one_version_the_death_is_remembered() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    read(&memory, dead_grant(&id, 2));
    read(&memory, grant(&id, 2));
    assert_eq!(known(&memory, &id), Some((false, 2)));
}

// D7
#[test]
fn what_has_expired_goes_without_being_read() {
    let memory = Memory::new(10);
    let (id, dead) = (GrantId::random(), GrantId::random());
    read(&memory, grant(&id, 1));
    read(&memory, dead_grant(&dead, 1));
    memory.cool(
        &id,
        Generation(1),
        cooling(NOW.plus(Duration::from_secs(60))),
    );
    memory.purge_expired(NOW.plus(Duration::from_secs(59)));
    assert_eq!((memory.len(), memory.cooling.len()), ((1, 1), 1));
    memory.purge_expired(NOW.plus(Duration::from_secs(60)));
    assert_eq!((memory.len(), memory.cooling.len()), ((1, 1), 0));
    memory.purge_expired(NOW.plus(Duration::from_secs(3_600)));
    assert_eq!(memory.len(), (0, 1), "a death holds no secret");
}
