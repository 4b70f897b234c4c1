use evergrant_core::grant::Grant;
use evergrant_core::provider::{Profile, Renewal, Rotation};

use super::*;
use crate::grpc::sample;

fn request() -> v1::GetTokenRequest {
    v1::GetTokenRequest {
        credential_id: "slack-7".into(),
        ..v1::GetTokenRequest::default()
    }
}

#[test]
fn a_request_is_parsed_or_its_field_named() {
    use v1::get_token_request::Rejected;
    let (key, ask) = parse(request(), None).unwrap();
    assert_eq!(key.to_string(), "default/slack-7");
    assert_eq!(ask, Ask::default());

    let bad: [(&str, v1::GetTokenRequest); 6] = [
        ("credential_id", v1::GetTokenRequest::default()),
        (
            "credential_id",
            v1::GetTokenRequest {
                credential_id: "a b".into(),
                ..request()
            },
        ),
        (
            "tenant_id",
            v1::GetTokenRequest {
                tenant_id: "a/b".into(),
                ..request()
            },
        ),
        (
            "scopes",
            v1::GetTokenRequest {
                scopes: vec!["a b".into()],
                ..request()
            },
        ),
        (
            "rejected_token_sha256",
            v1::GetTokenRequest {
                rejected: Some(Rejected::RejectedTokenSha256(vec![1; 31].into())),
                ..request()
            },
        ),
        (
            "rejected_generation",
            v1::GetTokenRequest {
                rejected: Some(Rejected::RejectedGeneration(0)),
                ..request()
            },
        ),
    ];
    for (field, request) in bad {
        let error = parse(request, None).unwrap_err();
        assert!(
            error.message().starts_with(field),
            "{field}: {}",
            error.message()
        );
    }
}

fn live(grant: Grant, header_name: &str, header_scheme: &str) -> Arc<LiveGrant> {
    let profile = Profile {
        rotation: Rotation::SingleUse,
        grant_types: Vec::new(),
        flaky_refusals: false,
        renewal: Renewal::default(),
        header_name: header_name.into(),
        header_scheme: header_scheme.into(),
        limits: evergrant_core::provider::Limits::default(),
    };
    Arc::new(LiveGrant::new(grant, profile, false))
}

fn good(grant: Grant) -> Answer {
    Answer {
        live: live(grant, "Authorization", "Bearer"),
        now: sample::ISSUED_AT.plus(Duration::from_secs(600)),
        refreshed: false,
        failure: None,
    }
}

// A49, A133, A141
#[test]
fn an_answer_has_the_header_to_send_and_what_is_known_of_the_account() {
    let answer = render(&good(sample::grant()));
    assert_eq!(answer.access_token, "hush-access");
    assert_eq!(answer.generation, 7);
    assert_eq!(answer.metadata["team_id"], "T1");
    let header = answer.header.unwrap();
    assert_eq!(
        (&*header.name, &*header.value),
        ("Authorization", "Bearer hush-access")
    );

    let mut bare = good(sample::grant());
    bare.live = live(sample::grant(), "X-Api-Key", "");
    let header = render(&bare).header.unwrap();
    assert_eq!(
        (&*header.name, &*header.value),
        ("X-Api-Key", "hush-access")
    );
}

// C84, W7, W66
#[test]
fn remaining_life_is_reckoned_at_each_answer_and_unknown_where_the_expiry_is() {
    let answer = render(&good(sample::grant()));
    assert_eq!(
        answer.expires_in,
        Some(to_duration(Duration::from_secs(3_000)))
    );
    let end = sample::ISSUED_AT.plus(Duration::from_secs(3_600));
    assert_eq!(answer.expires_at, Some(to_timestamp(end)));

    let mut lasting = sample::grant();
    lasting.facts.expires_at = None;
    let answer = render(&good(lasting));
    assert_eq!((answer.expires_at, answer.expires_in), (None, None));
}

// C75, W13, W24
#[test]
fn an_answer_says_whether_it_was_refreshed_and_why_not_where_that_was_due() {
    assert!(!render(&good(sample::grant())).refreshed);
    let brought = Answer {
        refreshed: true,
        ..good(sample::grant())
    };
    assert!(render(&brought).refreshed);

    let next_at = sample::ISSUED_AT.plus(Duration::from_secs(605));
    let stale = Answer {
        failure: Some(Failure {
            reason: evergrant_core::failure::FailureReason::ProviderUnavailable,
            message: "slack did not answer".into(),
            next_at: Some(next_at),
            cooling: false,
        }),
        ..good(sample::grant())
    };
    let failure = render(&stale).refresh_failure.unwrap();
    assert_eq!(failure.reason, "PROVIDER_UNAVAILABLE");
    assert_eq!(failure.next_attempt_at, Some(to_timestamp(next_at)));
}

#[test]
fn the_two_parts_of_an_encoded_answer_are_the_whole_one() {
    let answer = Answer {
        refreshed: true,
        ..good(sample::grant())
    };
    let Encoded { shared, own } = encode(&answer);
    let joined = [&shared[..], &own[..]].concat();
    let decoded = v1::GetTokenResponse::decode(&joined[..]).unwrap();
    assert_eq!(decoded, render(&answer));
}
