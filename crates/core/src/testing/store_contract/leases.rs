//! Claims on leases, commits and what ends an attempt.

use std::time::Duration;

use super::StoreHarness;
use super::sample::{Subject, T0, due, key, tokens};
use crate::change::Scope;
use crate::failure::FailureReason;
use crate::grant::{GrantState, PassingFailure};
use crate::ids::{Epoch, Generation, GrantId, OwnerToken};
use crate::store::{AttemptEnd, Claimed};

const LEASE: Duration = Duration::from_secs(45);
const G1: Generation = Generation::FIRST;

impl Subject {
    async fn claim(&self, grant: &GrantId) -> Option<Claimed> {
        let owner = OwnerToken::random();
        self.0.claim(grant, G1, &owner, LEASE).await.unwrap()
    }

    async fn end(&self, grant: &GrantId, epoch: Epoch, end: AttemptEnd) -> bool {
        self.0.end_attempt(grant, epoch, end).await.unwrap()
    }
}

fn deferred(ambiguous: bool) -> AttemptEnd {
    AttemptEnd::Deferred {
        next_at: T0,
        failure: PassingFailure {
            reason: FailureReason::ProviderUnavailable,
            message: "no answer".into(),
        },
        ambiguous,
    }
}

/// A plan tells from it whether a refusal was overtaken.
pub async fn a_snapshot_shows_the_lease_until_the_attempt_ends(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let epoch = async || {
        let snapshot = subject.0.snapshot(&Scope::Grant(grant.clone())).await;
        let lease = snapshot.unwrap().grants.remove(0).lease;
        lease.map(|lease| lease.epoch)
    };
    assert_eq!(epoch().await, None);
    let claimed = subject.claim(&grant).await.unwrap();
    assert_eq!(epoch().await, Some(claimed.epoch));
    harness.pass(LEASE * 2).await;
    assert_eq!(epoch().await, Some(claimed.epoch), "it has run out");
    let later = subject.claim(&grant).await.unwrap();
    assert_eq!(epoch().await, Some(later.epoch));
    assert!(subject.end(&grant, later.epoch, AttemptEnd::Unused).await);
    assert_eq!(epoch().await, None);
}

pub async fn of_50_owners_exactly_one_claims_a_grant(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let mut owners = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (store, grant) = (subject.0.clone(), grant.clone());
        owners.spawn(async move {
            let owner = OwnerToken::random();
            let claimed = store.claim(&grant, G1, &owner, LEASE).await.unwrap();
            claimed.map(|claimed| (owner, claimed))
        });
    }
    let won: Vec<_> = owners.join_all().await.into_iter().flatten().collect();
    let [(owner, claimed)] = won.as_slice() else {
        panic!("{} owners won", won.len());
    };
    let facts = subject.0.grant(&grant).await.unwrap().unwrap().facts;
    let lease = facts.lease.unwrap();
    assert_eq!((&lease.owner, lease.epoch), (owner, claimed.epoch));
    assert!(lease.left > Duration::ZERO && lease.left <= LEASE);
    assert_eq!(facts.version, 1, "a claim tells nobody anything new");
}

pub async fn a_claim_needs_the_generation_that_was_read(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let owner = OwnerToken::random();
    for wrong in [Generation(0), Generation(2)] {
        let claimed = subject.0.claim(&grant, wrong, &owner, LEASE).await;
        assert_eq!(claimed.unwrap(), None);
    }
    assert_eq!(subject.claim(&GrantId::random()).await, None);
    assert!(subject.claim(&grant).await.is_some());
}

pub async fn a_live_lease_keeps_others_out_and_one_that_ran_out_does_not(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let first = subject.claim(&grant).await.unwrap();
    assert_eq!(subject.claim(&grant).await, None);
    harness.pass(LEASE - Duration::from_secs(10)).await;
    assert_eq!(subject.claim(&grant).await, None);
    harness.pass(Duration::from_secs(10)).await;

    let facts = subject.0.grant(&grant).await.unwrap().unwrap().facts;
    assert_eq!(facts.lease.unwrap().left, Duration::ZERO);
    let second = subject.claim(&grant).await.unwrap();
    assert!(second.epoch > first.epoch);
}

pub async fn an_attempt_that_never_told_its_end_makes_the_next_one_a_takeover(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    assert!(!subject.claim(&grant).await.unwrap().takeover);
    harness.pass(LEASE).await;
    assert!(subject.claim(&grant).await.unwrap().takeover);
}

