//! Callers that are put in place of others.

use std::num::NonZeroU32;

use super::*;

fn rule(name: &str, token: &str) -> CallerRule {
    CallerRule {
        name: name.into(),
        identity: Identity::Token(sha256(token)),
        tenants: Some(vec![TenantId::parse("acme").unwrap()]),
        allow: vec![Permission::EventWatch],
        rate: Some(Rate {
            per_second: NonZeroU32::MIN,
            burst: NonZeroU32::MIN,
        }),
    }
}

#[tokio::test]
async fn a_caller_that_stays_keeps_its_streams_and_what_it_owes() {
    let callers = Callers::new(vec![rule("a", "t")], 1, ManualClock::new()).unwrap();
    let caller = callers.recognise(&with("Bearer t"), None).await.unwrap();
    let place = Arc::clone(caller.streams().unwrap()).try_acquire_owned();
    caller.admit().unwrap();

    let mut wider = rule("a", "t");
    wider.tenants = None;
    callers.replace(vec![wider, rule("b", "u")]).unwrap();
    let now = callers.recognise(&with("Bearer t"), None).await.unwrap();
    assert_eq!(now.tenants(Permission::EventWatch).unwrap(), None);
    assert_eq!(now.streams().unwrap().available_permits(), 0);
    let refused = now.admit().unwrap_err();
    assert_eq!(refused.reason(), ErrorReason::CallerRateLimited);
    assert!(refused.wait().is_some() && refused.message().contains("caller a"));
    drop(place);
    assert_eq!(now.streams().unwrap().available_permits(), 1);
    let other = callers.recognise(&with("Bearer u"), None).await.unwrap();
    other.admit().unwrap();
}

#[tokio::test]
async fn who_was_recognised_is_asked_about_again_by_name_and_by_what_it_showed() {
    let acme = TenantId::parse("acme").unwrap();
    let callers = Callers::new(vec![rule("a", "t")], 1, ManualClock::new()).unwrap();
    let caller = callers.recognise(&with("Bearer t"), None).await.unwrap();
    let changes = callers.changes();
    let again = callers.again(&caller).unwrap();
    again.require(Permission::EventWatch, Some(&acme)).unwrap();

    let mut narrower = rule("a", "t");
    narrower.allow = vec![Permission::TokenGet];
    callers.replace(vec![narrower]).unwrap();
    assert!(changes.has_changed().unwrap());
    let again = callers.again(&caller).unwrap();
    assert!(again.require(Permission::EventWatch, Some(&acme)).is_err());

    for others in [vec![rule("a", "another")], vec![rule("b", "t")]] {
        callers.replace(others).unwrap();
        let error = callers.again(&caller).unwrap_err();
        assert_eq!(error.reason(), ErrorReason::Unauthenticated);
    }
}

#[tokio::test]
async fn who_was_trusted_without_callers_is_not_once_there_are_some() {
    let callers = Callers::new(Vec::new(), 1, ManualClock::new()).unwrap();
    let anybody = callers.recognise(&MetadataMap::new(), None).await.unwrap();
    callers.again(&anybody).unwrap();
    callers.replace(vec![rule("a", "t")]).unwrap();
    let error = callers.again(&anybody).unwrap_err();
    assert_eq!(error.reason(), ErrorReason::Unauthenticated);
}
