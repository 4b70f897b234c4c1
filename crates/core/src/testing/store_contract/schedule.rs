//! Claims on what background work asks for.

use std::time::Duration;

use super::StoreHarness;
use super::sample::{Subject, T0, client, due, new_grant, tokens};
use crate::change::{ClientHealth, NewGrant, Scope, Write};
use crate::clock::Timestamp;
use crate::failure::FailureReason;
use crate::grant::{GrantType, PassingFailure};
use crate::ids::{Generation, GrantId, OwnerToken};
use crate::store::{ApplyError, AttemptEnd, Backlog, GrantVersion, ProbeTurn};

const SECOND: Duration = Duration::from_secs(1);
const G1: Generation = Generation::FIRST;

impl Subject {
    async fn add_due(&self, provider: &str, due_at: Option<Timestamp>) -> GrantId {
        let grant = new_grant("t1", provider);
        let dates = due(due_at);
        self.add(NewGrant { dates, ..grant }, &[]).await
    }

    async fn due(&self, now: Timestamp, limit: u32, per_client: u32) -> Vec<GrantId> {
        let found = self.0.due(now, limit, per_client).await.unwrap();
        found.into_iter().map(|due| due.id).collect()
    }

    async fn changed(&self, window: Duration) -> Vec<(GrantId, u64)> {
        let changed = self.0.changed_within(window).await.unwrap();
        changed.into_iter().map(|c| (c.id, c.version)).collect()
    }
}

pub async fn due_are_the_active_whose_time_has_come_longest_first(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let later = subject.add_due("slack", Some(T0.plus(SECOND))).await;
    let first = subject.add_due("slack", Some(T0)).await;
    subject.add_due("slack", None).await;
    let dead = subject.add_due("slack", Some(T0)).await;
    subject.invalidate(&dead, "gone").await;
    let leased = subject.add_due("slack", Some(T0)).await;
    let owner = OwnerToken::random();
    let claimed = subject.0.claim(&leased, G1, &owner, SECOND * 45).await;
    assert!(claimed.unwrap().is_some());
    let held_back = subject.add_due("slack", Some(T0)).await;
    let claimed = subject.0.claim(&held_back, G1, &owner, SECOND).await;
    let end = AttemptEnd::Deferred {
        next_at: T0.plus(SECOND * 60),
        failure: PassingFailure {
            reason: FailureReason::ProviderRateLimited,
            message: String::new(),
        },
        ambiguous: false,
    };
    let epoch = claimed.unwrap().unwrap().epoch;
    assert!(subject.0.end_attempt(&held_back, epoch, end).await.unwrap());

    assert_eq!(subject.due(T0.minus(SECOND), 9, 9).await, []);
    assert_eq!(subject.due(T0, 9, 9).await, std::slice::from_ref(&first));
    let both = [first.clone(), later.clone()];
    assert_eq!(subject.due(T0.plus(SECOND), 9, 9).await, both);
    assert_eq!(
        subject.due(T0.plus(SECOND), 1, 9).await,
        std::slice::from_ref(&first)
    );
    let backlog = subject.0.backlog(T0.plus(SECOND)).await.unwrap();
    assert_eq!(
        backlog,
        Backlog {
            due: 2,
            oldest: Some(T0)
        }
    );
    let backlog = subject.0.backlog(T0.minus(SECOND)).await.unwrap();
    assert_eq!(backlog, Backlog::default());

    harness.pass(SECOND * 45).await;
    let all = subject.due(T0.plus(SECOND * 60), 9, 9).await;
    assert_eq!(all, [first, leased, held_back, later]);
    let found = subject.0.due(T0, 1, 9).await.unwrap().remove(0);
    assert_eq!((found.generation, found.due_at), (G1, T0));
    assert_eq!(found.client, client("slack"));
    assert_eq!(found.grant_type, GrantType::AuthorizationCode);
}

