use evergrant_core::ids::{CredentialId, CredentialKey, TenantId};

use super::*;

/// What is told, each with the credential that it is told of, if it is of one alone.
fn told(writes: Vec<Write>) -> Vec<(&'static str, Option<CredentialKey>)> {
    let change = ChangeSet {
        revision: 0,
        writes,
        events: Vec::new(),
    };
    let acts = of_change(&change).into_iter();
    acts.map(|act| (act.action, act.subject.credential))
        .collect()
}

#[test]
fn who_joins_a_grant_that_keeps_its_tokens_is_reconnected_alone() {
    let (from, to) = (GrantId::random(), GrantId::random());
    let keep = Write::KeepTokens {
        grant: to.clone(),
        account: None,
    };
    let key = CredentialKey {
        tenant: TenantId::parse("t1").unwrap(),
        id: CredentialId::parse("a").unwrap(),
    };
    let joins = Write::MoveCredential {
        key: key.clone(),
        from,
        to,
    };
    let reconnected = "CredentialReconnected";
    assert_eq!(told(vec![keep.clone(), joins]), [(reconnected, Some(key))]);
    assert_eq!(told(vec![keep]), [(reconnected, None)], "of all who use it");
}
