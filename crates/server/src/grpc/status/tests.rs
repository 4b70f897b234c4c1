use super::*;
use crate::consent::ConsentError;
use crate::grpc::sample::{ISSUED_AT, key, revoked};

#[test]
fn a_status_carries_reason_domain_retry_and_field() {
    let status = ApiError::invalid("credential_id", "must not be empty")
        .retry_after(Duration::from_secs(3))
        .into_status();
    assert_eq!(status.code(), Code::InvalidArgument);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("INVALID_REQUEST", DOMAIN)
    );
    assert_eq!(
        status.get_details_retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(3))
    );
    let field = &status.get_details_bad_request().unwrap().field_violations[0];
    assert_eq!(field.field, "credential_id");
}

#[test]
fn every_failure_reason_has_the_same_name_on_the_wire() {
    for reason in FailureReason::ALL {
        let failure = Failure {
            reason,
            message: String::new(),
            next_at: None,
            cooling: false,
        };
        assert_eq!(reason_name(failure_reason(&failure)), reason.as_str());
    }
}

// A26, B35, R7: needs re-auth, unavailable, misconfigured and throttled are told apart.
#[test]
fn a_dead_grant_a_fault_a_wrong_client_and_a_throttle_have_different_codes() {
    let codes = [
        ErrorReason::CredentialInvalidated,
        ErrorReason::ProviderUnavailable,
        ErrorReason::ProviderRateLimited,
        ErrorReason::CredentialNotFound,
    ]
    .map(code_of);
    let distinct: std::collections::HashSet<_> = codes.iter().map(|code| *code as i32).collect();
    assert_eq!(distinct.len(), codes.len());
}

fn failed(reason: FailureReason, next_at: Option<Timestamp>, cooling: bool) -> ApiError {
    let failure = Failure {
        reason,
        message: "slack did not answer".into(),
        next_at,
        cooling,
    };
    let key = key();
    token_error(TokenError::Failed { key, failure }, ISSUED_AT)
}

// A103, A138, B46, W13, W65, W92
#[test]
fn a_dead_grant_is_told_with_reason_code_and_generation_and_no_time_to_retry() {
    let error = token_error(
        TokenError::Invalidated {
            key: key(),
            generation: evergrant_core::ids::Generation(7),
            invalidation: revoked(),
        },
        ISSUED_AT,
    );
    assert_eq!(error.wait(), None);
    let status = error.into_status();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "CREDENTIAL_INVALIDATED");
    assert_eq!(info.metadata["generation"], "7");
    assert_eq!(info.metadata["invalidation_reason"], "GRANT_REVOKED");
    assert_eq!(info.metadata["provider_error"], "token_revoked");
}

#[test]
fn a_provider_that_gave_no_code_is_not_told_with_an_empty_one() {
    let refused = ConsentError::Refused {
        code: String::new(),
        message: "the provider refused".into(),
    };
    let failed = ConsentError::Failed {
        reason: FailureReason::ProviderProtocolError,
        code: String::new(),
        message: "acme answered nonsense".into(),
    };
    let mut dead = revoked();
    dead.provider_error.clear();
    let dead = TokenError::Invalidated {
        key: key(),
        generation: evergrant_core::ids::Generation(7),
        invalidation: dead,
    };
    let errors = [refused.into(), failed.into(), token_error(dead, ISSUED_AT)];
    for error in errors {
        let info = error.into_status().get_details_error_info().unwrap();
        assert!(!info.metadata.contains_key("provider_error"), "{info:?}");
    }
}

// A100, A137
#[test]
fn a_credential_that_is_not_there_is_told_by_name() {
    let error = token_error(TokenError::NotFound(key()), ISSUED_AT);
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(error.message(), "credential acme/slack-7 does not exist");
}

// A16, C90
#[test]
fn a_caller_whose_deadline_passes_learns_that_the_refresh_goes_on() {
    let error = token_error(TokenError::InProgress(key()), ISSUED_AT);
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(error.reason_name(), "REFRESH_IN_PROGRESS");
    assert_eq!(error.wait(), Some(SOON));
}

// A36, W13, W23
#[test]
fn a_passing_failure_is_told_with_the_time_of_the_next_attempt() {
    let wait = Duration::from_secs(42);
    let next_at = Some(ISSUED_AT.plus(wait));
    for (reason, cooling, name) in [
        (
            FailureReason::ProviderUnavailable,
            false,
            "PROVIDER_UNAVAILABLE",
        ),
        (
            FailureReason::ProviderUnavailable,
            true,
            "REFRESH_COOLING_DOWN",
        ),
        (
            FailureReason::ProviderRateLimited,
            true,
            "PROVIDER_RATE_LIMITED",
        ),
        (FailureReason::ClientRejected, true, "CLIENT_REJECTED"),
    ] {
        let error = failed(reason, next_at, cooling);
        assert_eq!((error.reason_name(), error.wait()), (name, Some(wait)));
    }
    let unknown = failed(FailureReason::StoreUnavailable, None, false);
    assert_eq!(unknown.wait(), Some(SOON));
    let past = Some(Timestamp::from_millis(0));
    let past = failed(FailureReason::ProviderUnavailable, past, false);
    assert_eq!(past.wait(), Some(Duration::ZERO));
}

#[test]
fn what_only_an_operator_can_mend_is_told_without_a_time_to_retry() {
    for reason in [FailureReason::UnknownClient, FailureReason::KeyUnavailable] {
        assert_eq!(failed(reason, None, false).wait(), None, "{reason}");
    }
}

#[test]
fn a_bug_is_told_by_an_id_and_nothing_else() {
    let error = failed(FailureReason::Internal, None, false);
    assert_eq!(error.code(), Code::Internal);
    assert!(!error.message().contains("slack"), "{}", error.message());
    let corrupt = store_error(&StoreError::Corrupt("row 17".into()));
    assert!(
        !corrupt.message().contains("row 17"),
        "{}",
        corrupt.message()
    );
}

#[test]
fn a_grant_that_only_a_person_can_mend_is_not_to_be_tried_again() {
    let status = failed(FailureReason::GrantUnusable, Some(ISSUED_AT), true).into_status();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(
        status.get_details_error_info().unwrap().reason,
        "GRANT_UNUSABLE"
    );
    assert!(status.get_details_retry_info().is_none());
}
