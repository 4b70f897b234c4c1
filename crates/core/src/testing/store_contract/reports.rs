//! Claims on what providers report by themselves.

use std::time::Duration;

use super::StoreHarness;
use super::sample::{Subject as Store, T0, client, new_grant, new_integration, revoked, tokens};
use crate::ageing::Dates;
use crate::change::{NewGrant, Scope, Snapshot, Write};
use crate::grant::{GrantState, Invalidation, InvalidationReason};
use crate::ids::{ClientName, Generation, GrantId, ReceiverName};
use crate::report::{DeliveryId, Report, Subject};
use crate::secret::RefreshToken;
use crate::store::ApplyError;

const DAY: Duration = Duration::from_secs(86_400);

fn delivery(receiver: &str, id: &str) -> DeliveryId {
    DeliveryId::new(ReceiverName::parse(receiver).unwrap(), id)
}

fn report(subjects: Vec<Subject>) -> Report {
    Report {
        delivery: delivery("slack", "1"),
        provider: client("slack").provider,
        client: None,
        subjects,
        reason: InvalidationReason::GrantRevoked,
        event: "tokens_revoked".into(),
        message: String::new(),
        happened_at: None,
    }
}

fn of_account(account: &str) -> Report {
    report(vec![Subject::Account(account.into())])
}

impl Store {
    async fn add_account(&self, tenant: &str, provider: &str, account: &str) -> GrantId {
        let grant = NewGrant {
            account: Some(account.into()),
            ..new_grant(tenant, provider)
        };
        let names = [format!("{tenant}/{account}-{provider}")];
        self.add(grant, &names.each_ref().map(String::as_str)).await
    }

    async fn add_slack_account(&self, account: &str) -> GrantId {
        let grant = NewGrant {
            account: Some(account.into()),
            ..new_grant("t1", "slack")
        };
        self.add(grant, &[]).await
    }

    async fn concerned(&self, report: &Report, limit: u32) -> Snapshot {
        let report = report.clone();
        let scope = Scope::Report { report, limit };
        self.0.snapshot(&scope).await.unwrap()
    }

    /// The grants of a snapshot without limit.
    async fn grants(&self, report: &Report) -> Vec<GrantId> {
        let snapshot = self.concerned(report, 100).await;
        let grants = snapshot.grants.into_iter();
        grants.map(|grant| grant.id).collect()
    }
}

fn sorted<const N: usize>(mut ids: [GrantId; N]) -> [GrantId; N] {
    ids.sort();
    ids
}

pub async fn a_report_has_the_grants_of_its_accounts_over_all_tenants(harness: &impl StoreHarness) {
    let store = Store::of(harness);
    let here = store.add_account("t1", "slack", "T0").await;
    let there = store.add_account("t2", "slack", "T0").await;
    let other = store.add_account("t1", "slack", "T1").await;
    store.add_account("t1", "google", "T0").await;
    store.add_slack(&["nobodys"]).await;
    let integration = new_integration("i", &["T0-slack"]);
    store
        .write(vec![Write::InsertIntegration(integration)])
        .await;

    let both = sorted([here.clone(), there.clone()]);
    let snapshot = store.concerned(&of_account("T0"), 100).await;
    let grants: Vec<_> = snapshot.grants.iter().map(|grant| &grant.id).collect();
    assert_eq!(grants, both.iter().collect::<Vec<_>>());
    assert_eq!(snapshot.credentials.len(), 2);
    assert_eq!(snapshot.integrations.len(), 1);
    assert!(!snapshot.delivered);

    let first = store.concerned(&of_account("T0"), 1).await;
    assert_eq!(first.grants.len(), 1);
    assert_eq!(first.grants[0].id, both[0]);
    assert_eq!(first.credentials.len(), 1);

    let several = report(vec![
        Subject::Account("T0".into()),
        Subject::Account("T1".into()),
    ]);
    assert_eq!(
        store.grants(&several).await,
        sorted([here.clone(), there.clone(), other])
    );
    assert!(store.grants(&report(Vec::new())).await.is_empty());
    assert!(store.grants(&of_account("")).await.is_empty());

    let of_client = |name| Report {
        client: Some(ClientName::parse(name).unwrap()),
        ..of_account("T0")
    };
    assert_eq!(store.grants(&of_client("main")).await, both);
    assert!(store.grants(&of_client("other")).await.is_empty());

    store.invalidate(&here, "").await;
    assert_eq!(
        store.grants(&of_account("T0")).await,
        both,
        "it was found dead"
    );
    store
        .write(vec![Write::ReportDeath {
            grant: here,
            generation: Generation(1),
        }])
        .await;
    assert_eq!(
        store.grants(&of_account("T0")).await,
        std::slice::from_ref(&there)
    );
    store.report_dead(&there).await;
    assert_eq!(store.grants(&of_account("T0")).await, []);
}

pub async fn a_report_has_the_accounts_within_an_account(harness: &impl StoreHarness) {
    let store = Store::of(harness);
    let mut ids = Vec::new();
    for account in [
        "T0:U1", "T0:U2", "T0:é", "T0", "T0x", "T01:U1", "S0:U1", "T0;",
    ] {
        ids.push(store.add_slack_account(account).await);
    }
    let within = report(vec![Subject::AccountsWithin("T0".into())]);
    let [first, second, third] = [&ids[0], &ids[1], &ids[2]].map(Clone::clone);
    assert_eq!(store.grants(&within).await, sorted([first, second, third]));
}

