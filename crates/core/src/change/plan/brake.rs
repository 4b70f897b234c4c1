//! A provider refuses a grant: it dies, or is held where too many do at once.

use super::grant::{find, invalidate};
use crate::brake::{Brake, PROBE_EVERY, Refusals, SPREAD, is_too_many};
use crate::change::{ChangeSet, Snapshot, Write};
use crate::clock::Timestamp;
use crate::events::{ClientBraked, ClientReleased, EventBody};
use crate::failure::FailureReason;
use crate::grant::{Invalidation, PassingFailure};
use crate::ids::{ClientKey, Epoch, Generation, GrantId};

/// What is told to who asks for a grant that is held.
const HELD: &str =
    "the provider refuses so many grants of this client at once that its refusals are held";

/// What became of a grant that its provider refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is dead.
    Invalidated,
    /// It is suspect.
    Held {
        /// What is told to who asks for it.
        failure: PassingFailure,
        /// When it is tried again, unless the brake is released before.
        next_at: Timestamp,
        /// Whether this refusal engaged the brake.
        engaged: Option<Brake>,
    },
}

/// The provider refused a grant in an attempt of `epoch`: it is invalidated, or held while the brake of its client is
/// engaged, which this refusal may do.
///
/// `None` as for [`invalidate`](super::invalidate) (invariant R6).
pub fn refuse(
    snapshot: &Snapshot,
    id: &GrantId,
    generation: Generation,
    epoch: Epoch,
    invalidation: &Invalidation,
) -> Option<(ChangeSet, Refused)> {
    let mut death = invalidate(snapshot, id, generation, Some(epoch), invalidation.clone())?;
    let Some(refusals) = &snapshot.refusals else {
        return Some((death, Refused::Invalidated));
    };
    let client = &refusals.client;
    let refusal = Write::NoteRefusal {
        client: client.clone(),
        grant: id.clone(),
    };
    let (brake, is_new) = match engaged(refusals, snapshot.now, &invalidation.provider_error) {
        Some(brake) => brake,
        None => {
            // A brake that holds nothing any more has nothing left to decide.
            let over = refusals.brake.as_ref().map(|_| release(snapshot, client));
            match over.flatten() {
                Some(released) => {
                    death.writes.extend(released.writes);
                    death.events.extend(released.events);
                }
                None => death.writes.push(refusal),
            }
            return Some((death, Refused::Invalidated));
        }
    };
    let next_at = brake.next_probe_at.max(snapshot.now.plus(PROBE_EVERY));
    let failure = PassingFailure {
        reason: FailureReason::ClientBraked,
        message: HELD.to_owned(),
    };
    let hold = Write::HoldGrant {
        grant: id.clone(),
        generation,
        epoch,
        invalidation: invalidation.clone(),
        failure: failure.clone(),
        next_at,
    };
    let event = braked(&brake);
    let change = ChangeSet {
        revision: snapshot.revision,
        writes: vec![
            hold,
            refusal,
            Write::SetBrake(Brake {
                next_probe_at: next_at.plus(PROBE_EVERY),
                ..brake.clone()
            }),
        ],
        events: is_new.then_some(event).into_iter().collect(),
    };
    let held = Refused::Held {
        failure,
        next_at,
        engaged: is_new.then_some(brake),
    };
    Some((change, held))
}

/// What became of a grant whose means its provider refused for a grant that is derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusedMeans {
    /// It is dead, and so is what is derived from it.
    Invalidated,
    /// The brake is engaged: it stays as it was, and its own next refresh is judged.
    Spared {
        /// What is told to who asks for the derived grant.
        failure: PassingFailure,
        /// Whether this refusal engaged the brake.
        engaged: Option<Brake>,
    },
}

/// The provider refused the means of a grant in an attempt of another one, which is derived from it: it is invalidated,
/// or spared while the brake of its client is engaged, which this refusal may do. It is never held, since that takes a
/// lease of the grant itself. It counts among the refusals in scope, if any are.
///
/// `None` as for [`invalidate`](super::invalidate).
pub fn refuse_derived(
    snapshot: &Snapshot,
    parent: &GrantId,
    generation: Generation,
    invalidation: &Invalidation,
) -> Option<(ChangeSet, RefusedMeans)> {
    let mut death = invalidate(snapshot, parent, generation, None, invalidation.clone())?;
    let Some(refusals) = &snapshot.refusals else {
        return Some((death, RefusedMeans::Invalidated));
    };
    let refusal = Write::NoteRefusal {
        client: refusals.client.clone(),
        grant: parent.clone(),
    };
    let Some((brake, is_new)) = engaged(refusals, snapshot.now, &invalidation.provider_error)
    else {
        death.writes.push(refusal);
        return Some((death, RefusedMeans::Invalidated));
    };
    let mut change = ChangeSet {
        revision: snapshot.revision,
        writes: vec![refusal],
        events: Vec::new(),
    };
    if is_new {
        change.writes.push(Write::SetBrake(brake.clone()));
        change.events.push(braked(&brake));
    }
    let spared = RefusedMeans::Spared {
        failure: PassingFailure {
            reason: FailureReason::ClientBraked,
            message: HELD.to_owned(),
        },
        engaged: is_new.then_some(brake),
    };
    Some((change, spared))
}

fn braked(brake: &Brake) -> EventBody {
    EventBody::ClientBraked(ClientBraked {
        client: brake.client.clone(),
        refused: brake.refused,
        refreshed: brake.refreshed,
        provider_error: brake.provider_error.clone(),
    })
}

/// The brake as one refusal more finds it, and whether that engages it.
fn engaged(refusals: &Refusals, now: Timestamp, provider_error: &str) -> Option<(Brake, bool)> {
    let refused = refusals.refused + 1;
    let too_many = is_too_many(refused, refusals.refreshed);
    if let Some(brake) = &refusals.brake {
        return (refusals.held > 0 || too_many).then(|| (brake.clone(), false));
    }
    let brake = || Brake {
        client: refusals.client.clone(),
        since: now,
        refused,
        refreshed: refusals.refreshed,
        provider_error: provider_error.to_owned(),
        next_probe_at: now,
    };
    too_many.then(|| (brake(), true))
}

/// Refusals of a client's grants are believed again, and those that are held are tried again. `None` if its brake is
/// not engaged.
pub fn release(snapshot: &Snapshot, client: &ClientKey) -> Option<ChangeSet> {
    let refusals = snapshot.refusals.as_ref()?;
    refusals.brake.as_ref()?;
    Some(ChangeSet {
        revision: snapshot.revision,
        writes: vec![Write::ReleaseBrake {
            client: client.clone(),
            spread: SPREAD,
        }],
        events: vec![EventBody::ClientReleased(ClientReleased {
            client: client.clone(),
            retried: refusals.held,
        })],
    })
}

/// An operator believes what the provider says of a held grant: it is dead, and that is told. `None` if it is not held
/// any more.
pub fn believe(snapshot: &Snapshot, id: &GrantId) -> Option<ChangeSet> {
    let grant = find(snapshot, id)?;
    let invalidation = grant.state.suspicion()?.clone();
    invalidate(snapshot, id, grant.generation, None, invalidation)
}

#[cfg(test)]
mod tests;
