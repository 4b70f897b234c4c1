//! Claims on grants whose refusal is held, and on what is counted of refusals.

use std::time::Duration;

use super::StoreHarness;
use super::sample::{Subject, T0, client, new_grant, revoked, tokens};
use crate::ageing::Dates;
use crate::brake::{Brake, Refusals, SPREAD, WINDOW};
use crate::change::{ClientHealth, NewGrant, Scope, Write};
use crate::clock::Timestamp;
use crate::failure::FailureReason;
use crate::grant::{GrantFacts, GrantState, PassingFailure};
use crate::ids::{ClientKey, Epoch, Generation, GrantId, OwnerToken};
use crate::store::ClientStanding;

const SECOND: Duration = Duration::from_secs(1);
const G1: Generation = Generation::FIRST;

fn brake(next_probe_at: Timestamp) -> Brake {
    Brake {
        client: client("slack"),
        since: T0,
        refused: 10,
        refreshed: 2,
        provider_error: "invalid_grant".into(),
        next_probe_at,
    }
}

fn note(client: ClientKey, grant: &GrantId) -> Write {
    Write::NoteRefusal {
        client,
        grant: grant.clone(),
    }
}

impl Subject {
    /// The store's time, and how refreshes of `slack` ended but for that of `without`.
    async fn refusals(&self, without: &GrantId) -> (Timestamp, Refusals) {
        let scope = Scope::Refusal {
            grant: without.clone(),
            client: client("slack"),
        };
        let snapshot = self.0.snapshot(&scope).await.unwrap();
        assert!(snapshot.grants.iter().all(|facts| facts.id == *without));
        (snapshot.now, snapshot.refusals.unwrap())
    }

    async fn counted(&self, without: &GrantId) -> (u64, u64) {
        let (_, refusals) = self.refusals(without).await;
        (refusals.refused, refusals.refreshed)
    }

    async fn facts_of(&self, grant: &GrantId) -> GrantFacts {
        self.0.grant(grant).await.unwrap().unwrap().facts
    }

    /// A grant of `slack` under lease, and how to hold it.
    async fn refused(&self, names: &[&str], next_at: Timestamp) -> (GrantId, Write) {
        let grant = self.add_slack(names).await;
        let lease = SECOND * 45;
        let owner = OwnerToken::random();
        let claimed = self.0.claim(&grant, G1, &owner, lease).await.unwrap();
        let hold = hold(&grant, claimed.unwrap().epoch, next_at);
        (grant, hold)
    }

    /// A grant of `slack` that is held.
    pub(super) async fn held(&self, names: &[&str], next_at: Timestamp) -> GrantId {
        let (grant, hold) = self.refused(names, next_at).await;
        self.write(vec![hold, Write::SetBrake(brake(next_at))])
            .await;
        grant
    }

    async fn held_ids(&self) -> Vec<GrantId> {
        let slack = client("slack");
        self.0.held(&slack, None, 9).await.unwrap()
    }
}

fn hold(grant: &GrantId, epoch: Epoch, next_at: Timestamp) -> Write {
    Write::HoldGrant {
        grant: grant.clone(),
        generation: G1,
        epoch,
        invalidation: revoked("invalid_grant"),
        failure: PassingFailure {
            reason: FailureReason::ClientBraked,
            message: "held".into(),
        },
        next_at,
    }
}

pub async fn refusals_and_refreshes_of_the_last_minute_are_counted(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let [one, two, three] = [
        subject.add_slack(&["a"]).await,
        subject.add_slack(&["b"]).await,
        subject.add_slack(&["c"]).await,
    ];
    let foreign = subject.add(new_grant("t1", "google"), &["d"]).await;
    assert_eq!(subject.counted(&one).await, (0, 0));
    for grant in [&one, &two, &two] {
        subject.write(vec![note(client("slack"), grant)]).await;
    }
    subject.write(vec![note(client("google"), &foreign)]).await;
    assert_eq!(subject.counted(&one).await, (1, 0), "its own is left out");
    assert_eq!(subject.counted(&three).await, (2, 0), "each counts once");
    subject
        .write(vec![
            Write::DeleteCredential(super::sample::key("b")),
            Write::DeleteGrant(two.clone()),
        ])
        .await;
    assert_eq!(subject.counted(&three).await, (2, 0), "gone, and counted");

    let (now, _) = subject.refusals(&one).await;
    let next = tokens("next");
    let stored = subject
        .0
        .commit(&three, G1, &next, now, &Dates::default())
        .await;
    assert!(stored.unwrap().is_some());
    assert_eq!(subject.counted(&one).await, (1, 1));
    let scope = Scope::Client(client("slack"));
    let all = subject.0.snapshot(&scope).await.unwrap().refusals.unwrap();
    assert_eq!((all.refused, all.refreshed), (2, 1));
    assert_eq!((all.brake, all.held), (None, 0));

    harness.pass(WINDOW + SECOND).await;
    let (_, old) = subject.refusals(&one).await;
    assert_eq!(old.refused, 0);
}

