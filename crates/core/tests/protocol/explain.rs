//! Explaining a grant reads what is there and starts nothing.

use evergrant_core::explain::{Diagnosis, Named};
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::GrantId;

use super::world::{World, key};

#[tokio::test(start_paused = true)]
async fn a_grant_is_explained_by_its_own_name_and_by_that_of_its_credential() {
    let (world, replica, a) = World::with_expired().await;
    world.provider.revoke("a");
    assert!(replica.token(&a).await.is_err());
    let calls = world.calls();

    let explain = async |named| replica.broker.explain(&named).await.unwrap();
    let by_credential = explain(Named::Credential(a.clone())).await.unwrap();
    let grant = by_credential.grant.id.clone();
    let by_grant = explain(Named::Grant(grant)).await.unwrap();
    for explained in [by_credential, by_grant] {
        let Diagnosis::Dead(invalidation) = &explained.diagnosis else {
            panic!("{explained:?}");
        };
        assert_eq!(invalidation.reason, InvalidationReason::GrantRevoked);
        assert_eq!(explained.credentials[0].key, a);
        assert_eq!(explained.events.len(), 1);
        assert_eq!(explained.lock, Ok(None));
        assert_eq!(explained.escrow, Ok(None));
    }
    assert_eq!(world.calls(), calls);
    assert!(explain(Named::Credential(key("b"))).await.is_none());
    assert!(explain(Named::Grant(GrantId::random())).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_escrow_out_of_reach_is_told_instead_of_failing_the_explanation() {
    let (world, replica, a) = World::with_expired().await;
    world.coordinator.set(|faults| faults.down = true);
    let named = Named::Credential(a);
    let explained = replica.broker.explain(&named).await.unwrap().unwrap();
    assert!(explained.lock.is_err() && explained.escrow.is_err());
}
