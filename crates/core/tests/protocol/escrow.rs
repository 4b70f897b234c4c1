//! Token sets between answer and commit: none of them vanishes (R8).

use evergrant_core::clock::Clock;
use evergrant_core::coordinator::EscrowEntry;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::TokenSet;
use evergrant_core::ids::{CredentialKey, Epoch, Generation};
use evergrant_core::secret::AccessToken;
use evergrant_core::testing::store::Op;
use tokio::time::Instant;

use super::doomed::Doomed;
use super::rotation::again;
use super::world::{LIMITS, Replica, World, client, generation_of, reason_of, seconds};

/// A leader crashes after the provider's answer and before the commit; its token set is in escrow.
async fn crash_before_commit(world: &World, key: &CredentialKey) -> TokenSet {
    let commit = world.store.faults().hold_next(Op::Commit);
    let doomed = Doomed::begin(world, key).await;
    commit.reached().await;
    let id = world.grant(key).await.facts.id;
    let entry = world.coordinator.escrowed(&id).unwrap();
    doomed.crash().await;
    entry.tokens
}

async fn entry(world: &World, key: &CredentialKey, base: u64, tokens: TokenSet) -> EscrowEntry {
    EscrowEntry {
        grant: world.grant(key).await.facts.id,
        base: Generation(base),
        epoch: Epoch(1),
        tokens,
        issued_at: world.clock.now(),
    }
}