pub async fn an_attempt_that_ended_well_leaves_no_doubt(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    for (failed, end) in [(0, AttemptEnd::Unused), (1, deferred(false))] {
        let claimed = subject.claim(&grant).await.unwrap();
        assert!(!claimed.takeover);
        assert!(subject.end(&grant, claimed.epoch, end).await);
        let facts = subject.0.grant(&grant).await.unwrap().unwrap().facts;
        assert_eq!(facts.lease, None);
        assert_eq!(facts.attempts.failed, failed);
    }
    let attempts = subject
        .0
        .grant(&grant)
        .await
        .unwrap()
        .unwrap()
        .facts
        .attempts;
    assert_eq!(attempts.next_at, Some(T0));
    let failure = attempts.last_failure.unwrap();
    assert_eq!(failure.reason, FailureReason::ProviderUnavailable);
    assert_eq!(failure.message, "no answer");
    assert!(!subject.claim(&grant).await.unwrap().takeover);
}

pub async fn a_doubt_outlives_attempts_that_end_well(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    subject.claim(&grant).await.unwrap();
    harness.pass(LEASE).await;
    for end in [AttemptEnd::Unused, deferred(false)] {
        let claimed = subject.claim(&grant).await.unwrap();
        assert!(claimed.takeover);
        assert!(subject.end(&grant, claimed.epoch, end).await);
    }
    assert!(subject.claim(&grant).await.unwrap().takeover);

    let stored = subject
        .0
        .commit(&grant, G1, &tokens("b"), T0, &due(None))
        .await;
    assert!(stored.unwrap().is_some());
    let owner = OwnerToken::random();
    let claimed = subject.0.claim(&grant, G1.next(), &owner, LEASE).await;
    assert!(!claimed.unwrap().unwrap().takeover, "new tokens, no doubt");
}

pub async fn an_ambiguous_end_makes_the_next_one_a_takeover(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let claimed = subject.claim(&grant).await.unwrap();
    assert!(subject.end(&grant, claimed.epoch, deferred(true)).await);
    assert!(subject.claim(&grant).await.unwrap().takeover);
}

pub async fn an_attempt_ends_once_and_only_under_the_latest_epoch(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let old = subject.claim(&grant).await.unwrap();
    harness.pass(LEASE).await;
    let new = subject.claim(&grant).await.unwrap();
    assert!(!subject.end(&grant, old.epoch, deferred(false)).await);
    assert_eq!(subject.claim(&grant).await, None, "the lease still stands");
    assert!(subject.end(&grant, new.epoch, deferred(false)).await);
    assert!(!subject.end(&grant, new.epoch, deferred(false)).await);
    let facts = subject.0.grant(&grant).await.unwrap().unwrap().facts;
    assert_eq!(facts.attempts.failed, 1);
}

pub async fn a_commit_needs_no_lease_and_counts_once(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let claimed = subject.claim(&grant).await.unwrap();
    subject.end(&grant, claimed.epoch, deferred(true)).await;
    let next = tokens("next");
    let dates = due(Some(T0.plus(LEASE)));
    let commit = async || subject.0.commit(&grant, G1, &next, T0, &dates).await;
    assert_eq!(commit().await, Ok(Some(2)));
    assert_eq!(commit().await, Ok(None));

    let stored = subject.0.grant(&grant).await.unwrap().unwrap();
    assert_eq!(stored.tokens, next);
    assert_eq!(stored.facts.generation, Generation(2));
    assert_eq!(stored.facts.version, 2);
    assert_eq!(stored.facts.attempts, Default::default());
    assert_eq!(stored.facts.lease, None);
    assert!(!subject.end(&grant, claimed.epoch, deferred(false)).await);
}

/// R1
pub async fn a_commit_on_a_stale_generation_changes_nothing(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let newer = tokens("newer");
    let stored = subject.0.commit(&grant, G1, &newer, T0, &due(None)).await;
    assert!(stored.unwrap().is_some());
    let before = subject.0.grant(&grant).await.unwrap();
    for stale in [Generation(0), G1, Generation(3)] {
        let late = tokens("late");
        let stored = subject
            .0
            .commit(&grant, stale, &late, T0, &due(Some(T0)))
            .await;
        assert_eq!(stored, Ok(None));
    }
    assert_eq!(subject.0.grant(&grant).await.unwrap(), before);
    let nowhere = GrantId::random();
    let stored = subject.0.commit(&nowhere, G1, &newer, T0, &due(None)).await;
    assert_eq!(stored, Ok(None));
}