pub async fn a_held_grant_is_active_and_waits_for_its_turn(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let next_at = T0.plus(SECOND * 60);
    let (grant, hold_it) = subject.refused(&["a"], next_at).await;
    let Write::HoldGrant { epoch, .. } = &hold_it else {
        unreachable!("that is what it is");
    };
    let stale = hold(&grant, Epoch(epoch.0 + 1), next_at);
    assert!(subject.try_apply(vec![stale], Vec::new()).await.is_err());
    let version = subject.facts_of(&grant).await.version;
    subject.write(vec![hold_it.clone()]).await;

    let facts = subject.facts_of(&grant).await;
    assert_eq!(facts.state, GrantState::Suspect(revoked("invalid_grant")));
    assert_eq!((facts.version, facts.lease), (version + 1, None));
    let attempts = &facts.attempts;
    assert_eq!((attempts.failed, attempts.next_at), (1, Some(next_at)));
    let failure = attempts.last_failure.as_ref().unwrap();
    assert_eq!(failure.reason, FailureReason::ClientBraked);
    assert_eq!(subject.held_ids().await, std::slice::from_ref(&grant));

    let due = async |at| subject.0.due(at, 9, 9).await.unwrap().len();
    assert_eq!(due(next_at.minus(SECOND)).await, 0);
    assert_eq!(due(next_at).await, 1);
    let view = subject.0.credential(&super::sample::key("a")).await;
    assert_eq!(view.unwrap().unwrap().grant.state, facts.state);
    let counts = subject.0.count_by_state().await.unwrap();
    assert_eq!(counts, [(client("slack").provider, true, 1)]);
    let owner = OwnerToken::random();
    let claimed = subject.0.claim(&grant, G1, &owner, SECOND).await;
    let claimed = claimed.unwrap().expect("its turn is taken with a lease");
    assert!(!claimed.takeover, "the answer to the last call came");
}

pub async fn a_released_brake_lets_all_its_grants_go(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let far = T0.plus(SECOND * 1_000_000);
    let mut held = vec![
        subject.held(&["a"], far).await,
        subject.held(&["b"], far).await,
    ];
    held.sort();
    subject.write(vec![note(client("slack"), &held[0])]).await;
    let other = subject.add_slack(&["c"]).await;
    let (now, refusals) = subject.refusals(&other).await;
    assert_eq!((refusals.brake, refusals.held), (Some(brake(far)), 2));
    assert_eq!(refusals.refused, 1);
    let slack = client("slack");
    let second = subject.0.held(&slack, Some(&held[0]), 9).await.unwrap();
    assert_eq!(second, held[1..]);
    assert_eq!(subject.0.held(&slack, None, 1).await.unwrap(), held[..1]);

    let release = || Write::ReleaseBrake {
        client: client("slack"),
        spread: SPREAD,
    };
    subject.write(vec![release()]).await;
    let twice = subject.try_apply(vec![release()], Vec::new()).await;
    assert!(twice.is_err(), "it is released once");
    let (_, refusals) = subject.refusals(&other).await;
    assert_eq!((refusals.brake, refusals.held), (None, 0));
    assert_eq!(refusals.refused, 0);
    for grant in &held {
        let facts = subject.facts_of(grant).await;
        assert_eq!((facts.state, facts.version), (GrantState::Active, 3));
        let next_at = facts.attempts.next_at.unwrap();
        assert!(next_at >= now && next_at <= now.plus(SPREAD + SECOND * 10));
    }
    let soon = now.plus(SPREAD + SECOND * 10);
    let due = subject.0.due(soon, 9, 9).await.unwrap();
    assert_eq!(due.len(), 3, "and the one that was due anyway");
    assert_eq!(subject.facts_of(&other).await.version, 1);
}

pub async fn a_suspect_grant_that_gets_tokens_or_dies_is_held_no_more(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let healed = subject.held(&["a"], T0).await;
    let next = tokens("next");
    let stored = subject
        .0
        .commit(&healed, G1, &next, T0, &Dates::default())
        .await;
    assert!(stored.unwrap().is_some());
    assert_eq!(subject.facts_of(&healed).await.state, GrantState::Active);
    let dead = subject.held(&["b"], T0).await;
    subject.invalidate(&dead, "gone").await;
    let facts = subject.facts_of(&dead).await;
    assert_eq!(facts.state, GrantState::Invalidated(revoked("gone")));
    let reconnected = subject.held(&["c"], T0).await;
    subject
        .write(vec![Write::StoreTokens {
            grant: reconnected.clone(),
            base: G1,
            next: G1.next(),
            tokens: Box::new(tokens("new")),
            issued_at: T0,
            dates: Dates::default(),
            consent: true,
            account: None,
            idle: false,
        }])
        .await;
    let facts = subject.facts_of(&reconnected).await;
    assert_eq!(facts.state, GrantState::Active);
    assert_eq!(subject.held_ids().await, []);
}

pub async fn every_client_of_which_something_is_known_is_listed(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    assert_eq!(subject.0.clients().await.unwrap(), []);
    let grant = new_grant("t1", "slack");
    subject
        .add(
            NewGrant {
                dates: Dates::default(),
                ..grant
            },
            &["z"],
        )
        .await;
    subject.held(&["a"], T0).await;
    let health = ClientHealth {
        client: client("google"),
        rejected: false,
        since: T0.plus(SECOND),
        provider_error: "invalid_client".into(),
        message: "who are you".into(),
        rejected_at: Some(T0),
    };
    subject
        .write(vec![Write::SetClientHealth(health.clone())])
        .await;
    let listed = subject.0.clients().await.unwrap();
    let google = ClientStanding {
        client: client("google"),
        health: Some(health),
        brake: None,
        held: 0,
    };
    let slack = ClientStanding {
        client: client("slack"),
        health: None,
        brake: Some(brake(T0)),
        held: 1,
    };
    assert_eq!(listed, [google, slack]);
}