#[tokio::test(start_paused = true)]
async fn r8_what_a_crashed_leader_obtained_is_adopted_without_a_second_call() {
    let (world, replica, key) = World::with_expired().await;
    let obtained = crash_before_commit(&world, &key).await;
    let began = Instant::now();
    let answer = replica.token(&key).await;
    assert_eq!(generation_of(&answer), 2);
    assert_eq!(world.grant(&key).await.tokens, obtained);
    assert_eq!(world.calls(), 1);
    assert!(
        began.elapsed() < seconds(1),
        "it waits for no lock or lease"
    );
    replica.idle().await;
    assert!(
        world
            .coordinator
            .escrowed(&world.grant(&key).await.facts.id)
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn r8_it_is_adopted_also_when_the_lock_is_gone_and_the_lease_is_not() {
    let (world, replica, key) = World::with_expired().await;
    let obtained = crash_before_commit(&world, &key).await;
    let id = world.grant(&key).await.facts.id;
    world.coordinator.expire_lock(&id);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert_eq!(world.grant(&key).await.tokens, obtained);
    assert_eq!(world.calls(), 1);
    replica.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r8_it_is_adopted_also_long_after_the_lease_ran_out() {
    let (world, replica, key) = World::with_expired().await;
    let obtained = crash_before_commit(&world, &key).await;
    tokio::time::sleep(LIMITS.lease * 10).await;
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert_eq!(world.grant(&key).await.tokens, obtained);
    assert_eq!(world.calls(), 1);
    replica.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r8_replicas_that_adopt_at_once_store_it_once() {
    let (world, _, key) = World::with_expired().await;
    crash_before_commit(&world, &key).await;
    let replicas = world.replicas(5);
    let callers: Vec<_> = replicas.iter().map(|replica| replica.begin(&key)).collect();
    for caller in callers {
        assert_eq!(generation_of(&caller.await.unwrap()), 2);
    }
    assert_eq!(world.generation(&key).await, 2);
    assert_eq!(world.calls(), 1);
    assert!(world.store.orphans().is_empty());
}

// R5: a refresh token whose successor lies in escrow is spent, so it is not sent again.
#[tokio::test(start_paused = true)]
async fn r8_what_lies_in_escrow_is_not_bought_again_while_it_cannot_be_stored() {
    let (world, replica, key) = World::with_expired().await;
    let obtained = crash_before_commit(&world, &key).await;
    tokio::time::sleep(LIMITS.lease).await;
    world.store.faults().fail_next(Op::Commit, 3);
    let first = replica.token(&key).await;
    assert_eq!(reason_of(&first), FailureReason::StoreUnavailable);
    assert_eq!(world.calls(), 1);
    world.store.faults().fail_next(Op::Commit, 0);
    let mut last = first;
    for _ in 0..5 {
        last = replica.token(&key).await;
    }
    assert_eq!(generation_of(&last), 2);
    assert_eq!(world.grant(&key).await.tokens, obtained);
    assert_eq!(world.calls(), 1);
    replica.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r1_an_entry_of_an_earlier_generation_is_left_alone() {
    let (world, replica, key) = World::with_expired().await;
    let mut old = world.grant(&key).await.tokens;
    old.access_token = AccessToken::new("old".into());
    let entry = entry(&world, &key, 0, old.clone()).await;
    world.coordinator.leave_behind(vec![entry]);
    let answer = replica.token(&key).await.unwrap();
    assert_ne!(answer.live.grant.tokens.access_token, old.access_token);
    replica.idle().await;
}

// The row is of a backup: whoever bought what lies there had read a later one.
#[tokio::test(start_paused = true)]
async fn r8_an_entry_of_a_later_generation_than_the_row_is_stored_as_its_next() {
    for by_replay in [false, true] {
        let (world, replica, key) = World::with_expired().await;
        let newest = world.provider.consent("a");
        let entry = entry(&world, &key, 5, newest.clone()).await;
        world.coordinator.leave_behind(vec![entry]);
        if by_replay {
            assert_eq!(replica.broker.replay_escrow().await, Ok(1));
        }
        assert_eq!(generation_of(&replica.token(&key).await), 2);
        assert_eq!(world.grant(&key).await.tokens, newest);
        assert_eq!(world.calls(), 0);
        assert!(world.store.orphans().is_empty());
        replica.idle().await;
        world.check(&key).await;
        world.expire();
        assert_eq!(generation_of(&replica.token(&key).await), 3);
        replica.idle().await;
        world.check(&key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r8_what_this_process_left_behind_is_stored_before_it_serves() {
    let (world, replica, key) = World::with_expired().await;
    let tokens = world.provider.consent("a");
    let entry = entry(&world, &key, 1, tokens.clone()).await;
    world.coordinator.leave_behind(vec![entry]);
    assert_eq!(replica.broker.replay_escrow().await, Ok(1));
    assert_eq!(world.grant(&key).await.tokens, tokens);
    assert_eq!(replica.broker.replay_escrow().await, Ok(0));
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert_eq!(world.calls(), 0);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r8_what_was_left_behind_and_superseded_is_kept_aside() {
    let (world, replica, key) = World::with_expired().await;
    let tokens = world.provider.consent("b");
    let entry = entry(&world, &key, 1, tokens.clone()).await;
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    replica.idle().await;
    world.coordinator.leave_behind(vec![entry]);
    assert_eq!(replica.broker.replay_escrow().await, Ok(0));
    assert_eq!(world.store.orphans()[0].tokens, tokens);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r8_what_was_left_behind_stays_there_while_it_can_be_neither_stored_nor_kept_aside() {
    for op in [Op::Grant, Op::Commit, Op::KeepOrphan] {
        let (world, replica, key) = World::with_expired().await;
        let tokens = world.provider.consent("b");
        let entry = entry(&world, &key, 1, tokens).await;
        if op == Op::KeepOrphan {
            replica.token(&key).await.unwrap();
            replica.idle().await;
        }
        world.coordinator.leave_behind(vec![entry.clone()]);
        world.store.faults().fail_next(op, 1);
        assert!(replica.broker.replay_escrow().await.is_err(), "{op:?}");
        assert_eq!(world.coordinator.escrowed(&entry.grant), Some(entry));
        replica.broker.replay_escrow().await.unwrap();
        world.coordinator.flush();
        assert!(world.generation(&key).await == 2, "{op:?}");
    }
}

/// The user connects again while the provider's answer is on its way, which then comes too late to be stored.
async fn superseded(world: &World, replica: &Replica, key: &CredentialKey) {
    let held = world.provider.hold_next_answer();
    let caller = replica.begin(key);
    held.reached().await;
    let ask = again(key, world.provider.consent("b"), world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    held.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    replica.idle().await;
}

#[tokio::test(start_paused = true)]
async fn r8_what_came_too_late_stays_in_escrow_while_it_cannot_be_kept_aside() {
    let (world, replica, key) = World::with_expired().await;
    let old = world.grant(&key).await.facts.id;
    world.store.faults().fail_next(Op::KeepOrphan, 100);
    superseded(&world, &replica, &key).await;
    assert!(world.store.orphans().is_empty());
    let left = world.coordinator.escrowed(&old).unwrap();
    assert_eq!(left.base, Generation(1));
}

#[tokio::test(start_paused = true)]
async fn r8_what_came_too_late_is_kept_aside_as_soon_as_that_can_be_done() {
    let (world, replica, key) = World::with_expired().await;
    world.store.faults().fail_next(Op::KeepOrphan, 2);
    superseded(&world, &replica, &key).await;
    assert_eq!(world.store.orphans().len(), 1);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r8_what_was_adopted_too_late_stays_in_escrow_while_it_cannot_be_kept_aside() {
    let (world, replica, key) = World::with_expired().await;
    crash_before_commit(&world, &key).await;
    let id = world.grant(&key).await.facts.id;
    let adopting = world.store.faults().hold_next(Op::Commit);
    let caller = replica.begin(&key);
    adopting.reached().await;
    let ask = again(&key, world.provider.consent("b"), &world);
    let registry = replica.broker.registry();
    registry.reconnect(&ask, &client()).await.unwrap();
    world.store.faults().fail_next(Op::KeepOrphan, 100);
    adopting.release();
    assert_eq!(generation_of(&caller.await.unwrap()), 2);
    replica.idle().await;
    assert!(world.coordinator.escrowed(&id).is_some());
}