pub async fn a_dead_grant_is_neither_claimed_nor_committed(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    subject.invalidate(&grant, "token_revoked").await;
    assert_eq!(subject.claim(&grant).await, None);
    let late = tokens("late");
    let stored = subject.0.commit(&grant, G1, &late, T0, &due(None)).await;
    assert_eq!(stored, Ok(None));
    let stored = subject.0.grant(&grant).await.unwrap().unwrap();
    assert!(matches!(stored.facts.state, GrantState::Invalidated(_)));
    assert_eq!(stored.tokens, tokens("first"));
}

pub async fn tokens_come_back_as_they_were_stored(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let first = subject.0.grant_of(&key("a")).await.unwrap().unwrap();
    assert_eq!(first.tokens, tokens("first"));
    assert!(first.facts.refreshable);
    assert_eq!(first.facts.requested_scopes, first.tokens.means.scopes);
    assert_eq!(first.facts.expires_at, first.tokens.expires_at);
    assert_eq!(first.facts.scopes, first.tokens.scopes);

    let mut bare = tokens("bare");
    bare.expires_at = None;
    bare.refresh_token = None;
    bare.refresh_expires_at = Some(T0);
    bare.scopes.clear();
    bare.metadata.clear();
    let stored = subject
        .0
        .commit(&grant, G1, &bare, T0.plus(LEASE), &due(None))
        .await;
    assert!(stored.unwrap().is_some());
    let second = subject.0.grant_of(&key("a")).await.unwrap().unwrap();
    assert_eq!(second.tokens, bare);
    assert!(!second.facts.refreshable);
    assert_eq!(second.facts.refresh_expires_at, Some(T0));
    assert_eq!(second.facts.issued_at, T0.plus(LEASE));
}

pub async fn an_orphan_is_kept_beside_the_grant(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let before = subject.0.grant(&grant).await.unwrap();
    let late = tokens("late");
    for id in [&grant, &grant, &GrantId::random()] {
        let kept = subject.0.keep_orphan(id, G1, &late, "superseded").await;
        kept.unwrap();
    }
    assert_eq!(subject.0.grant(&grant).await.unwrap(), before);
}

pub async fn the_orphans_of_a_generation_are_found_in_the_order_in_which_they_were_kept(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let stranger = GrantId::random();
    let kept = [
        (&grant, G1, "first"),
        (&grant, G1.next(), "of another generation"),
        (&stranger, G1, "of another grant"),
        (&grant, Generation::NONE, "of another consent"),
        (&grant, G1, "second"),
    ];
    for (id, base, name) in kept {
        let mut late = tokens(name);
        late.expires_at = None;
        late.scopes.clear();
        subject
            .0
            .keep_orphan(id, base, &late, "late")
            .await
            .unwrap();
    }
    let facts = subject.0.grant(&grant).await.unwrap().unwrap().facts;
    let found = subject.0.orphans_of(&facts).await.unwrap();
    let with_dates = |name| {
        let mut with_dates = tokens(name);
        with_dates.means.scopes = facts.requested_scopes.clone();
        with_dates
    };
    assert_eq!(found, ["first", "second"].map(with_dates));
}

pub async fn orphans_are_pruned_when_they_were_kept_for_long(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let keep = async |name| {
        let late = tokens(name);
        let kept = subject.0.keep_orphan(&grant, G1, &late, "late").await;
        kept.unwrap();
    };
    let prune = async |limit| subject.0.prune_orphans(LEASE, limit).await.unwrap();
    for name in ["one", "two", "three"] {
        keep(name).await;
    }
    assert_eq!(prune(10).await, 0);
    harness.pass(LEASE * 2).await;
    keep("young").await;
    assert_eq!(prune(2).await, 2);
    assert_eq!(prune(2).await, 1);
    assert_eq!(prune(2).await, 0);
    let facts = subject.0.grant(&grant).await.unwrap().unwrap().facts;
    assert_eq!(
        subject.0.orphans_of(&facts).await.unwrap(),
        [tokens("young")]
    );
}
