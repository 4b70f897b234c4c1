//! A grant comes near to an end that no refresh moves.

use super::grant::{find, users};
use crate::ageing::Life;
use crate::change::{ChangeSet, Snapshot, Write};
use crate::events::{EventBody, ReauthorizationDue};
use crate::ids::GrantId;
use crate::provider::Renewal;

/// Reckons the dates of a grant anew and, where the time has come, tells each credential that uses it when it ends:
/// once for each step ahead of the end and each consent, and of several steps that have come only the nearest.
///
/// `None` if the grant is gone or dead, or if there is nothing to tell and its dates are right.
pub fn announce(snapshot: &Snapshot, id: &GrantId, renewal: &Renewal) -> Option<ChangeSet> {
    let grant = find(snapshot, id)?;
    if grant.state.invalidation().is_some() {
        return None;
    }
    let mut life = Life::of(grant);
    let end = life.dates(renewal).end;
    let ahead = end.and_then(|end| life.announcement(end, snapshot.now));
    life.announced = ahead.or(life.announced);
    let mut dates = life.dates(renewal);
    if end.is_some_and(|end| end.at <= snapshot.now) {
        // Too late to ask for anything: what is due next finds it dead.
        dates.announce_at = None;
    }
    if dates == grant.dates && life.announced == grant.announced {
        return None;
    }
    let due = end.filter(|_| ahead.is_some());
    let events = due.map(|end| {
        let due = users(snapshot, id).map(move |credential| {
            EventBody::ReauthorizationDue(ReauthorizationDue {
                credential: credential.key.clone(),
                provider: grant.client.provider.clone(),
                generation: grant.generation,
                due_at: end.at,
                labels: credential.labels.clone(),
            })
        });
        due.collect()
    });
    Some(ChangeSet {
        revision: snapshot.revision,
        writes: vec![Write::DateGrant {
            grant: id.clone(),
            generation: grant.generation,
            dates,
            announced: life.announced,
        }],
        events: events.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
