//! One replica, and what its callers are answered.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::broker::{Answer, Ask, Broker, Refused, TokenError};
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{GrantFacts, InvalidationReason};
use evergrant_core::ids::{CredentialKey, Generation, KillId};
use evergrant_core::kill::{KillBatch, KillOrder, KillTarget};
use evergrant_core::refresh::Failure;
use evergrant_core::store::DueGrant;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::world::client;

/// No answer may take longer, so that a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(3_600);

pub struct Replica {
    pub broker: Arc<Broker>,
    pub tracker: TaskTracker,
    pub stop: CancellationToken,
}

pub type Answered = Result<Answer, TokenError>;

impl Replica {
    pub async fn token(&self, key: &CredentialKey) -> Answered {
        self.ask(key, Ask::default()).await
    }

    pub async fn ask(&self, key: &CredentialKey, ask: Ask) -> Answered {
        let answer = self.broker.get_token(key, &ask);
        let answered = tokio::time::timeout(PATIENCE, answer).await;
        answered.expect("an answer takes less than an hour")
    }

    /// Asks in a task of its own.
    pub fn begin(&self, key: &CredentialKey) -> JoinHandle<Answered> {
        self.begin_ask(key, Ask::default())
    }

    pub fn begin_ask(&self, key: &CredentialKey, ask: Ask) -> JoinHandle<Answered> {
        let (broker, key) = (Arc::clone(&self.broker), key.clone());
        TaskTracker::new().spawn(async move {
            let answered = tokio::time::timeout(PATIENCE, broker.get_token(&key, &ask)).await;
            answered.expect("an answer takes less than an hour")
        })
    }

    /// Kills all grants of the provider, of which `grant` is the only one, to be revoked afterwards.
    pub async fn kill(&self, grant: &GrantFacts) {
        let order = KillOrder {
            id: KillId::random(),
            target: KillTarget::Provider(client().provider),
            begun_at: grant.created_at,
            reason: "the key leaked".into(),
            revoke: true,
        };
        let batch = KillBatch {
            order,
            after: None,
            limit: 100,
        };
        let killed = self.broker.registry().kill(&batch).await.unwrap();
        assert_eq!(killed.map(|killed| killed.grants), Some(1));
    }

    /// Waits until all that was begun has ended.
    pub async fn idle(&self) {
        self.tracker.close();
        let idle = tokio::time::timeout(PATIENCE, self.tracker.wait()).await;
        idle.expect("work ends within an hour");
        self.tracker.reopen();
    }
}

/// The grant as background work finds it.
pub fn due(facts: &GrantFacts) -> DueGrant {
    DueGrant {
        id: facts.id.clone(),
        generation: facts.generation,
        client: facts.client.clone(),
        grant_type: facts.grant_type,
        due_at: facts.issued_at,
    }
}

pub fn refused(generation: u64) -> Ask {
    Ask {
        refused: Some(Refused::Generation(Generation(generation))),
        ..Ask::default()
    }
}

pub fn generation_of(answered: &Answered) -> u64 {
    answered.as_ref().unwrap().live.grant.facts.generation.0
}

pub fn failure_of(answered: &Answered) -> &Failure {
    match answered {
        Err(TokenError::Failed { failure, .. }) => failure,
        other => panic!("not a failure: {other:?}"),
    }
}

pub fn reason_of(answered: &Answered) -> FailureReason {
    failure_of(answered).reason
}

pub fn death_of(answered: &Answered) -> InvalidationReason {
    match answered {
        Err(TokenError::Invalidated { invalidation, .. }) => invalidation.reason,
        other => panic!("not dead: {other:?}"),
    }
}

pub async fn all(handles: Vec<JoinHandle<Answered>>) -> Vec<Answered> {
    let mut answers = Vec::new();
    for handle in handles {
        answers.push(handle.await.unwrap());
    }
    answers
}
