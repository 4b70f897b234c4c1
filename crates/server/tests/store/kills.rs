//! Kills as they are kept: which targets anything is stored of, and for how long a kill is.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{ClientName, KillId, OwnerToken, ProviderName, ReplicaName, TenantId};
use evergrant_core::kill::KillTarget;
use evergrant_core::store::Directory as _;
use evergrant_server::store::{KillQuery, NewKill};

use crate::harness::{Harness, first_change};

const DAY: Duration = Duration::from_hours(24);

fn caller(name: &str) -> KillTarget {
    KillTarget::Caller {
        name: name.into(),
        since: Timestamp::from_millis(0),
    }
}

fn tenant(name: &str) -> KillTarget {
    KillTarget::Tenant(TenantId::parse(name).unwrap())
}

/// A kill that took two grants.
async fn begin(harness: &Harness, target: KillTarget) -> KillId {
    let new = NewKill {
        id: KillId::random(),
        target,
        reason: "why".into(),
        by: String::new(),
        revoke: true,
    };
    let owner = OwnerToken::of(&ReplicaName::parse("replica").unwrap());
    let begun = harness.store.begin_kill(&new, &owner, DAY);
    begun.await.unwrap();
    for grant in ["g1", "g2"] {
        let id = &new.id;
        let took = format!(
            "INSERT INTO kill_grants (kill_id, grant_id, generation, credentials, state)
             VALUES ('{id}', '{grant}', 1, 1, 'REVOKED')"
        );
        harness.execute(&took).await;
    }
    new.id
}

/// A kill that was over `ago`.
async fn over(harness: &Harness, target: KillTarget, ago: Duration) -> KillId {
    let id = begin(harness, target).await;
    assert!(harness.store.finish_kill(&id).await.unwrap());
    let ago = ago.as_millis();
    let finished = format!("UPDATE kills SET finished_at = finished_at - {ago} WHERE id = '{id}'");
    harness.execute(&finished).await;
    id
}

/// The grants of each kill that is kept.
async fn kept(harness: &Harness) -> Vec<(KillId, u64)> {
    let query = KillQuery {
        limit: 100,
        ..KillQuery::default()
    };
    let kills = harness.store.kills(&query).await.unwrap().into_iter();
    let mut kept: Vec<_> = kills
        .map(|kill| (kill.order.id, kill.tally.grants))
        .collect();
    kept.sort();
    kept
}

async fn a_kill_is_kept_until_it_is_over_for_long_and_locks_nobody_out(harness: Harness) {
    let old = over(&harness, tenant("t1"), 91 * DAY).await;
    let lifted = over(&harness, caller("lifted"), 91 * DAY).await;
    harness.store.lift_kills("lifted").await.unwrap();
    let mut expected = [
        over(&harness, tenant("t1"), 89 * DAY).await,
        over(&harness, caller("out"), 91 * DAY).await,
        begin(&harness, tenant("t2")).await,
        // It was lifted just now.
        lifted.clone(),
    ];
    expected.sort();
    let prune = async || harness.store.prune_kills(90 * DAY, 1).await.unwrap();
    assert_eq!(prune().await, 1, "a grant at a time");
    assert!(kept(&harness).await.contains(&(old, 1)));
    assert_eq!(prune().await, 2, "the last one, and the kill with it");
    assert_eq!(prune().await, 0);
    let left = expected.iter().map(|id| (id.clone(), 2));
    assert_eq!(kept(&harness).await, left.collect::<Vec<_>>());
    let refused = harness.store.refused_callers().await.unwrap();
    let refused: Vec<_> = refused.into_iter().map(|(name, _)| name).collect();
    assert_eq!(refused, ["out"]);

    let days = (91 * DAY).as_millis();
    let earlier = format!("UPDATE kills SET lifted_at = lifted_at - {days}");
    harness.execute(&earlier).await;
    while prune().await > 0 {}
    let kept = kept(&harness).await;
    assert!(!kept.iter().any(|(id, _)| *id == lifted), "{kept:?}");
    assert_eq!(kept.len(), 3);
}

