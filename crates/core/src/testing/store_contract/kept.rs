//! Claims on tokens that are brought while a grant holds their refresh token: a successor that is on its way is not lost.

use std::time::Duration;

use super::StoreHarness;
use super::sample::{Subject, T0, due, tokens};
use crate::change::Write;
use crate::failure::FailureReason;
use crate::grant::{GrantState, Lease, PassingFailure};
use crate::ids::{Generation, GrantId, OwnerToken};
use crate::store::{AttemptEnd, Claimed};

const LEASE: Duration = Duration::from_secs(45);
const G1: Generation = Generation::FIRST;

impl Subject {
    async fn claimed(&self, grant: &GrantId) -> Claimed {
        let owner = OwnerToken::random();
        let claimed = self.0.claim(grant, G1, &owner, LEASE).await;
        claimed.unwrap().unwrap()
    }

    async fn fails(&self, grant: &GrantId, claimed: &Claimed, ambiguous: bool) {
        let end = AttemptEnd::Deferred {
            next_at: T0,
            failure: PassingFailure {
                reason: FailureReason::ProviderUnavailable,
                message: "no answer".into(),
            },
            ambiguous,
        };
        let ended = self.0.end_attempt(grant, claimed.epoch, end).await;
        assert!(ended.unwrap());
    }
}

fn keep(grant: &GrantId, account: Option<&str>) -> Vec<Write> {
    vec![Write::KeepTokens {
        grant: grant.clone(),
        account: account.map(str::to_owned),
    }]
}

fn replace_if_idle(grant: &GrantId) -> Vec<Write> {
    vec![Write::StoreTokens {
        grant: grant.clone(),
        base: G1,
        next: G1.next(),
        tokens: Box::new(tokens("next")),
        issued_at: T0,
        dates: due(None),
        consent: true,
        account: None,
        idle: true,
    }]
}

pub async fn tokens_that_are_kept_stay_with_their_lease_and_its_commit(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let failed = subject.claimed(&grant).await;
    subject.fails(&grant, &failed, true).await;
    let claimed = subject.claimed(&grant).await;
    let before = subject.0.grant(&grant).await.unwrap().unwrap();
    assert_eq!(before.facts.attempts.failed, 1);

    subject.write(keep(&grant, Some("T0"))).await;
    let after = subject.0.grant(&grant).await.unwrap().unwrap();
    assert_eq!(after.tokens, before.tokens);
    assert_eq!(after.facts.generation, G1);
    assert_eq!(after.facts.version, before.facts.version + 1);
    assert_eq!(after.facts.dates, before.facts.dates);
    let epoch = |lease: Option<Lease>| lease.map(|lease| lease.epoch);
    assert_eq!(epoch(after.facts.lease), Some(claimed.epoch));
    assert!(after.facts.in_doubt);
    assert_eq!(after.facts.attempts.failed, 0);
    assert_eq!(after.facts.attempts.next_at, None);
    assert_eq!(after.facts.attempts.last_failure, None);
    assert_eq!(after.facts.account.as_deref(), Some("T0"));

    subject.write(keep(&grant, None)).await;
    let next = tokens("next");
    let committed = subject.0.commit(&grant, G1, &next, T0, &due(None)).await;
    assert_eq!(committed.unwrap(), Some(4), "kept twice and stored");
    let stored = subject.0.grant(&grant).await.unwrap().unwrap();
    assert_eq!(stored.tokens, next);
    assert_eq!(
        stored.facts.account.as_deref(),
        Some("T0"),
        "none leaves it"
    );
}

pub async fn tokens_that_are_kept_make_no_dead_grant_active_and_give_a_suspect_one_no_turn(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let held = subject.held(&["a"], T0).await;
    subject.write(keep(&held, None)).await;
    let facts = subject.facts(&held).await;
    assert!(matches!(facts.state, GrantState::Suspect(_)));
    assert_eq!(facts.attempts.next_at, Some(T0));
    assert_eq!(facts.attempts.failed, 1);

    let dead = subject.add_slack(&["b"]).await;
    subject.invalidate(&dead, "gone").await;
    subject.conflicts(keep(&dead, None)).await;
}

pub async fn the_same_refresh_token_replaces_itself_only_while_nobody_may_spend_it(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let leased = subject.claimed(&grant).await;
    subject.conflicts(replace_if_idle(&grant)).await;
    subject.fails(&grant, &leased, true).await;
    subject.conflicts(replace_if_idle(&grant)).await;
    let in_doubt = subject.claimed(&grant).await;
    subject.fails(&grant, &in_doubt, false).await;
    subject.conflicts(replace_if_idle(&grant)).await;

    let idle = subject.add_slack(&["b"]).await;
    let refused = subject.claimed(&idle).await;
    subject.fails(&idle, &refused, false).await;
    subject.write(replace_if_idle(&idle)).await;
    let facts = subject.facts(&idle).await;
    assert_eq!(facts.generation, G1.next());
}
