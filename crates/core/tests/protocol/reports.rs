//! A provider reports by itself that grants died.

use std::time::Duration;

use evergrant_core::change::run::ChangeError;
use evergrant_core::clock::Clock;
use evergrant_core::events::EventKind;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::ReceiverName;
use evergrant_core::report::{DeliveryId, Report, Subject};
use evergrant_core::testing::store::Op;

use super::world::{World, client, death_of, generation_of};

pub(super) fn report(world: &World, id: &str) -> Report {
    Report {
        delivery: DeliveryId::new(ReceiverName::parse("acme").unwrap(), id),
        provider: client().provider,
        client: None,
        subjects: vec![Subject::Account("T1".into())],
        reason: InvalidationReason::AccessDenied,
        event: "account-disabled".into(),
        message: "acme says so".into(),
        happened_at: Some(world.clock.now()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_in_flight_does_not_undo_a_report() {
    let world = World::new();
    let tokens = world.provider.consent("a");
    let key = world.connect_with("a", Some("T1"), tokens).await;
    let replica = world.replica();
    world.expire();
    let held = world.provider.hold_next_answer();
    let asking = replica.begin(&key);
    held.reached().await;

    let registry = replica.broker.registry();
    let done = registry.report(&report(&world, "1")).await;
    let done = done.unwrap().unwrap();
    assert_eq!((done.grants, done.credentials), (1, 1));
    held.release();
    let answer = asking.await.unwrap();
    assert_eq!(death_of(&answer), InvalidationReason::AccessDenied);
    replica.idle().await;
    assert_eq!(world.store.orphans().len(), 1, "R8");
    assert_eq!(world.kinds().await, [EventKind::CredentialInvalidated]);
    assert_eq!(world.calls(), 1);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_failed_is_taken_again_and_one_that_did_not_is_not() {
    let world = World::new();
    let tokens = world.provider.consent("a");
    let key = world.connect_with("a", Some("T1"), tokens).await;
    let replica = world.replica();
    let registry = replica.broker.registry();
    let first = report(&world, "1");
    world.store.faults().fail_next(Op::Apply, 1);
    let failed = registry.report(&first).await;
    assert!(matches!(failed, Err(ChangeError::Store(_))), "{failed:?}");
    assert!(world.is_active(&key).await);

    assert!(registry.report(&first).await.unwrap().is_some());
    assert!(!world.is_active(&key).await);
    assert_eq!(registry.report(&first).await, Ok(None));

    // A caller who connects again is not disconnected by an old delivery, nor by an old report.
    world.clock.shift(Duration::from_secs(600));
    let tokens = world.provider.consent("a again");
    let again = evergrant_core::change::plan::Reconnect {
        key: key.clone(),
        account: Some("T1".into()),
        allow_account_change: false,
        resume_paused: false,
        tokens,
        issued_at: world.clock.now(),
        renewal: Default::default(),
    };
    registry.reconnect(&again, &client()).await.unwrap();
    assert_eq!(registry.report(&first).await, Ok(None));
    let late = Report {
        delivery: report(&world, "2").delivery,
        ..first
    };
    let done = registry.report(&late).await.unwrap().unwrap();
    assert_eq!(done.grants, 0);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
}

/// Connects one account for so many tenants: more than one change takes.
async fn connect_many(world: &World, tenants: u64) {
    let registry = world.replica().broker.registry();
    for tenant in 0..tenants {
        let name = format!("c{tenant}");
        let new = evergrant_core::change::plan::CreateCredential {
            key: evergrant_core::ids::CredentialKey {
                tenant: evergrant_core::ids::TenantId::parse(&name).unwrap(),
                ..super::world::key("a")
            },
            client: client(),
            grant_type: evergrant_core::grant::GrantType::AuthorizationCode,
            account: Some("T1".into()),
            labels: Default::default(),
            tokens: world.provider.consent(&name),
            issued_at: world.clock.now(),
            renewal: Default::default(),
        };
        registry.create_credential(&new).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn more_grants_than_a_change_takes_die_in_several() {
    let (world, tenants) = (World::new(), 201);
    connect_many(&world, tenants).await;
    let registry = world.replica().broker.registry();
    let whole = report(&world, "1");
    let done = registry.report(&whole).await.unwrap().unwrap();
    assert_eq!((done.grants, done.credentials), (tenants, tenants));
    assert_eq!(registry.report(&whole).await, Ok(None));
    assert_eq!(world.events().await.len() as u64, tenants);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_was_cut_off_between_two_changes_finishes_when_it_is_sent_again() {
    let (world, tenants) = (World::new(), 201);
    connect_many(&world, tenants).await;
    let registry = world.replica().broker.registry();
    let whole = report(&world, "1");
    let first = world.store.faults().hold_next(Op::Apply);
    world.store.faults().fail_next(Op::Apply, 1);
    first.release();
    assert!(registry.report(&whole).await.is_err());
    let before = world.events().await.len() as u64;
    assert!((1..tenants).contains(&before), "{before}");
    let done = registry.report(&whole).await.unwrap().unwrap();
    assert_eq!(done.grants, tenants - before);
    assert_eq!(registry.report(&whole).await, Ok(None));
    assert_eq!(world.events().await.len() as u64, tenants);
}
