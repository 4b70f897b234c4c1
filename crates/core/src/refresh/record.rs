//! What an attempt came to, for who asks later.

use tokio::time::Instant;

use super::{Outcome, Refresher, Trigger};
use crate::attempts::{AttemptError, AttemptOutcome, AttemptRecord};
use crate::grant::GrantFacts;
use crate::provider::CallError;
use crate::store::Claimed;

/// An attempt that is under way.
pub(super) struct Record {
    began: Instant,
    told: AttemptRecord,
}

impl Record {
    /// The provider is called once more.
    pub(super) fn call(&mut self) {
        self.told.calls += 1;
    }

    /// The provider answered without tokens, or not at all.
    pub(super) fn error(&mut self, error: &CallError) {
        self.told.error = Some(AttemptError {
            status: error.status,
            code: error.code.clone(),
            message: error.message.clone(),
        });
    }
}

impl Refresher {
    pub(super) fn begin_record(
        &self,
        facts: &GrantFacts,
        trigger: Trigger,
        claimed: &Claimed,
    ) -> Record {
        Record {
            began: Instant::now(),
            told: AttemptRecord {
                grant: facts.id.clone(),
                epoch: claimed.epoch,
                replica: self.ports.replica.clone(),
                cause: trigger.cause,
                began_at: self.ports.clock.now(),
                took: std::time::Duration::ZERO,
                base: facts.generation,
                left: None,
                took_over: claimed.takeover,
                calls: 0,
                outcome: AttemptOutcome::Gone,
                error: None,
            },
        }
    }

    /// Hands on what came of an attempt, unless it neither called anybody nor found anything.
    pub(super) fn note(&self, record: Record, outcome: &Outcome) {
        let Record { began, mut told } = record;
        told.took = began.elapsed();
        told.outcome = match outcome {
            Outcome::Token { called: true, .. } => AttemptOutcome::Refreshed,
            Outcome::Token { .. } if told.calls == 0 => AttemptOutcome::Adopted,
            Outcome::Token { .. } => AttemptOutcome::Superseded,
            Outcome::Dead(_) => AttemptOutcome::Invalidated,
            Outcome::Gone => AttemptOutcome::Gone,
            Outcome::Failed(failure) => AttemptOutcome::Failed(failure.reason),
            Outcome::Busy => return,
        };
        if let Outcome::Token { live, .. } = outcome {
            told.left = Some(live.grant.facts.generation);
        }
        if told.calls > 0 || told.outcome == AttemptOutcome::Adopted {
            self.ports.attempts.note(told);
        }
    }
}
