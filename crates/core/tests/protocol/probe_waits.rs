//! Probes that tell nothing of a rejected client become rare, and find their grant behind others that will not do.

use std::collections::BTreeSet;

use evergrant_core::breaker::BreakerState;
use evergrant_core::events::EventKind;
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::Verdict;
use evergrant_core::secret::Parameter;
use evergrant_core::testing::provider::failure;

use super::probes::{end, probing, reject, rejected};
use super::world::{World, client, refused, seconds};

/// A world of so many grants that are due tomorrow, and the credential of the first.
async fn with_grants(grants: usize) -> (World, CredentialKey) {
    let world = World::new();
    world.provider.set_lifetime(Some(seconds(2 * 86_400)));
    let key = world.connect("a").await;
    for number in 1..grants {
        world.connect(&format!("a{number}")).await;
    }
    (world, key)
}

/// From now on the provider answers that something is wrong with itself. Answers how many grants an hour of it cost.
async fn an_hour_of_faults(world: &World) -> usize {
    world
        .provider
        .fail_all(Some(failure(Verdict::Transient, "server_error")));
    let before = world.calls();
    tokio::time::sleep(seconds(3_600)).await;
    let calls = world.provider.calls();
    let probed: BTreeSet<_> = calls[before..].iter().map(|call| &call.grant).collect();
    probed.len()
}

#[tokio::test(start_paused = true)]
async fn probes_without_a_verdict_become_as_rare_as_those_that_are_rejected() {
    let (world, key) = with_grants(150).await;
    let replica = probing(&world);
    rejected(&world, &replica, &key).await;
    let cost = an_hour_of_faults(&world).await;
    assert!((50..=70).contains(&cost), "{cost} grants");
    assert_eq!(replica.broker.breaker_state(&client()), BreakerState::Open);
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(70)).await;
    assert_eq!(
        world.kinds().await.last(),
        Some(&EventKind::ClientRecovered)
    );
    end(&replica).await;
}

#[tokio::test(start_paused = true)]
async fn so_do_those_of_a_process_that_never_saw_the_rejection() {
    let (world, key) = with_grants(150).await;
    let before = world.replica();
    reject(&world);
    assert!(before.ask(&key, refused(1)).await.is_err());
    drop(before);
    let restarted = probing(&world);
    let cost = an_hour_of_faults(&world).await;
    assert!((50..=70).contains(&cost), "{cost} grants");
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(80)).await;
    assert_eq!(
        world.kinds().await.last(),
        Some(&EventKind::ClientRecovered)
    );
    end(&restarted).await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_behind_many_that_will_not_do_is_found() {
    let world = World::new();
    let key = world.connect("a").await;
    world.provider.set_lifetime(Some(seconds(1_800)));
    for number in 0..40 {
        let name = format!("own{number}");
        let mut tokens = world.provider.consent(&name);
        let own = ("client_id".to_owned(), Parameter::new("own".into()));
        tokens.means.parameters = [own].into();
        world.connect_with(&name, None, tokens).await;
    }
    let replica = probing(&world);
    rejected(&world, &replica, &key).await;
    world.provider.fail_all(None);
    tokio::time::sleep(seconds(70)).await;
    assert_eq!(
        world.kinds().await.last(),
        Some(&EventKind::ClientRecovered)
    );
    assert_eq!(world.generation(&key).await, 2);
    end(&replica).await;
}
