use super::families::Families;
use super::*;

/// Whether the first refresh token of a family is accepted again, and whether its successor then still is.
fn use_twice(reuse: Reuse) -> (bool, bool) {
    let mut families = Families::new(reuse);
    let first = families.begin("a");
    let second = families.spend(&first).unwrap();
    (families.spend(&first).is_some(), families.accepts(&second))
}

#[test]
fn a_spent_refresh_token_revokes_the_family_of_a_strict_provider() {
    assert_eq!(use_twice(Reuse::Revokes), (false, false));
}

#[test]
fn other_providers_refuse_or_accept_it_and_leave_its_successor() {
    assert_eq!(use_twice(Reuse::Refused), (false, true));
    assert_eq!(use_twice(Reuse::SameSuccessor), (true, true));
    assert_eq!(use_twice(Reuse::Allowed), (true, true));
}

#[test]
fn the_predecessor_ends_when_its_successor_is_used() {
    let mut families = Families::new(Reuse::SameSuccessor);
    let first = families.begin("a");
    let second = families.spend(&first).unwrap();
    assert_eq!(families.spend(&first), Some(second.clone()));
    families.spend(&second).unwrap();
    assert_eq!(families.spend(&first), None);
}

#[test]
fn a_new_consent_revives_a_revoked_family() {
    let mut families = Families::new(Reuse::Revokes);
    let first = families.begin("a");
    families.revoke("a");
    assert!(!families.accepts(&first));
    let again = families.begin("a");
    assert!(families.accepts(&again));
    assert!(!families.accepts(&first));
}
