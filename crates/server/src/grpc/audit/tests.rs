use super::*;
use crate::grpc::caller::{Caller, CallerRule, Identity};
use crate::grpc::record::Notes;

fn call(tenants: Option<&[&str]>) -> Call {
    let tenants = tenants.map(|names| names.iter().map(|name| tenant(name).unwrap()).collect());
    let rule = CallerRule {
        name: "auditor".into(),
        identity: Identity::Token([0; 32]),
        tenants,
        allow: vec![Permission::AuditRead],
        rate: None,
    };
    let caller = Caller::known(rule, 1);
    Call::new("ListAuditRecords", caller, None, None, Notes::default())
}

fn of_tenant(tenant_id: &str) -> v1::ListAuditRecordsRequest {
    v1::ListAuditRecordsRequest {
        tenant_id: tenant_id.to_owned(),
        ..v1::ListAuditRecordsRequest::default()
    }
}

#[test]
fn an_auditor_reads_its_own_tenants_alone() {
    let tenants =
        |call: &Call, asked: &str| query(call, of_tenant(asked)).map(|(query, _)| query.tenants);
    let names = |names: &[&str]| Some(names.iter().map(|name| tenant(name).unwrap()).collect());
    let some = call(Some(&["acme"]));
    assert_eq!(tenants(&some, "*").unwrap(), names(&["acme"]));
    assert!(tenants(&some, "globex").is_err());
    let all = call(None);
    assert_eq!(tenants(&all, "*").unwrap(), None, "and what has no tenant");
    assert_eq!(tenants(&all, "globex").unwrap(), names(&["globex"]));
}

#[test]
fn a_page_goes_on_where_the_one_before_ended_in_either_order() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let places = |order: v1::AuditOrder, after_number: u64, page_token: &str| {
        let request = v1::ListAuditRecordsRequest {
            after_number,
            order: order.into(),
            page_token: page_token.to_owned(),
            ..of_tenant("*")
        };
        let (query, _) = query(&call(None), request).unwrap();
        (query.above, query.below)
    };
    let token = URL_SAFE_NO_PAD.encode("40");
    let (newest, oldest) = (v1::AuditOrder::Unspecified, v1::AuditOrder::OldestFirst);
    assert_eq!(places(newest, 10, ""), (10, None));
    assert_eq!(places(newest, 10, &token), (10, Some(40)));
    assert_eq!(places(oldest, 10, ""), (10, None));
    assert_eq!(places(oldest, 10, &token), (40, None));
}

#[test]
fn every_name_that_a_record_may_have_can_be_asked_for() {
    let ask = |action: &str, outcome: &str| {
        let request = v1::ListAuditRecordsRequest {
            action: action.to_owned(),
            outcome: outcome.to_owned(),
            ..of_tenant("*")
        };
        query(&call(None), request).unwrap()
    };
    for (action, outcome) in [
        ("", ""),
        ("GetToken", "OK"),
        ("WatchEnded", "REFUSED"),
        ("RefreshFailed", "PROVIDER_UNAVAILABLE"),
        ("DeleteCredential", "CANCELLED"),
    ] {
        ask(action, outcome);
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let refusal = |change: fn(&mut v1::ListAuditRecordsRequest)| {
        let mut request = of_tenant("*");
        change(&mut request);
        let error = query(&call(None), request).unwrap_err();
        error.message().to_owned()
    };
    assert!(refusal(|request| request.credential_id = "a/b".into()).starts_with("credential_id"));
    assert!(refusal(|request| request.caller = "a\0b".into()).starts_with("caller"));
    let why = refusal(|request| request.action = "gettoken".into());
    assert_eq!(
        why,
        "action: \"gettoken\" is none that a record may have: did you mean GetToken?"
    );
    assert!(refusal(|request| request.action = "Nope".into()).contains("such as GetToken"));
    let why = refusal(|request| request.outcome = "CREDENTIAL_NOTFOUND".into());
    assert!(why.contains("CREDENTIAL_NOT_FOUND"), "{why}");
    assert!(refusal(|request| request.order = 7).starts_with("order"));
    assert!(refusal(|request| request.page_size = 1_001).starts_with("page_size"));
    assert!(refusal(|request| request.page_token = "bm9uc2Vuc2U".into()).starts_with("page_token"));
    assert!(
        refusal(|request| request.since = Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0
        }))
        .starts_with("since")
    );
}
