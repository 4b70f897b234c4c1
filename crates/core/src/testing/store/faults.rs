//! Faults on order: the next calls of an operation fail, hang, or take place without telling.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;
use crate::testing::held::{Gate, Held};

/// An operation of the store port.
#[expect(missing_docs, reason = "named after the methods of the port")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    GrantOf,
    Grant,
    Derived,
    Claim,
    Commit,
    EndAttempt,
    KeepOrphan,
    OrphansOf,
    PruneOrphans,
    NoteAttempts,
    AttemptsOf,
    PruneAttempts,
    Due,
    ToProbe,
    Backlog,
    ToAnnounce,
    ChangedWithin,
    ForgetDeleted,
    CountByState,
    CountCredentials,
    Clients,
    ClaimProbe,
    Held,
    Credential,
    ListCredentials,
    Forecast,
    Integration,
    ListIntegrations,
    Snapshot,
    ForgetDeliveries,
    Apply,
    Position,
    EventsAfter,
    EventsOf,
    Prune,
    Ping,
}

/// Orders faults and counts calls. Faults of one operation strike in the order in which they were ordered.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    down: bool,
    calls: HashMap<Op, u64>,
    next: HashMap<Op, VecDeque<Fault>>,
}

#[derive(Debug)]
enum Fault {
    Fail,
    LoseAnswer,
    Hold(Gate),
    HoldAnswer(Gate),
}

impl Faults {
    /// The next `times` calls of `op` do nothing and answer [`StoreError::Unavailable`].
    pub fn fail_next(&self, op: Op, times: usize) {
        self.order(op, (0..times).map(|_| Fault::Fail));
    }

    /// The next `times` calls of `op` take place and answer [`StoreError::Unavailable`] all the same.
    pub fn lose_next_answers(&self, op: Op, times: usize) {
        self.order(op, (0..times).map(|_| Fault::LoseAnswer));
    }

    /// The next call of `op` waits before it does anything until the answer of this is released.
    pub fn hold_next(&self, op: Op) -> Held {
        let (gate, held) = Gate::closed();
        self.order(op, [Fault::Hold(gate)]);
        held
    }

    /// The next call of `op` takes place at once, and its answer waits until the answer of this is released.
    pub fn hold_next_answer(&self, op: Op) -> Held {
        let (gate, held) = Gate::closed();
        self.order(op, [Fault::HoldAnswer(gate)]);
        held
    }

    /// While `down`, every call of every operation does nothing and answers [`StoreError::Unavailable`].
    pub fn set_down(&self, down: bool) {
        self.plan().down = down;
    }

    /// How often `op` was called, calls that failed included.
    pub fn calls(&self, op: Op) -> u64 {
        self.plan().calls.get(&op).copied().unwrap_or(0)
    }

    /// Runs `work` as a call of `op`, under the fault whose turn it is.
    pub(super) async fn strike<T, E: From<StoreError>>(
        &self,
        op: Op,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        match self.begin(op)? {
            None => work(),
            Some(Fault::Fail) => Err(unavailable("ordered to fail")),
            Some(Fault::LoseAnswer) => {
                work()?;
                Err(unavailable("the answer was lost"))
            }
            Some(Fault::Hold(gate)) => {
                gate.wait().await;
                work()
            }
            Some(Fault::HoldAnswer(gate)) => {
                let answer = work();
                gate.wait().await;
                answer
            }
        }
    }

    fn begin<E: From<StoreError>>(&self, op: Op) -> Result<Option<Fault>, E> {
        let mut plan = self.plan();
        *plan.calls.entry(op).or_default() += 1;
        if plan.down {
            return Err(unavailable("ordered to be down"));
        }
        Ok(plan.next.get_mut(&op).and_then(VecDeque::pop_front))
    }

    fn order(&self, op: Op, faults: impl IntoIterator<Item = Fault>) {
        self.plan().next.entry(op).or_default().extend(faults);
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable<E: From<StoreError>>(why: &str) -> E {
    StoreError::Unavailable(why.to_owned()).into()
}