pub async fn a_probe_takes_the_healthy_grant_that_expires_first(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let slack = client("slack");
    let found = async |at, limit| subject.0.to_probe(&slack, at, limit).await.unwrap();
    let add = async |of: NewGrant| subject.add(of, &[]).await;
    let expiring = |expires_at: Option<Timestamp>| {
        let mut grant = new_grant("t1", "slack");
        grant.tokens.expires_at = expires_at;
        grant
    };
    let far = Some(T0.plus(SECOND * 7_200));
    let never = add(expiring(None)).await;
    let late = add(expiring(far)).await;
    let first = add(expiring(Some(T0.plus(SECOND * 60)))).await;
    let minted = add(NewGrant {
        grant_type: GrantType::ClientCredentials,
        dates: due(None),
        ..expiring(Some(T0))
    })
    .await;
    let exchanged = add(NewGrant {
        grant_type: GrantType::TokenExchange,
        ..expiring(Some(T0))
    })
    .await;

    let not_renewed = new_grant("t1", "slack");
    let dates = due(None);
    add(NewGrant {
        dates,
        ..not_renewed
    })
    .await;
    add(new_grant("t1", "google")).await;
    let dead = add(expiring(Some(T0))).await;
    subject.invalidate(&dead, "gone").await;
    let leased = add(expiring(Some(T0))).await;
    let owner = OwnerToken::random();
    let claimed = subject.0.claim(&leased, G1, &owner, SECOND * 45).await;
    assert!(claimed.unwrap().is_some());
    let fail = async |id: &GrantId, next_at, ambiguous| {
        let claimed = subject.0.claim(id, G1, &owner, SECOND * 45).await;
        let end = AttemptEnd::Deferred {
            next_at,
            failure: PassingFailure {
                reason: FailureReason::ProviderUnavailable,
                message: String::new(),
            },
            ambiguous,
        };
        let epoch = claimed.unwrap().unwrap().epoch;
        assert!(subject.0.end_attempt(id, epoch, end).await.unwrap());
    };
    let cooling = add(expiring(Some(T0))).await;
    fail(&cooling, T0.plus(SECOND * 60), true).await;
    let failed_twice = add(expiring(Some(T0))).await;
    fail(&failed_twice, T0, false).await;
    fail(&failed_twice, T0, false).await;
    let failed = add(expiring(far)).await;
    fail(&failed, T0, false).await;

    let in_order = [minted, first, late, never, failed, failed_twice, exchanged];
    assert_eq!(found(T0, 9).await, in_order);
    assert_eq!(found(T0, 2).await, in_order[..2]);
    let doubtful = found(T0.plus(SECOND * 60), 9).await;
    assert_eq!(
        doubtful.last(),
        Some(&cooling),
        "it comes last while in doubt"
    );
    assert_eq!(doubtful.len(), 8);
}

pub async fn a_probe_takes_what_can_be_refreshed_first_and_nothing_of_a_dead_grant(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let ending = |seconds| {
        let mut grant = new_grant("t1", "slack");
        grant.tokens.expires_at = Some(T0.plus(SECOND * seconds));
        grant
    };
    let mut without = ending(1);
    without.tokens.refresh_token = None;
    let without = subject.add(without, &[]).await;
    let grant_type = GrantType::Static;
    let fixed = NewGrant {
        grant_type,
        ..ending(2)
    };
    subject.add(fixed, &[]).await;
    let minted = |seconds, parent: Option<&GrantId>| NewGrant {
        grant_type: GrantType::ClientCredentials,
        parent: parent.cloned(),
        dates: due(None),
        ..ending(seconds)
    };
    let dead = subject.add(minted(3, None), &[]).await;
    subject.add(minted(4, Some(&dead)), &[]).await;
    subject.invalidate(&dead, "gone").await;
    let mut alive = minted(5, None);
    alive.tokens.refresh_token = None;
    let alive = subject.add(alive, &[]).await;
    let derived = subject.add(minted(6, Some(&alive)), &[]).await;
    let with = subject.add(ending(7), &[]).await;

    let slack = client("slack");
    let found = async |limit| subject.0.to_probe(&slack, T0, limit).await.unwrap();
    let in_order = [alive, derived, with, without];
    for limit in 0..5 {
        assert_eq!(found(limit).await, in_order[..limit as usize]);
    }
}

pub async fn a_probe_is_taken_once_a_wait(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let slack = client("slack");
    let wait = SECOND * 10;
    let claim = async || subject.0.claim_probe(&slack, wait).await.unwrap();
    assert_eq!(claim().await, ProbeTurn::NotRejected, "nothing is known");
    // Told by the clock of the store, which every snapshot shows.
    let now = async || {
        let scope = Scope::Client(slack.clone());
        subject.0.snapshot(&scope).await.unwrap().now
    };
    let health = async |rejected| {
        let at = now().await;
        let health = ClientHealth {
            client: slack.clone(),
            rejected,
            since: at,
            provider_error: "invalid_client".into(),
            message: String::new(),
            rejected_at: Some(at),
        };
        subject.write(vec![Write::SetClientHealth(health)]).await;
    };
    health(true).await;
    assert_eq!(claim().await, ProbeTurn::Taken, "it was told just now");
    harness.pass(wait + SECOND).await;
    assert_eq!(claim().await, ProbeTurn::Ours);
    assert_eq!(claim().await, ProbeTurn::Taken, "somebody did");
    let other = subject.0.claim_probe(&client("google"), wait).await;
    assert_eq!(other, Ok(ProbeTurn::NotRejected));
    harness.pass(wait + SECOND).await;
    assert_eq!(claim().await, ProbeTurn::Ours);
    health(false).await;
    assert_eq!(claim().await, ProbeTurn::NotRejected);
    health(true).await;
    assert_eq!(claim().await, ProbeTurn::Taken);
}

