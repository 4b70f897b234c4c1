//! What the provider in memory takes back.

use std::collections::VecDeque;

use super::{Call, ScriptedProviders, State, text};
use crate::grant::Grant;
use crate::provider::{CallError, Revocation};
use crate::testing::held::{Gate, Held};

/// Revocations: what was asked, and what is to become of the next ones.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    calls: Vec<Call>,
    script: VecDeque<Step>,
}

#[derive(Debug)]
enum Step {
    Answer(Result<Revocation, CallError>),
    HoldAnswer(Gate),
}

impl ScriptedProviders {
    /// The next revocation is answered so, and nothing is revoked.
    pub fn answer_next_revocation(&self, answer: Result<Revocation, CallError>) {
        self.order_revocation(Step::Answer(answer));
    }

    /// The next revocation takes place, and its answer waits for as long as it is held.
    pub fn hold_next_revocation(&self) -> Held {
        let (gate, held) = Gate::closed();
        self.order_revocation(Step::HoldAnswer(gate));
        held
    }

    /// All revocations that were asked for so far, in the order in which they came.
    pub fn revocations(&self) -> Vec<Call> {
        self.state().revocations.calls.clone()
    }

    /// A good refresh token takes its family along. A spent one does so where using it again would, and is unknown
    /// otherwise, which is a success like any other (RFC 7009 section 2.2).
    pub(super) async fn take_back(&self, grant: &Grant) -> Result<Revocation, CallError> {
        let step = {
            let State { revocations, .. } = &mut *self.state();
            revocations.calls.push(Call::of(grant));
            revocations.script.pop_front()
        };
        let gate = match step {
            Some(Step::Answer(answer)) => return answer,
            Some(Step::HoldAnswer(gate)) => Some(gate),
            None => None,
        };
        self.state().families.take_back(&text(grant));
        if let Some(gate) = gate {
            gate.wait().await;
        }
        Ok(Revocation::Revoked)
    }

    fn order_revocation(&self, step: Step) {
        self.state().revocations.script.push_back(step);
    }
}
