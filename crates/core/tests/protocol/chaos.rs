//! Many faults in a random order, and what must hold once they are over. A failure names its seed, and the same
//! seed fails again.

use std::time::Duration;

use evergrant_core::broker::TokenError;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::{CallError, Delivery, Rotation, Verdict};
use evergrant_core::testing::coordinator::Faults;
use evergrant_core::testing::provider::{Reuse, failure};
use evergrant_core::testing::store::Op;
use fastrand::Rng;
use tokio::task::JoinHandle;

use super::doomed::Doomed;
use super::world::{Answered, Replica, World, refused, seconds};

const STEPS: usize = 100;
const SEEDS: u64 = 60;
const OPS: [Op; 6] = [
    Op::Grant,
    Op::Claim,
    Op::Commit,
    Op::EndAttempt,
    Op::Snapshot,
    Op::Apply,
];

struct Chaos {
    seed: u64,
    rng: Rng,
    world: World,
    replicas: Vec<Replica>,
    keys: Vec<CredentialKey>,
    callers: Vec<JoinHandle<Answered>>,
    rotation: Rotation,
    /// Answers may be lost, by the network or by a crash.
    loses_answers: bool,
}

impl Chaos {
    async fn new(seed: u64, reuse: Reuse, rotation: Rotation, loses_answers: bool) -> Self {
        fastrand::seed(seed);
        let world = World::new();
        world.provider.set_reuse(reuse, rotation);
        let mut keys = Vec::new();
        for name in ["a", "b", "c"] {
            keys.push(world.connect(name).await);
        }
        Self {
            seed,
            rng: Rng::with_seed(seed),
            replicas: world.replicas(3),
            world,
            keys,
            callers: Vec::new(),
            rotation,
            loses_answers,
        }
    }

    fn any_key(&mut self) -> CredentialKey {
        self.rng.choice(&self.keys).unwrap().clone()
    }

    async fn pass(&mut self, at_most: u64) {
        let millis = self.rng.u64(0..at_most * 1_000);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    async fn step(&mut self) {
        let key = self.any_key();
        let replica = self.rng.usize(0..self.replicas.len());
        match self.rng.u32(0..14) {
            0..=3 => self.callers.push(self.replicas[replica].begin(&key)),
            4 => {
                let ask = refused(self.world.generation(&key).await);
                self.callers
                    .push(self.replicas[replica].begin_ask(&key, ask));
            }
            5 => self.world.expire(),
            6 => self.world.clock.shift(seconds(300)),
            7 => self.pass(30).await,
            8 => self.break_provider(),
            9 => {
                let op = *self.rng.choice(OPS).as_ref().unwrap();
                let faults = self.world.store.faults();
                if self.rng.bool() {
                    faults.fail_next(op, self.rng.usize(1..3));
                } else {
                    faults.lose_next_answers(op, 1);
                }
            }
            10 => self.break_coordination().await,
            11 => {
                self.world.store.faults().set_down(true);
                self.pass(90).await;
                self.world.store.faults().set_down(false);
            }
            12 if self.loses_answers => {
                let doomed = Doomed::begin(&self.world, &key).await;
                self.pass(3).await;
                doomed.end().await;
            }
            _ => self.replicas[replica].broker.forget_all(),
        }
    }

    fn break_provider(&mut self) {
        let latency = self.rng.u64(0..3_000);
        let provider = &self.world.provider;
        provider.set_latency(Duration::from_millis(latency));
        match self.rng.u32(0..4) {
            0 if self.loses_answers => provider.lose_next_answer(),
            0 | 1 => provider.time_out_next(),
            2 => provider.answer_next(Err(CallError {
                delivery: Delivery::NotSent,
                ..failure(Verdict::Transient, "")
            })),
            _ => provider.answer_next(Err(failure(Verdict::RateLimit, "slow_down"))),
        }
    }

    async fn break_coordination(&mut self) {
        let coordinator = self.world.coordinator.clone();
        match self.rng.u32(0..4) {
            0 => coordinator.set(|faults| faults.down = true),
            1 => coordinator.set(|faults| faults.lost_answers = 3),
            2 => coordinator.set(|faults| faults.lost_notices = true),
            _ => {
                for key in &self.keys {
                    coordinator.expire_lock(&self.world.grant(key).await.facts.id);
                }
            }
        }
        self.pass(20).await;
        coordinator.set(|faults| *faults = Faults::default());
    }

    /// Asks until there is a token, or until there will never be one again.
    async fn last_word(&self, key: &CredentialKey) -> Option<InvalidationReason> {
        for _ in 0..100 {
            tokio::time::sleep(seconds(60)).await;
            self.world.clock.shift(seconds(4_000));
            match self.replicas[0].token(key).await {
                Ok(_) => return None,
                Err(TokenError::Invalidated { invalidation, .. }) => {
                    return Some(invalidation.reason);
                }
                Err(_) => {}
            }
        }
        panic!("seed {}: {key} never comes to rest", self.seed);
    }

    async fn run(mut self) -> Vec<Option<InvalidationReason>> {
        for _ in 0..STEPS {
            self.step().await;
        }
        for caller in std::mem::take(&mut self.callers) {
            // R11, R12 hold for whatever was answered; what it was is the faults' doing.
            let _ = caller.await.unwrap();
        }
        for replica in &self.replicas {
            replica.idle().await;
        }
        let mut words = Vec::new();
        for key in &self.keys {
            words.push(self.last_word(key).await);
        }
        for replica in &self.replicas {
            replica.idle().await;
        }
        let world = &self.world;
        // A refresh token that never ends is that of several generations, whose calls may meet.
        let most = world.provider.most_with_one_token();
        let is_one = most <= 1 || self.rotation == Rotation::None;
        assert!(is_one, "seed {}: R3", self.seed);
        for (key, word) in self.keys.iter().zip(&words) {
            let grant = world.grant(key).await;
            let refresh_token = grant.tokens.refresh_token.unwrap();
            let accepted = world.provider.accepts(&refresh_token);
            assert_eq!(accepted, word.is_none(), "seed {}: R5", self.seed);
            assert_eq!(grant.facts.lease, None, "seed {}: L3", self.seed);
        }
        world.check_log().await;
        words
    }
}

async fn run(reuse: Reuse, rotation: Rotation, loses_answers: bool) -> Vec<InvalidationReason> {
    let mut dead = Vec::new();
    for seed in 0..SEEDS {
        let chaos = Chaos::new(seed, reuse, rotation, loses_answers).await;
        dead.extend(chaos.run().await.into_iter().flatten());
    }
    dead
}

#[tokio::test(start_paused = true)]
async fn r8_without_a_lost_answer_no_grant_of_a_strict_provider_dies() {
    assert_eq!(run(Reuse::Revokes, Rotation::SingleUse, false).await, []);
}

#[tokio::test(start_paused = true)]
async fn with_lost_answers_a_grant_dies_of_nothing_but_a_lost_rotation() {
    for reuse in [Reuse::Revokes, Reuse::Refused] {
        for reason in run(reuse, Rotation::SingleUse, true).await {
            assert_eq!(reason, InvalidationReason::RotationLost);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r5_with_lost_answers_no_grant_of_a_lenient_provider_dies() {
    let grace = Rotation::Grace(seconds(600));
    assert_eq!(run(Reuse::SameSuccessor, grace, true).await, []);
    assert_eq!(run(Reuse::Allowed, Rotation::None, true).await, []);
}
