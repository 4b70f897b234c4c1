//! What a change of the store means for the trail.

use evergrant_core::change::{ChangeSet, Write};
use evergrant_core::events::EventBody;
use evergrant_core::ids::{Generation, GrantId};

use super::record::{Act, Subject};

/// Something that happened to a grant, for each of its credentials.
pub(super) fn of_grant(
    action: &'static str,
    grant: &GrantId,
    generation: Option<Generation>,
    outcome: &'static str,
) -> Act {
    let subject = Subject {
        grant: Some(grant.clone()),
        generation,
        ..Subject::default()
    };
    Act {
        outcome,
        ..Act::of_evergrant(action, subject)
    }
}

/// What came about by `change`: a record for each credential that it concerns, so that one that shares its grant with
/// others shows what befell it.
pub(super) fn of_change(change: &ChangeSet) -> Vec<Act> {
    let written = change
        .writes
        .iter()
        .filter_map(|write| of_write(change, write));
    written.chain(change.events.iter().map(of_event)).collect()
}

/// `None` for what an event tells, or the request that asked for it.
fn of_write(change: &ChangeSet, write: &Write) -> Option<Act> {
    match write {
        Write::InsertCredential(credential) => {
            let grant = change.writes.iter().find_map(|write| match write {
                Write::InsertGrant(new) if new.id == credential.grant => Some(new),
                _ => None,
            });
            let subject = Subject {
                client: grant.map(|grant| grant.client.clone()),
                generation: grant.map(|grant| grant.generation),
                ..Subject::credential(&credential.key)
            };
            Some(Act::of_evergrant("CredentialCreated", subject))
        }
        Write::StoreTokens {
            grant,
            next,
            consent: true,
            ..
        } => Some(of_grant(
            "CredentialReconnected",
            grant,
            Some(*next),
            super::OK,
        )),
        Write::KeepTokens { grant, .. } if !has_newcomer(change) => {
            Some(of_grant("CredentialReconnected", grant, None, super::OK))
        }
        Write::MoveCredential { key, to, .. } if !is_stored(change, to) => {
            let subject = Subject::credential(key);
            Some(Act::of_evergrant("CredentialReconnected", subject))
        }
        Write::HoldGrant {
            grant,
            generation,
            invalidation,
            ..
        } => {
            let held = of_grant("GrantHeld", grant, Some(*generation), super::OK);
            let detail = invalidation.provider_error.clone();
            Some(Act { detail, ..held })
        }
        Write::InsertGrant(_)
        | Write::StoreTokens { .. }
        | Write::KeepTokens { .. }
        | Write::InvalidateGrant { .. }
        | Write::ReportDeath { .. }
        | Write::NoteKilled(_)
        | Write::NoteRefusal { .. }
        | Write::SetBrake(_)
        | Write::ReleaseBrake { .. }
        | Write::DateGrant { .. }
        | Write::TouchGrant(_)
        | Write::DeleteGrant(_)
        | Write::UpdateCredentialLabels { .. }
        | Write::MoveCredential { .. }
        | Write::DeleteCredential(_)
        | Write::InsertIntegration(_)
        | Write::UpdateIntegration(_)
        | Write::DeleteIntegration(_)
        | Write::SetClientHealth(_)
        | Write::RememberDelivery(_) => None,
    }
}

/// Whether the change gives `grant` the tokens of a new consent, which is told of all its credentials.
fn is_stored(change: &ChangeSet, wanted: &GrantId) -> bool {
    let mut writes = change.writes.iter();
    writes.any(
        |write| matches!(write, Write::StoreTokens { grant, consent: true, .. } if grant == wanted),
    )
}

/// Whether a credential joins a grant by the change, which is told of that credential alone.
fn has_newcomer(change: &ChangeSet) -> bool {
    let mut writes = change.writes.iter();
    writes.any(|write| {
        matches!(
            write,
            Write::InsertCredential(_) | Write::MoveCredential { .. }
        )
    })
}

fn of_event(event: &EventBody) -> Act {
    let of = |action, subject, detail: String| Act {
        detail,
        ..Act::of_evergrant(action, subject)
    };
    match event {
        EventBody::CredentialInvalidated(event) => {
            let subject = Subject {
                provider: Some(event.provider.to_string()),
                ..Subject::credential(&event.credential).of(event.generation)
            };
            let (reason, code) = (event.reason.as_str(), &event.provider_error);
            let detail = match code.as_str() {
                "" => reason.to_owned(),
                code => format!("{reason}: {code}"),
            };
            of("CredentialInvalidated", subject, detail)
        }
        EventBody::CredentialRestored(event) => {
            let subject = Subject {
                provider: Some(event.provider.to_string()),
                ..Subject::credential(&event.credential).of(event.generation)
            };
            of("CredentialRestored", subject, String::new())
        }
        EventBody::CredentialDeleted(event) => {
            let subject = Subject {
                provider: Some(event.provider.to_string()),
                ..Subject::credential(&event.credential)
            };
            of("CredentialDeleted", subject, String::new())
        }
        EventBody::IntegrationStatusChanged(event) => {
            let subject = Subject::integration(&event.integration);
            let detail = format!("{:?}", event.to);
            of("IntegrationStatusChanged", subject, detail)
        }
        EventBody::ReauthorizationDue(event) => {
            let subject = Subject {
                provider: Some(event.provider.to_string()),
                ..Subject::credential(&event.credential).of(event.generation)
            };
            of("ReauthorizationDue", subject, String::new())
        }
        EventBody::ClientRejected(event) => {
            let subject = Subject::client(&event.client);
            of("ClientRejected", subject, event.provider_error.clone())
        }
        EventBody::ClientRecovered(event) => {
            let subject = Subject::client(&event.client);
            of("ClientRecovered", subject, String::new())
        }
        EventBody::ClientBraked(event) => {
            let subject = Subject::client(&event.client);
            of("ClientBraked", subject, event.provider_error.clone())
        }
        EventBody::ClientReleased(event) => {
            let subject = Subject::client(&event.client);
            of("ClientReleased", subject, String::new())
        }
    }
}

#[cfg(test)]
mod tests;
