use std::collections::BTreeMap;

use evergrant_core::ids::Generation;

use super::*;
use crate::grpc::caller::CallerRule;
use crate::grpc::sample;

const NOW: Timestamp = sample::ISSUED_AT;

/// A caller that may read the credentials of these tenants; `None` for all.
fn caller(tenants: Option<&[&str]>) -> Caller {
    let tenants = tenants.map(|names| names.iter().map(|name| tenant(name).unwrap()).collect());
    let rule = CallerRule {
        name: "ops".into(),
        token_sha256: [0; 32],
        tenants,
        allow: vec![Permission::CredentialRead],
    };
    Caller::known(rule, 1)
}

fn of_tenant(tenant_id: &str) -> v1::ForecastCredentialsRequest {
    v1::ForecastCredentialsRequest {
        tenant_id: tenant_id.to_owned(),
        ..v1::ForecastCredentialsRequest::default()
    }
}

#[test]
fn a_star_means_what_the_caller_may_read_and_nothing_else() {
    let tenants = |caller: &Caller, asked: &str| {
        query(caller, of_tenant(asked), NOW).map(|(query, _)| query.tenants)
    };
    let names = |names: &[&str]| Some(names.iter().map(|name| tenant(name).unwrap()).collect());
    let some = caller(Some(&["acme", "globex"]));
    assert_eq!(tenants(&some, "*").unwrap(), names(&["acme", "globex"]));
    assert_eq!(tenants(&some, "acme").unwrap(), names(&["acme"]));
    assert!(tenants(&some, "initech").is_err());
    assert!(tenants(&some, "").is_err(), "the default tenant");
    let all = caller(None);
    assert_eq!(tenants(&all, "*").unwrap(), None);
    assert_eq!(tenants(&all, "").unwrap(), names(&["default"]));
    let none = caller(Some(&[]));
    assert!(tenants(&none, "*").is_err());
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let refusal = |change: fn(&mut v1::ForecastCredentialsRequest)| {
        let mut request = of_tenant("*");
        change(&mut request);
        let error = query(&caller(None), request, NOW).unwrap_err();
        error.message().to_owned()
    };
    assert!(refusal(|request| request.provider = "No!".into()).starts_with("provider"));
    assert!(refusal(|request| request.page_size = 1_001).starts_with("page_size"));
    assert!(refusal(|request| request.page_token = "bm9uc2Vuc2U".into()).starts_with("page_token"));
    let negative = refusal(|request| {
        request.within = Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        });
    });
    assert!(negative.starts_with("within"), "{negative}");
}

#[test]
fn a_page_token_leads_back_to_its_place() {
    for moves in [true, false] {
        let there = ForecastPlace {
            at: NOW,
            key: sample::key(),
            moves,
        };
        assert_eq!(place(&page_token(&there)), Some(there));
    }
    for nonsense in ["", "1", "x/0/acme/a", "1/0/acme", "1/0/acme/a/b"] {
        assert_eq!(place(nonsense), None, "{nonsense:?}");
    }
}

#[test]
fn only_what_a_refresh_moves_says_when_it_is_renewed() {
    let end = |of: Option<EndOf>| {
        to_end(Forecast {
            place: ForecastPlace {
                at: NOW,
                key: sample::key(),
                moves: of.is_none(),
            },
            provider: ProviderName::parse("slack").unwrap(),
            generation: Generation(3),
            of,
            due_at: Some(NOW),
            labels: BTreeMap::new(),
        })
    };
    for (of, kind) in [
        (EndOf::AccessToken, CredentialEndKind::AccessToken),
        (EndOf::RefreshToken, CredentialEndKind::RefreshToken),
        (EndOf::Grant, CredentialEndKind::Grant),
    ] {
        let for_good = end(Some(of));
        assert_eq!((for_good.kind(), for_good.renews_at), (kind, None));
    }
    let moving = end(None);
    assert_eq!(moving.kind(), CredentialEndKind::UnusedRefreshToken);
    assert_eq!(moving.renews_at, Some(to_timestamp(NOW)));
}
