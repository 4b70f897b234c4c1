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

fn cooling(until: Timestamp) -> Failure {
    Failure {
        next_at: Some(until),
        ..Failure::new(FailureReason::ProviderUnavailable, "away")
    }
}

#[test]
fn a_grant_is_live_or_dead_as_its_newest_version_says() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    memory.remember(grant(&id, 1), profile(), false);
    memory.remember(dead_grant(&id, 2), profile(), false);
    assert_eq!(known(&memory, &id), Some((false, 2)));
    memory.remember(grant(&id, 1), profile(), false);
    assert_eq!(known(&memory, &id), Some((false, 2)), "an older read");
    memory.remember(grant(&id, 3), profile(), false);
    assert_eq!(known(&memory, &id), Some((true, 3)));
}

// C110
#[test]
fn a_death_that_was_read_before_a_reconnect_was_learnt_is_not_remembered() {
    let (memory, id) = (Memory::new(10), GrantId::random());
    memory.learn(&id, 3);
    memory.remember(dead_grant(&id, 2), profile(), false);
    assert_eq!(known(&memory, &id), None);
    memory.remember(grant(&id, 3), profile(), false);
    memory.remember(dead_grant(&id, 2), profile(), false);
    assert_eq!(known(&memory, &id), Some((true, 3)));
    memory.purge_expired(NOW.plus(Duration::from_secs(3_600)));
    assert_eq!(known(&memory, &id), None, "it does not come to light later");
    memory.remember(dead_grant(&id, 3), profile(), false);
    assert_eq!(known(&memory, &id), Some((false, 3)));
}

// D6
#[test]
fn a_full_memory_forgets_instead_of_growing() {
    let memory = Memory::new(100);
    for n in 0..2_000 {
        let (live, dead) = (GrantId::random(), GrantId::random());
        memory.remember(grant(&live, 1), profile(), false);
        memory.remember(dead_grant(&dead, 1), profile(), false);
        memory.bind(&key(&format!("c{n}")), &live);
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
    memory.bind(&key("a"), &id);
    assert!(memory.find(&key("a")).is_none());
    memory.remember(grant(&id, 1), profile(), false);
    assert!(memory.find(&key("a")).is_some());
    memory.learn(&id, 2);
    assert!(memory.find(&key("a")).is_none());
}

// D7
#[test]
fn what_has_expired_goes_without_being_read() {
    let memory = Memory::new(10);
    let (id, dead) = (GrantId::random(), GrantId::random());
    memory.remember(grant(&id, 1), profile(), false);
    memory.remember(dead_grant(&dead, 1), profile(), false);
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