pub async fn due_gives_no_client_more_than_its_share(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let mut slack = Vec::new();
    for second in 0..4 {
        let due_at = Some(T0.plus(SECOND * second));
        slack.push(subject.add_due("slack", due_at).await);
    }
    let google = subject.add_due("google", Some(T0.plus(SECOND * 9))).await;
    let now = T0.plus(SECOND * 10);
    let fair = [slack[0].clone(), slack[1].clone(), google];
    assert_eq!(subject.due(now, 3, 2).await, fair);
    assert_eq!(subject.0.backlog(now).await.unwrap().due, 5);
}

pub async fn every_raise_of_a_version_is_seen_for_a_while(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let window = SECOND * 60;
    let quiet = subject.add_slack(&["quiet"]).await;
    let grant = subject.add_slack(&["a"]).await;
    assert_eq!(subject.changed(window).await.len(), 2);
    harness.pass(window).await;
    assert_eq!(subject.changed(window).await, []);

    let stored = subject
        .0
        .commit(&grant, G1, &tokens("b"), T0, &due(None))
        .await;
    assert_eq!(stored, Ok(Some(2)));
    assert_eq!(subject.changed(window).await, [(grant.clone(), 2)]);
    harness.pass(window).await;
    subject.invalidate(&grant, "gone").await;
    assert_eq!(subject.changed(window).await, [(grant.clone(), 3)]);
    harness.pass(window).await;
    subject.write(vec![Write::TouchGrant(grant.clone())]).await;
    assert_eq!(subject.changed(window).await, [(grant.clone(), 4)]);
    harness.pass(window).await;
    let restore = Write::StoreTokens {
        grant: grant.clone(),
        base: Generation(2),
        next: Generation(3),
        tokens: Box::new(tokens("c")),
        issued_at: T0,
        dates: due(None),
        consent: true,
        account: None,
        idle: false,
    };
    subject.write(vec![restore]).await;
    assert_eq!(subject.changed(window).await, [(grant, 5)]);

    let owner = OwnerToken::random();
    let claimed = subject.0.claim(&quiet, G1, &owner, SECOND).await;
    assert!(claimed.unwrap().is_some());
    assert_eq!(
        subject.changed(window).await.len(),
        1,
        "a claim is no change"
    );
}

pub async fn a_deleted_grant_is_seen_for_a_while_as_newer_than_any(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let window = SECOND * 60;
    let forget = async |limit| subject.0.forget_deleted(window, limit).await.unwrap();
    let [first, second, third] = [
        subject.add_slack(&[]).await,
        subject.add_slack(&[]).await,
        subject.add_slack(&[]).await,
    ];
    let delete = |grant: &GrantId| vec![Write::DeleteGrant(grant.clone())];
    subject.write(delete(&first)).await;
    harness.pass(window).await;
    subject.write(delete(&second)).await;
    assert_eq!(
        subject.0.changed_within(window).await.unwrap(),
        [GrantVersion::deleted(second.clone())]
    );
    let twice = subject.try_apply(delete(&second), Vec::new()).await;
    assert_eq!(twice, Err(ApplyError::Conflict));
    subject.write(delete(&third)).await;
    harness.pass(SECOND).await;
    assert_eq!(subject.changed(window * 3).await.len(), 3);
    assert_eq!(forget(9).await, 1);
    assert_eq!(subject.changed(window * 3).await.len(), 2);
    harness.pass(window).await;
    assert_eq!(subject.changed(window).await, []);
    assert_eq!(forget(1).await, 1);
    assert_eq!(forget(9).await, 1);
    assert_eq!(forget(9).await, 0);
}

pub async fn grants_are_counted_by_provider_and_state(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    subject.add_slack(&["a", "b"]).await;
    subject.add_slack(&[]).await;
    let dead = subject.add_slack(&["c"]).await;
    subject.invalidate(&dead, "gone").await;
    subject.add_due("google", None).await;
    let mut counts = subject.0.count_by_state().await.unwrap();
    counts.sort();
    let (google, slack) = (client("google").provider, client("slack").provider);
    assert_eq!(
        counts,
        [
            (google, true, 1),
            (slack.clone(), false, 1),
            (slack.clone(), true, 2)
        ]
    );
    let mut counts = subject.0.count_credentials().await.unwrap();
    counts.sort();
    assert_eq!(counts, [(slack.clone(), false, 1), (slack, true, 2)]);
}
