use super::*;

#[test]
fn a_malformed_filter_names_its_field() {
    let bad = [
        (
            "tenant_id",
            v1::WatchRequest {
                tenant_id: "a b".into(),
                ..Default::default()
            },
        ),
        (
            "credential_id",
            v1::WatchRequest {
                credential_ids: vec![String::new()],
                ..Default::default()
            },
        ),
        (
            "providers",
            v1::WatchRequest {
                providers: vec!["a/b".into()],
                ..Default::default()
            },
        ),
        (
            "types",
            v1::WatchRequest {
                types: vec![0],
                ..Default::default()
            },
        ),
        (
            "types",
            v1::WatchRequest {
                types: vec![99],
                ..Default::default()
            },
        ),
        (
            "heartbeat_interval",
            v1::WatchRequest {
                heartbeat_interval: Some(prost_types::Duration {
                    seconds: 301,
                    nanos: 0,
                }),
                ..Default::default()
            },
        ),
    ];
    for (field, request) in bad {
        let error = parse(request, Duration::from_secs(15)).err().unwrap();
        assert!(
            error.message().starts_with(field),
            "{field}: {}",
            error.message()
        );
    }
}

#[test]
fn a_star_means_all_tenants_and_nothing_the_default_one() {
    let all = v1::WatchRequest {
        tenant_id: "*".into(),
        ..Default::default()
    };
    assert_eq!(
        parse(all, Duration::from_secs(15)).unwrap().filter.tenant,
        None
    );
    let default = parse(v1::WatchRequest::default(), Duration::from_secs(15))
        .unwrap()
        .filter
        .tenant
        .unwrap();
    assert_eq!(default.as_str(), "default");
}
