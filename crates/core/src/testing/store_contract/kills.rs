//! Claims on what a kill takes.

use std::time::Duration;

use super::StoreHarness;
use super::sample::{Subject, client, new_grant, revoked, tenant};
use crate::change::{NewGrant, Scope, Write};
use crate::grant::{GrantState, Invalidation};
use crate::ids::{Generation, GrantId, KillId};
use crate::kill::{KillBatch, KillOrder, KillTarget, Killed};
use crate::store::ApplyError;

impl Subject {
    /// A kill of all that is there now.
    async fn order(&self, target: KillTarget, last: &GrantId) -> KillOrder {
        KillOrder {
            id: KillId::random(),
            target,
            begun_at: self.facts(last).await.created_at,
            reason: "why".into(),
            revoke: true,
        }
    }

    async fn taken(&self, order: &KillOrder, after: Option<&GrantId>, limit: u32) -> Vec<GrantId> {
        let scope = Scope::Kill(KillBatch {
            order: order.clone(),
            after: after.cloned(),
            limit,
        });
        let snapshot = self.0.snapshot(&scope).await.unwrap();
        let grants = snapshot.grants.into_iter();
        grants.map(|grant| grant.id).collect()
    }
}

fn noted(order: &KillOrder, grant: &GrantId) -> Write {
    Write::NoteKilled(Killed {
        kill: order.id.clone(),
        grant: grant.clone(),
        generation: Generation(1),
        credentials: 1,
        revoke_at: None,
    })
}

pub async fn a_kill_takes_the_grants_of_its_target_that_nobody_reported_dead_by_id(
    harness: &impl StoreHarness,
) {
    let store = Subject::of(harness);
    let one = store.add(new_grant("t1", "slack"), &["t1/a"]).await;
    let dead = store.add(new_grant("t1", "slack"), &["t1/b"]).await;
    let other = store.add(new_grant("t1", "github"), &["t1/c"]).await;
    let two = store.add(new_grant("t2", "slack"), &["t2/a"]).await;
    store.report_dead(&dead).await;
    let slack = KillTarget::Provider(client("slack").provider);
    let order = store.order(slack, &two).await;
    assert_eq!(
        store.taken(&order, None, 9).await,
        [one.clone(), two.clone()]
    );
    assert_eq!(
        store.taken(&order, None, 1).await,
        std::slice::from_ref(&one)
    );
    let after_one = store.taken(&order, Some(&one), 9).await;
    assert_eq!(after_one, std::slice::from_ref(&two));
    let of_tenant = store.order(KillTarget::Tenant(tenant("t1")), &two).await;
    let mut both = [one.clone(), other.clone()];
    both.sort();
    assert_eq!(store.taken(&of_tenant, None, 9).await, both);
    let of_client = KillTarget::Client(client("slack").client);
    let of_client = store.order(of_client, &two).await;
    assert_eq!(store.taken(&of_client, None, 9).await.len(), 3);
}

pub async fn a_kill_takes_nothing_that_came_after_it_began(harness: &impl StoreHarness) {
    let store = Subject::of(harness);
    let old = store.add(new_grant("t1", "slack"), &["t1/a"]).await;
    let created = store.facts(&old).await.created_at;
    let again = NewGrant {
        issued_at: created.plus(Duration::from_secs(60)),
        ..new_grant("t1", "slack")
    };
    store.add(again, &["t1/b"]).await;
    harness.pass(Duration::from_secs(1)).await;
    store.add(new_grant("t1", "slack"), &["t1/c"]).await;
    let slack = KillTarget::Provider(client("slack").provider);
    let order = store.order(slack, &old).await;
    assert_eq!(store.taken(&order, None, 9).await, [old]);
}

pub async fn a_kill_takes_a_grant_once(harness: &impl StoreHarness) {
    let store = Subject::of(harness);
    let grant = store.add_slack(&["a"]).await;
    let slack = KillTarget::Provider(client("slack").provider);
    let order = store.order(slack.clone(), &grant).await;
    let dies = Write::InvalidateGrant {
        grant: grant.clone(),
        generation: Generation(1),
        epoch: None,
        invalidation: revoked("killed"),
    };
    store.write(vec![dies, noted(&order, &grant)]).await;
    let twice = store
        .try_apply(vec![noted(&order, &grant)], Vec::new())
        .await;
    assert_eq!(twice, Err(ApplyError::Conflict));
    assert_eq!(store.taken(&order, None, 9).await, []);
}

pub async fn a_kill_takes_one_that_was_found_dead_until_it_is_reported(
    harness: &impl StoreHarness,
) {
    let store = Subject::of(harness);
    let dead = store.add(new_grant("t1", "slack"), &["t1/a"]).await;
    store.invalidate(&dead, "gone").await;
    let slack = KillTarget::Provider(client("slack").provider);
    let order = store.order(slack, &dead).await;
    let taken = async || store.taken(&order, None, 9).await;
    assert_eq!(taken().await, std::slice::from_ref(&dead));
    let version = store.version(&dead).await;
    let report = |generation| {
        vec![Write::ReportDeath {
            grant: dead.clone(),
            generation: Generation(generation),
        }]
    };
    let other = store.try_apply(report(2), Vec::new()).await;
    assert_eq!(other, Err(ApplyError::Conflict));
    store.write(report(1)).await;
    assert_eq!(taken().await, []);
    let twice = store.try_apply(report(1), Vec::new()).await;
    assert_eq!(twice, Err(ApplyError::Conflict));

    let facts = store.facts(&dead).await;
    let expected = Invalidation {
        reported: true,
        ..revoked("gone")
    };
    assert_eq!(facts.state, GrantState::Invalidated(expected));
    assert_eq!(facts.version, version);

    let alive = store.add(new_grant("t1", "slack"), &["t1/b"]).await;
    let report = Write::ReportDeath {
        grant: alive,
        generation: Generation(1),
    };
    let alive = store.try_apply(vec![report], Vec::new()).await;
    assert_eq!(alive, Err(ApplyError::Conflict));
}