#[tokio::test]
async fn a_kill_is_kept_until_it_is_over_for_long_and_locks_nobody_out_on_sqlite() {
    let harness = Harness::sqlite().await;
    a_kill_is_kept_until_it_is_over_for_long_and_locks_nobody_out(harness).await;
}

#[tokio::test]
async fn a_kill_is_kept_until_it_is_over_for_long_and_locks_nobody_out_on_postgres() {
    let harness = Harness::postgres().await;
    a_kill_is_kept_until_it_is_over_for_long_and_locks_nobody_out(harness).await;
}

async fn a_kill_waits_for_the_latest_of_what_is_to_be_tried_again(harness: Harness) {
    let id = begin(&harness, tenant("t1")).await;
    let waits_for = async || {
        let kill = harness.store.kill(&id).await.unwrap().unwrap();
        let query = KillQuery {
            limit: 1,
            ..KillQuery::default()
        };
        let listed = harness.store.kills(&query).await.unwrap();
        assert_eq!(listed[0].waits_for, kill.waits_for);
        kill.waits_for
    };
    assert_eq!(waits_for().await, None);
    let set = async |grant: &str, state: &str, next_at: u32, error: &str| {
        let set = format!(
            "UPDATE kill_grants SET state = '{state}', next_at = {next_at}, error = '{error}'
             WHERE kill_id = '{id}' AND grant_id = '{grant}'"
        );
        harness.execute(&set).await;
    };
    set("g1", "PENDING", 10, "earlier").await;
    set("g2", "PENDING", 20, "later").await;
    assert_eq!(waits_for().await.as_deref(), Some("later"));
    set("g2", "FAILED", 20, "given up").await;
    assert_eq!(waits_for().await.as_deref(), Some("earlier"));
    set("g1", "FAILED", 10, "given up").await;
    assert_eq!(waits_for().await, None);
}

#[tokio::test]
async fn a_kill_waits_for_the_latest_of_what_is_to_be_tried_again_on_sqlite() {
    let harness = Harness::sqlite().await;
    a_kill_waits_for_the_latest_of_what_is_to_be_tried_again(harness).await;
}

#[tokio::test]
async fn a_kill_waits_for_the_latest_of_what_is_to_be_tried_again_on_postgres() {
    let harness = Harness::postgres().await;
    a_kill_waits_for_the_latest_of_what_is_to_be_tried_again(harness).await;
}

async fn a_target_is_known_by_what_is_stored_of_it(harness: Harness) {
    let (_, change) = first_change();
    harness.store.apply(&change).await.unwrap();
    over(&harness, caller("out"), DAY).await;
    over(&harness, caller("lifted"), DAY).await;
    harness.store.lift_kills("lifted").await.unwrap();
    let provider = |name| KillTarget::Provider(ProviderName::parse(name).unwrap());
    let client = |name| KillTarget::Client(ClientName::parse(name).unwrap());
    for (target, is_known) in [
        (tenant("t1"), true),
        (tenant("t2"), false),
        (provider("slack"), true),
        (provider("slac"), false),
        (client("main"), true),
        (client("slack"), false),
        (caller("out"), true),
        (caller("lifted"), false),
        (caller("ghost"), false),
    ] {
        let known = harness.store.knows_target(&target).await.unwrap();
        assert_eq!(known, is_known, "{target}");
    }
    let locking_out = KillQuery {
        locking_out: true,
        limit: 9,
        ..KillQuery::default()
    };
    let kills = harness.store.kills(&locking_out).await.unwrap();
    let names: Vec<_> = kills
        .iter()
        .map(|kill| kill.order.target.to_string())
        .collect();
    assert_eq!(names, ["caller out"]);
}

#[tokio::test]
async fn a_target_is_known_by_what_is_stored_of_it_on_sqlite() {
    a_target_is_known_by_what_is_stored_of_it(Harness::sqlite().await).await;
}

#[tokio::test]
async fn a_target_is_known_by_what_is_stored_of_it_on_postgres() {
    a_target_is_known_by_what_is_stored_of_it(Harness::postgres().await).await;
}