pub async fn tokens_that_are_newer_outweigh_a_report(harness: &impl StoreHarness) {
    let store = Store::of(harness);
    let grant = store.add_account("t1", "slack", "T0").await;
    let at = |happened_at| Report {
        happened_at: Some(happened_at),
        ..of_account("T0")
    };
    let at_the_latest = at(T0.minus(crate::report::OUTWEIGHED_AFTER));
    assert_eq!(store.grants(&at_the_latest).await, [grant]);
    let too_old = at(T0.minus(crate::report::OUTWEIGHED_AFTER + Duration::from_millis(1)));
    assert!(store.grants(&too_old).await.is_empty());
}

pub async fn a_report_finds_a_grant_by_its_refresh_token(harness: &impl StoreHarness) {
    let store = Store::of(harness);
    let token = |name: &str| RefreshToken::new(format!("{name:x<16}-hush-refresh-token"));
    let mut new = new_grant("t1", "slack");
    new.tokens.refresh_token = Some(token("first"));
    let grant = store.add(new, &["a"]).await;
    store.add_slack(&["b"]).await;
    let just = std::slice::from_ref(&grant);
    let by_hash = |name| report(vec![Subject::RefreshTokenHash(token(name).sha512_twice())]);
    let by_prefix = |name| {
        let prefix = &token(name).expose()[..16].to_owned();
        report(vec![Subject::refresh_token_prefix(prefix)])
    };
    assert_eq!(store.grants(&by_hash("first")).await, just);
    assert_eq!(store.grants(&by_prefix("first")).await, just);
    let elsewhere = Report {
        provider: client("google").provider,
        ..by_hash("first")
    };
    assert!(store.grants(&elsewhere).await.is_empty());

    let mut next = tokens("next");
    next.refresh_token = Some(token("next"));
    let base = Generation(1);
    let stored = store
        .0
        .commit(&grant, base, &next, T0, &Dates::default())
        .await;
    assert!(stored.unwrap().is_some());
    assert!(store.grants(&by_hash("first")).await.is_empty());
    assert!(store.grants(&by_prefix("first")).await.is_empty());
    assert_eq!(store.grants(&by_hash("next")).await, just);
    assert_eq!(store.grants(&by_prefix("next")).await, just);

    next.refresh_token = None;
    let stored = store
        .0
        .commit(&grant, Generation(2), &next, T0, &Dates::default())
        .await;
    assert!(stored.unwrap().is_some());
    assert!(store.grants(&by_hash("next")).await.is_empty());
    assert!(store.grants(&by_prefix("next")).await.is_empty());
}

pub async fn a_delivery_is_remembered_once_and_with_its_whole_change(harness: &impl StoreHarness) {
    let store = Store::of(harness);
    let grant = store.add_account("t1", "slack", "T0").await;
    let remember = |receiver, id| Write::RememberDelivery(delivery(receiver, id));
    store.write(vec![remember("slack", "1")]).await;
    assert!(store.concerned(&of_account("T0"), 1).await.delivered);
    store.write(vec![remember("github", "1")]).await;
    store.write(vec![remember("slack", "2")]).await;

    let again = vec![
        Write::InvalidateGrant {
            grant: grant.clone(),
            generation: Generation(1),
            epoch: None,
            invalidation: revoked(""),
        },
        remember("slack", "1"),
    ];
    let refused = store.try_apply(again, Vec::new()).await;
    assert_eq!(refused, Err(ApplyError::Conflict));
    assert_eq!(store.grants(&of_account("T0")).await, [grant]);
}

pub async fn deliveries_are_forgotten_when_they_are_old(harness: &impl StoreHarness) {
    let store = Store::of(harness);
    let remember = |id| Write::RememberDelivery(delivery("slack", id));
    for id in ["1", "2", "3"] {
        store.write(vec![remember(id)]).await;
    }
    harness.pass(DAY * 2).await;
    store.write(vec![remember("4")]).await;
    assert_eq!(store.0.forget_deliveries(DAY * 3, 9).await.unwrap(), 0);
    assert_eq!(store.0.forget_deliveries(DAY, 2).await.unwrap(), 2);
    assert_eq!(store.0.forget_deliveries(DAY, 9).await.unwrap(), 1);
    assert_eq!(store.0.forget_deliveries(DAY, 9).await.unwrap(), 0);
    store.write(vec![remember("1")]).await;
    let kept = store
        .try_apply(vec![remember("4")], Vec::new())
        .await
        .unwrap_err();
    assert_eq!(kept, ApplyError::Conflict);
}

pub async fn it_is_known_of_a_dead_grant_whether_somebody_reported_it(harness: &impl StoreHarness) {
    let store = Store::of(harness);
    for reported in [true, false] {
        let grant = store.add_slack(&[if reported { "a" } else { "b" }]).await;
        let invalidation = Invalidation {
            reported,
            ..revoked("")
        };
        store
            .write(vec![Write::InvalidateGrant {
                grant: grant.clone(),
                generation: Generation(1),
                epoch: None,
                invalidation: invalidation.clone(),
            }])
            .await;
        let facts = store.0.grant(&grant).await.unwrap().unwrap().facts;
        assert_eq!(facts.state, GrantState::Invalidated(invalidation));
    }
}
