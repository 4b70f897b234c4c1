//! A provider rejects an OAuth client, or accepts it again.

use crate::change::{ChangeSet, ClientHealth, Snapshot, Write};
use crate::events::{ClientRecovered, ClientRejected, EventBody};
use crate::ids::ClientKey;

/// A client is rejected: told once, however many calls and replicas meet the rejection. `None` if it is known.
pub fn client_rejected(
    snapshot: &Snapshot,
    client: &ClientKey,
    provider_error: &str,
    message: &str,
) -> Option<ChangeSet> {
    if snapshot.client.as_ref().is_some_and(|known| known.rejected) {
        return None;
    }
    let health = ClientHealth {
        client: client.clone(),
        rejected: true,
        since: snapshot.now,
        provider_error: provider_error.to_owned(),
        message: message.to_owned(),
        rejected_at: Some(snapshot.now),
    };
    let event = EventBody::ClientRejected(ClientRejected {
        client: client.clone(),
        provider_error: provider_error.to_owned(),
        message: message.to_owned(),
    });
    Some(change(snapshot, health, event))
}

/// A client is accepted again. `None` if it was not known to be rejected.
pub fn client_recovered(snapshot: &Snapshot, client: &ClientKey) -> Option<ChangeSet> {
    let known = snapshot.client.as_ref().filter(|known| known.rejected)?;
    let health = ClientHealth {
        rejected: false,
        since: snapshot.now,
        ..known.clone()
    };
    let event = EventBody::ClientRecovered(ClientRecovered {
        client: client.clone(),
    });
    Some(change(snapshot, health, event))
}

fn change(snapshot: &Snapshot, health: ClientHealth, event: EventBody) -> ChangeSet {
    ChangeSet {
        revision: snapshot.revision,
        writes: vec![Write::SetClientHealth(health)],
        events: vec![event],
    }
}

#[cfg(test)]
mod tests;
