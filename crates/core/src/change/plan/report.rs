//! A provider reports that grants died.

use super::derived::forget_derived;
use super::grant::{invalidate_all, is_dead, report_death, users};
use crate::change::{ChangeSet, Snapshot, Write};
use crate::grant::{GrantFacts, Invalidation};
use crate::report::Report;

/// What a report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reported {
    /// Grants that it invalidated.
    pub grants: u64,
    /// Credentials that use them.
    pub credentials: u64,
}

/// Every active grant in a snapshot of [`Scope::Report`](crate::change::Scope::Report) dies, the death of those that had
/// been found dead is reported, and the delivery is remembered, unless there may be more such grants than the scope's `limit`: then the change is only a part, and the
/// `false` beside its outcome asks for another.
///
/// `None` if the delivery is remembered already.
pub fn report(
    snapshot: &Snapshot,
    report: &Report,
    limit: u32,
) -> Option<(ChangeSet, (Reported, bool))> {
    if snapshot.delivered {
        return None;
    }
    // What is derived from another grant goes with that one.
    let concerned = snapshot.grants.iter();
    let concerned = concerned.filter(|grant| grant.parent.is_none());
    let (dead, grants): (Vec<&GrantFacts>, Vec<_>) = concerned.partition(|grant| is_dead(grant));
    let invalidation = Invalidation {
        reason: report.reason,
        provider_error: report.event.clone(),
        message: report.message.clone(),
        at: snapshot.now,
        reported: true,
    };
    let mut change = invalidate_all(snapshot, &grants, None, &invalidation);
    let unreported = dead
        .into_iter()
        .filter(|grant| !grant.state.is_reported_dead());
    change.writes.extend(unreported.map(report_death));
    for grant in &grants {
        forget_derived(snapshot, &grant.id, &mut change.writes);
    }
    let is_whole = snapshot.grants.len() < usize::try_from(limit).unwrap_or(usize::MAX);
    if is_whole {
        let remember = Write::RememberDelivery(report.delivery.clone());
        change.writes.push(remember);
    }
    let reported = Reported {
        grants: count(grants.len()),
        credentials: grants
            .iter()
            .map(|grant| count(users(snapshot, &grant.id).count()))
            .sum(),
    };
    Some((change, (reported, is_whole)))
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
