use evergrant_core::attempts::AttemptError;
use evergrant_core::breaker::Refusal;
use evergrant_core::budget::Usage;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::GrantType;
use evergrant_core::ids::{Epoch, Generation, ReplicaName};
use evergrant_core::refresh::Cause;

use super::*;
use crate::grpc::sample;

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_400);

fn explained(diagnosis: Diagnosis) -> Explanation {
    let mut grant = sample::grant().facts;
    grant.generation = Generation(7);
    grant.grant_type = GrantType::AuthorizationCode;
    grant.issued_at = AT;
    grant.expires_at = Some(AT.plus(Duration::from_secs(3_600)));
    Explanation {
        now: AT,
        grant,
        parent: None,
        credentials: Vec::new(),
        integrations: Vec::new(),
        client: None,
        refusal: None,
        budget: Usage {
            concurrent: 8,
            in_use: 0,
            waiting: 0,
            per_minute: None,
            used_last_minute: 0,
            throttled_for: None,
        },
        lock: Ok(None),
        escrow: Ok(None),
        attempts: Vec::new(),
        events: Vec::new(),
        diagnosis,
    }
}

fn death(reason: InvalidationReason) -> Invalidation {
    Invalidation {
        reason,
        provider_error: "invalid_grant".into(),
        message: "acme answered HTTP 400 at its token_url with invalid_grant".into(),
        at: AT,
        reported: false,
    }
}

fn refused(explained: &Explanation) -> AttemptRecord {
    AttemptRecord {
        grant: explained.grant.id.clone(),
        epoch: Epoch(3),
        replica: ReplicaName::parse("evergrant-1:7070").unwrap(),
        cause: Cause::Expiry,
        began_at: AT.minus(Duration::from_secs(2)),
        took: Duration::from_secs(2),
        base: explained.grant.generation,
        left: None,
        took_over: false,
        calls: 1,
        outcome: AttemptOutcome::Invalidated,
        error: Some(AttemptError {
            status: Some(400),
            code: "invalid_grant".into(),
            message: String::new(),
        }),
    }
}

#[test]
fn a_death_is_told_with_its_cause_the_attempt_and_the_remedy() {
    let mut dead = explained(Diagnosis::Dead(death(InvalidationReason::GrantRevoked)));
    let remedy = "the user must connect again";
    assert_eq!(
        of(&dead),
        format!(
            "dead since 2023-11-14T22:13:20Z: the provider refused it (invalid_grant); {remedy}"
        )
    );
    dead.attempts.push(refused(&dead));
    assert_eq!(
        of(&dead),
        format!(
            "dead since 2023-11-14T22:13:20Z: the provider refused it (invalid_grant) on the attempt of \
             2023-11-14T22:13:18Z by replica evergrant-1:7070; {remedy}"
        )
    );
    dead.attempts[0].base = Generation(6);
    assert!(!of(&dead).contains("attempt"), "it is of another life");
    dead.grant.grant_type = GrantType::ClientCredentials;
    assert!(of(&dead).ends_with("its owner must reconnect it with means that work"));
}

#[test]
fn what_somebody_reported_is_told_in_their_words() {
    let by_caller = Invalidation {
        provider_error: String::new(),
        message: "app uninstalled".into(),
        reported: true,
        ..death(InvalidationReason::Reported)
    };
    assert_eq!(
        of(&explained(Diagnosis::Dead(by_caller))),
        "dead since 2023-11-14T22:13:20Z: it was reported dead, \"app uninstalled\"; the user must connect again"
    );
}

#[test]
fn who_must_act_is_told_where_the_client_is_refused_for_one_credential_alone() {
    let mut refused = explained(Diagnosis::CoolingDown {
        failure: Some(PassingFailure {
            reason: FailureReason::ClientRejected,
            message: "acme answered HTTP 400 with unauthorized_client".into(),
        }),
        failed: 2,
        until: AT.plus(Duration::from_secs(60)),
    });
    let client = &refused.grant.client;
    assert_eq!(
        of(&refused),
        format!(
            "not refreshed before 2023-11-14T22:14:20Z: the provider refuses client {client} for this credential \
             alone, 2 times in a row, the last time because acme answered HTTP 400 with unauthorized_client; an \
             administrator of its account at the provider must allow the application there, and it is tried again by \
             itself"
        )
    );
    refused.grant.grant_type = GrantType::JwtBearer;
    let told = of(&refused);
    assert!(told.contains("if it brings a client of its own, its owner must mend that"));
    let mut attempt = self::refused(&refused);
    attempt.error.as_mut().unwrap().code = "invalid_scope".into();
    refused.attempts.push(attempt);
    assert_eq!(of(&refused), told, "it asks for no scopes");
    refused.grant.requested_scopes = ["read".to_owned()].into_iter().collect();
    assert!(of(&refused).contains("must ask for scopes that the client may have"));
}

#[test]
fn what_holds_a_refresh_up_is_told_with_its_end() {
    let until = AT.plus(Duration::from_secs(60));
    let cooling = Diagnosis::CoolingDown {
        failure: Some(PassingFailure {
            reason: FailureReason::ProviderUnavailable,
            message: "acme did not answer".into(),
        }),
        failed: 3,
        until,
    };
    assert_eq!(
        of(&explained(cooling)),
        "not refreshed before 2023-11-14T22:14:20Z: it failed 3 times in a row, the last time because acme did not \
         answer"
    );
    let rejected = Diagnosis::ClientRejected(Refusal {
        code: "invalid_client".into(),
        message: String::new(),
        retry_after: Duration::from_millis(4_200),
    });
    let told = of(&explained(rejected));
    assert!(told.contains("(invalid_client)"));
    assert!(told.ends_with("the next probe is due in 5 s, and goes out by itself"));
    let refreshing = Diagnosis::Refreshing {
        replica: Some("evergrant-1:7070".into()),
        until,
    };
    assert_eq!(
        of(&explained(refreshing)),
        "being refreshed by replica evergrant-1:7070, which has until 2023-11-14T22:14:20Z"
    );
}

#[test]
fn what_cannot_be_renewed_is_told_by_when_its_user_must_come() {
    let with = |ends_at| of(&explained(Diagnosis::NotRenewable { ends_at }));
    assert!(with(None).starts_with("works, and no refresh comes"));
    assert!(with(Some(AT.plus(Duration::from_secs(1)))).starts_with("works until"));
    assert!(with(Some(AT)).starts_with("of no use since"));
}
