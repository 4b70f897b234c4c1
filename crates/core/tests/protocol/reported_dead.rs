//! What somebody says of a grant that the service had found dead by itself counts, too: no late success undoes it.

use evergrant_core::coordinator::EscrowEntry;
use evergrant_core::events::EventKind;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::{CredentialKey, KillId};
use evergrant_core::kill::{KillBatch, KillOrder, KillTarget};
use evergrant_core::provider::Rotation;
use evergrant_core::testing::provider::Reuse;
use evergrant_core::testing::store::Op;

use super::doomed::Doomed;
use super::reports::report;
use super::world::{LIMITS, Replica, World, client, death_of};

/// Who says that the grant is dead.
#[derive(Debug, Clone, Copy)]
enum Word {
    Caller,
    Provider,
    Operator { revoke: bool },
}

const ANYBODY: [Word; 4] = [
    Word::Caller,
    Word::Provider,
    Word::Operator { revoke: false },
    Word::Operator { revoke: true },
];

impl Word {
    async fn is_given(self, world: &World, key: &CredentialKey) {
        let registry = world.replica().broker.registry();
        match self {
            Self::Caller => registry.invalidate(key, None, "stolen").await.unwrap(),
            Self::Provider => {
                let done = registry.report(&report(world, "1")).await;
                let done = done.unwrap().unwrap();
                assert_eq!((done.grants, done.credentials), (0, 0), "it was dead");
            }
            Self::Operator { revoke } => {
                let order = KillOrder {
                    id: KillId::random(),
                    target: KillTarget::Provider(client().provider),
                    begun_at: world.grant(key).await.facts.created_at,
                    reason: "the key leaked".into(),
                    revoke,
                };
                let batch = KillBatch {
                    order,
                    after: None,
                    limit: 100,
                };
                assert!(registry.kill(&batch).await.unwrap().is_some());
                let again = registry.kill(&batch).await;
                assert_eq!(again, Ok(None), "it is taken once");
            }
        }
    }
}

async fn expired_of_account() -> (World, Replica, CredentialKey) {
    let world = World::new();
    world
        .provider
        .set_reuse(Reuse::Refused, Rotation::SingleUse);
    let tokens = world.provider.consent("a");
    let key = world.connect_with("a", Some("T1"), tokens).await;
    world.expire();
    let replica = world.replica();
    (world, replica, key)
}

async fn stays_dead(world: &World, key: &CredentialKey, word: Word) {
    let answer = world.replica().token(key).await;
    assert_eq!(
        death_of(&answer),
        InvalidationReason::RotationLost,
        "{word:?}"
    );
    assert_eq!(
        world.kinds().await,
        [EventKind::CredentialInvalidated],
        "{word:?}"
    );
    assert_eq!(world.store.orphans().len(), 1, "R8");
    world.check_after_pause(key).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_does_not_undo_a_word_about_a_dead_grant() {
    for word in ANYBODY {
        let (world, one, key) = expired_of_account().await;
        let paused = world.provider.hold_next_answer();
        let first = one.begin(&key);
        paused.reached().await;
        tokio::time::sleep(LIMITS.lease).await;
        let second = world.replica().token(&key).await;
        assert_eq!(death_of(&second), InvalidationReason::RotationLost);

        word.is_given(&world, &key).await;
        paused.release();
        let answer = first.await.unwrap();
        assert_eq!(death_of(&answer), InvalidationReason::RotationLost);
        one.idle().await;
        stays_dead(&world, &key, word).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_in_a_journal_does_not_undo_a_word_about_a_dead_grant() {
    for word in ANYBODY {
        let (world, other, key) = expired_of_account().await;
        // Its answer is in its own journal alone when it crashes, which nobody else can read.
        let commit = world.store.faults().hold_next(Op::Commit);
        let doomed = Doomed::begin(&world, &key).await;
        commit.reached().await;
        doomed.crash().await;
        let grant = world.grant(&key).await.facts.id;
        let entry: EscrowEntry = world.coordinator.escrowed(&grant).unwrap();
        world.coordinator.flush();
        let second = other.token(&key).await;
        assert_eq!(death_of(&second), InvalidationReason::RotationLost);

        word.is_given(&world, &key).await;
        world.coordinator.leave_behind(vec![entry]);
        let restarted = world.replica();
        restarted.broker.replay_escrow().await.unwrap();
        stays_dead(&world, &key, word).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_word_that_comes_while_the_grant_is_healed_counts() {
    for word in ANYBODY {
        let (world, one, key) = expired_of_account().await;
        let paused = world.provider.hold_next_answer();
        let first = one.begin(&key);
        paused.reached().await;
        tokio::time::sleep(LIMITS.lease).await;
        assert!(world.replica().token(&key).await.is_err());
        // It has read that nobody reported the death, and is about to heal the grant.
        let snapshot = world.store.faults().hold_next(Op::Snapshot);
        paused.release();
        snapshot.reached().await;
        word.is_given(&world, &key).await;
        snapshot.release();
        assert!(first.await.unwrap().is_err());
        one.idle().await;
        stays_dead(&world, &key, word).await;
    }
}
