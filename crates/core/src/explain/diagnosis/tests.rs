use super::*;
use crate::cache::sample::grant;
use crate::failure::FailureReason;
use crate::grant::{GrantState, GrantType, InvalidationReason, Lease};
use crate::ids::{Epoch, GrantId, OwnerToken, ReplicaName};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

/// A grant that is due in an hour.
fn healthy() -> GrantFacts {
    let mut facts = grant(&GrantId::random(), 1).facts;
    facts.grant_type = GrantType::AuthorizationCode;
    facts.refreshable = true;
    facts.issued_at = NOW.minus(MINUTE);
    facts.expires_at = Some(NOW.plus(80 * MINUTE));
    facts.dates.due_at = Some(NOW.plus(60 * MINUTE));
    facts
}

fn evidence(grant: &GrantFacts) -> Evidence<'_> {
    Evidence {
        grant,
        now: NOW,
        renewal: Renewal::default(),
        unknown: None,
        refusal: None,
        throttled_for: None,
    }
}

fn refused() -> Invalidation {
    Invalidation {
        reason: InvalidationReason::GrantRevoked,
        provider_error: "invalid_grant".into(),
        message: String::new(),
        at: NOW.minus(MINUTE),
        reported: false,
    }
}

#[test]
fn a_grant_that_works_is_due_in_time_or_on_request() {
    let mut facts = healthy();
    let due_at = NOW.plus(60 * MINUTE);
    assert_eq!(evidence(&facts).diagnose(), Diagnosis::Works { due_at });
    facts.dates.due_at = None;
    assert_eq!(evidence(&facts).diagnose(), Diagnosis::OnRequest);
}

#[test]
fn death_outweighs_everything_and_a_lease_outweighs_a_held_refusal() {
    let mut facts = healthy();
    let replica = ReplicaName::parse("evergrant-0:7070").unwrap();
    facts.lease = Some(Lease {
        owner: OwnerToken::of(&replica),
        epoch: Epoch(7),
        left: MINUTE,
    });
    facts.state = GrantState::Suspect(refused());
    let refreshing = Diagnosis::Refreshing {
        replica: Some("evergrant-0:7070".into()),
        until: NOW.plus(MINUTE),
    };
    assert_eq!(evidence(&facts).diagnose(), refreshing);
    facts.state = GrantState::Invalidated(refused());
    assert_eq!(evidence(&facts).diagnose(), Diagnosis::Dead(refused()));
    facts.state = GrantState::Suspect(refused());
    facts.lease = None;
    facts.attempts.next_at = Some(NOW.plus(MINUTE));
    let held = Diagnosis::Held {
        refusal: refused(),
        next_at: Some(NOW.plus(MINUTE)),
    };
    assert_eq!(evidence(&facts).diagnose(), held);
}

#[test]
fn a_lease_that_ran_out_holds_nothing_up() {
    let mut facts = healthy();
    facts.lease = Some(Lease {
        owner: OwnerToken::random(),
        epoch: Epoch(7),
        left: Duration::ZERO,
    });
    let diagnosis = evidence(&facts).diagnose();
    assert!(
        matches!(diagnosis, Diagnosis::Works { .. }),
        "{diagnosis:?}"
    );
}

#[test]
fn without_a_refresh_token_none_comes_whatever_else_is_wrong() {
    let mut facts = healthy();
    facts.refreshable = false;
    facts.attempts.next_at = Some(NOW.plus(MINUTE));
    let ends_at = facts.expires_at;
    let none = Diagnosis::NotRenewable { ends_at };
    assert_eq!(evidence(&facts).diagnose(), none);
}

#[test]
fn what_holds_a_whole_client_up_is_told_before_what_holds_the_grant_up() {
    let mut facts = healthy();
    facts.attempts.failed = 3;
    facts.attempts.next_at = Some(NOW.plus(MINUTE));
    facts.attempts.last_failure = Some(PassingFailure {
        reason: FailureReason::ProviderUnavailable,
        message: "acme did not answer".into(),
    });
    let unknown = UnknownClient::Provider("acme".into());
    let refusal = Refusal {
        code: "invalid_client".into(),
        message: String::new(),
        retry_after: MINUTE,
    };
    let of = |unknown: Option<&UnknownClient>, refusal: Option<&Refusal>| {
        Evidence {
            unknown: unknown.cloned(),
            refusal: refusal.cloned(),
            throttled_for: Some(MINUTE),
            ..evidence(&facts)
        }
        .diagnose()
    };
    let first = of(Some(&unknown), Some(&refusal));
    assert_eq!(first, Diagnosis::UnknownClient(unknown));
    let second = of(None, Some(&refusal));
    assert_eq!(second, Diagnosis::ClientRejected(refusal));
    let cooling = Diagnosis::CoolingDown {
        failure: facts.attempts.last_failure.clone(),
        failed: 3,
        until: NOW.plus(MINUTE),
    };
    assert_eq!(of(None, None), cooling);
}

#[test]
fn a_throttled_client_is_told_until_when() {
    let facts = healthy();
    let throttled = Evidence {
        throttled_for: Some(MINUTE),
        ..evidence(&facts)
    };
    let until = NOW.plus(MINUTE);
    assert_eq!(throttled.diagnose(), Diagnosis::Throttled { until });
}

#[test]
fn a_token_is_too_young_only_once_it_is_due() {
    let mut facts = healthy();
    let young = |facts: &GrantFacts| {
        Evidence {
            renewal: Renewal {
                min_age: Some(10 * MINUTE),
                ..Renewal::default()
            },
            ..evidence(facts)
        }
        .diagnose()
    };
    assert!(matches!(young(&facts), Diagnosis::Works { .. }));
    facts.dates.due_at = Some(NOW);
    let until = NOW.plus(9 * MINUTE);
    assert_eq!(young(&facts), Diagnosis::TooYoung { until });
}

#[test]
fn what_has_been_due_for_a_minute_is_overdue() {
    let mut facts = healthy();
    let since = NOW.minus(OVERDUE_AFTER);
    facts.dates.due_at = Some(since);
    assert_eq!(evidence(&facts).diagnose(), Diagnosis::Overdue { since });
    let due_at = since.plus(Duration::from_millis(1));
    facts.dates.due_at = Some(due_at);
    assert_eq!(evidence(&facts).diagnose(), Diagnosis::Works { due_at });
}
