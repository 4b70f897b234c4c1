//! An operator kills grants.

use super::derived::{derived_from, forget_derived};
use super::grant::{invalidate_all, is_dead, report_death, users};
use crate::change::{ChangeSet, Snapshot, Write};
use crate::grant::{GrantFacts, Invalidation, InvalidationReason};
use crate::ids::GrantId;
use crate::kill::{KillOrder, Killed};

/// What a part of a kill did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KilledBatch {
    /// Grants that it took, those that were dead already included.
    pub grants: u64,
    /// The last of them by id.
    pub last: GrantId,
}

/// Every grant in a snapshot of [`Scope::Kill`](crate::change::Scope::Kill) that the kill takes dies, and is noted as
/// taken. One that had been found dead stays dead for its own reason, and is noted only where it is to be revoked. A
/// success that comes late undoes neither. What was derived from them is kept where it is to be revoked with
/// them, and is handed out no more. `None` if there is none.
pub fn kill(snapshot: &Snapshot, order: &KillOrder) -> Option<(ChangeSet, KilledBatch)> {
    let taken: Vec<&GrantFacts> = snapshot
        .grants
        .iter()
        .filter(|grant| order.takes(grant))
        .collect();
    let last = taken.iter().map(|grant| &grant.id).max()?.clone();
    let invalidation = Invalidation {
        reason: InvalidationReason::Killed,
        provider_error: String::new(),
        message: order.reason.clone(),
        at: snapshot.now,
        reported: true,
    };
    let (dead, alive): (Vec<_>, Vec<_>) = taken.iter().copied().partition(|grant| is_dead(grant));
    let mut change = invalidate_all(snapshot, &alive, None, &invalidation);
    change.writes.extend(dead.into_iter().map(report_death));
    for grant in &taken {
        let derived = derived_from(snapshot, &grant.id);
        let leases = derived
            .chain([*grant])
            .filter_map(|grant| grant.lease.as_ref());
        let under_way = leases.map(|lease| lease.left).max();
        if !order.revoke {
            forget_derived(snapshot, &grant.id, &mut change.writes);
        }
        if is_dead(grant) && !order.revoke {
            continue;
        }
        let died = users(snapshot, &grant.id).filter(|_| !is_dead(grant));
        let credentials = died.count();
        change.writes.push(Write::NoteKilled(Killed {
            kill: order.id.clone(),
            grant: grant.id.clone(),
            generation: grant.generation,
            credentials: u64::try_from(credentials).unwrap_or(u64::MAX),
            revoke_at: order
                .revoke
                .then(|| snapshot.now.plus(under_way.unwrap_or_default())),
        }));
    }
    let batch = KilledBatch {
        grants: u64::try_from(taken.len()).unwrap_or(u64::MAX),
        last,
    };
    Some((change, batch))
}

#[cfg(test)]
mod tests;
