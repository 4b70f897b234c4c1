//! Events.

use evergrant_core::events::{
    ClientBraked, ClientRecovered, ClientRejected, ClientReleased, CredentialDeleted,
    CredentialInvalidated, CredentialRestored, EventBody, EventKind, IntegrationStatusChanged,
    ReauthorizationDue,
};
use evergrant_core::ids::IntegrationId;
use evergrant_proto::v1;
use evergrant_proto::v1::watch_response::Event as Wire;

use super::{integration_status, invalidation_reason, to_timestamp};
use crate::grpc::status::ApiError;

/// An event for the wire.
pub fn to_event(body: &EventBody) -> Wire {
    match body {
        EventBody::CredentialInvalidated(event) => {
            Wire::CredentialInvalidated(to_invalidated(event, false))
        }
        EventBody::CredentialRestored(event) => Wire::CredentialRestored(to_restored(event)),
        EventBody::CredentialDeleted(event) => Wire::CredentialDeleted(to_deleted(event)),
        EventBody::IntegrationStatusChanged(event) => {
            Wire::IntegrationStatusChanged(to_status_changed(event))
        }
        EventBody::ReauthorizationDue(event) => Wire::ReauthorizationDue(to_due(event)),
        EventBody::ClientRejected(event) => Wire::ClientRejected(to_client_rejected(event)),
        EventBody::ClientRecovered(event) => Wire::ClientRecovered(to_client_recovered(event)),
        EventBody::ClientBraked(event) => Wire::ClientBraked(to_client_braked(event)),
        EventBody::ClientReleased(event) => Wire::ClientReleased(to_client_released(event)),
    }
}

/// A dead credential, as an event or as a part of a snapshot.
pub fn to_invalidated(event: &CredentialInvalidated, snapshot: bool) -> v1::CredentialInvalidated {
    let CredentialInvalidated {
        credential,
        provider,
        generation,
        reason,
        provider_error,
        message,
        integrations,
        at,
        labels,
    } = event;
    v1::CredentialInvalidated {
        tenant_id: credential.tenant.to_string(),
        credential_id: credential.id.to_string(),
        provider: provider.to_string(),
        generation: generation.0,
        reason: invalidation_reason(*reason).into(),
        provider_error: provider_error.clone(),
        message: message.clone(),
        integration_ids: names(integrations),
        invalidated_at: Some(to_timestamp(*at)),
        snapshot,
        labels: labels.clone().into_iter().collect(),
    }
}

fn to_restored(event: &CredentialRestored) -> v1::CredentialRestored {
    let CredentialRestored {
        credential,
        provider,
        generation,
        integrations,
        at,
        labels,
    } = event;
    v1::CredentialRestored {
        tenant_id: credential.tenant.to_string(),
        credential_id: credential.id.to_string(),
        provider: provider.to_string(),
        generation: generation.0,
        integration_ids: names(integrations),
        restored_at: Some(to_timestamp(*at)),
        labels: labels.clone().into_iter().collect(),
    }
}

fn to_deleted(event: &CredentialDeleted) -> v1::CredentialDeleted {
    let CredentialDeleted {
        credential,
        provider,
        integrations,
        labels,
    } = event;
    v1::CredentialDeleted {
        tenant_id: credential.tenant.to_string(),
        credential_id: credential.id.to_string(),
        provider: provider.to_string(),
        integration_ids: names(integrations),
        labels: labels.clone().into_iter().collect(),
    }
}

fn to_status_changed(event: &IntegrationStatusChanged) -> v1::IntegrationStatusChanged {
    let IntegrationStatusChanged {
        integration,
        from,
        to,
        cause,
    } = event;
    v1::IntegrationStatusChanged {
        tenant_id: integration.tenant.to_string(),
        integration_id: integration.id.to_string(),
        from: integration_status(*from).into(),
        to: integration_status(*to).into(),
        cause: cause.clone(),
    }
}

fn to_due(event: &ReauthorizationDue) -> v1::ReauthorizationDue {
    let ReauthorizationDue {
        credential,
        provider,
        generation,
        due_at,
        labels,
    } = event;
    v1::ReauthorizationDue {
        tenant_id: credential.tenant.to_string(),
        credential_id: credential.id.to_string(),
        provider: provider.to_string(),
        generation: generation.0,
        due_at: Some(to_timestamp(*due_at)),
        labels: labels.clone().into_iter().collect(),
    }
}

fn to_client_rejected(event: &ClientRejected) -> v1::ClientRejected {
    let ClientRejected {
        client,
        provider_error,
        message,
    } = event;
    v1::ClientRejected {
        provider: client.provider.to_string(),
        client: client.client.to_string(),
        provider_error: provider_error.clone(),
        message: message.clone(),
    }
}

fn to_client_recovered(event: &ClientRecovered) -> v1::ClientRecovered {
    let ClientRecovered { client } = event;
    v1::ClientRecovered {
        provider: client.provider.to_string(),
        client: client.client.to_string(),
    }
}

fn to_client_braked(event: &ClientBraked) -> v1::ClientBraked {
    let ClientBraked {
        client,
        refused,
        refreshed,
        provider_error,
    } = event;
    v1::ClientBraked {
        provider: client.provider.to_string(),
        client: client.client.to_string(),
        refused: *refused,
        refreshed: *refreshed,
        provider_error: provider_error.clone(),
    }
}

fn to_client_released(event: &ClientReleased) -> v1::ClientReleased {
    let ClientReleased { client, retried } = event;
    v1::ClientReleased {
        provider: client.provider.to_string(),
        client: client.client.to_string(),
        retried: *retried,
    }
}

fn names(integrations: &[IntegrationId]) -> Vec<String> {
    integrations.iter().map(ToString::to_string).collect()
}

/// A kind of event that a request names.
pub fn kind(value: i32) -> Result<EventKind, ApiError> {
    use v1::EventType as Type;
    match Type::try_from(value) {
        Ok(Type::CredentialInvalidated) => Ok(EventKind::CredentialInvalidated),
        Ok(Type::CredentialRestored) => Ok(EventKind::CredentialRestored),
        Ok(Type::CredentialDeleted) => Ok(EventKind::CredentialDeleted),
        Ok(Type::IntegrationStatusChanged) => Ok(EventKind::IntegrationStatusChanged),
        Ok(Type::ReauthorizationDue) => Ok(EventKind::ReauthorizationDue),
        Ok(Type::ClientRejected) => Ok(EventKind::ClientRejected),
        Ok(Type::ClientRecovered) => Ok(EventKind::ClientRecovered),
        Ok(Type::ClientBraked) => Ok(EventKind::ClientBraked),
        Ok(Type::ClientReleased) => Ok(EventKind::ClientReleased),
        Ok(Type::Unspecified) | Err(_) => Err(ApiError::invalid(
            "types",
            "holds a value that is no kind of event",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::grpc::sample::{ISSUED_AT, grant, key, revoked};

    fn invalidated() -> CredentialInvalidated {
        let dead = revoked();
        CredentialInvalidated {
            credential: key(),
            provider: grant().facts.client.provider,
            generation: grant().facts.generation,
            reason: dead.reason,
            provider_error: dead.provider_error,
            message: dead.message,
            integrations: ["billing", "crm"]
                .map(|id| IntegrationId::parse(id).unwrap())
                .into(),
            at: dead.at,
            labels: BTreeMap::from([("team".into(), "a".into())]),
        }
    }

    // B17, B46, W35, W41
    #[test]
    fn an_invalidation_tells_who_died_why_and_which_integrations_need_it() {
        let Wire::CredentialInvalidated(event) =
            to_event(&EventBody::CredentialInvalidated(invalidated()))
        else {
            panic!("another event");
        };
        assert_eq!(event.tenant_id, "acme");
        assert_eq!(event.credential_id, "slack-7");
        assert_eq!((event.provider.as_str(), event.generation), ("slack", 7));
        assert_eq!(event.reason(), v1::InvalidationReason::GrantRevoked);
        assert_eq!(event.provider_error, "token_revoked");
        assert_eq!(event.integration_ids, ["billing", "crm"]);
        assert_eq!(event.invalidated_at, Some(to_timestamp(revoked().at)));
        assert_eq!(event.labels["team"], "a");
        assert!(!event.snapshot);
        assert!(to_invalidated(&invalidated(), true).snapshot);
    }

    // W34
    #[test]
    fn a_restoration_tells_the_generation_that_works() {
        let CredentialInvalidated {
            credential,
            provider,
            integrations,
            labels,
            ..
        } = invalidated();
        let body = EventBody::CredentialRestored(CredentialRestored {
            generation: grant().facts.generation.next(),
            at: ISSUED_AT,
            credential,
            provider,
            integrations,
            labels,
        });
        let Wire::CredentialRestored(event) = to_event(&body) else {
            panic!("another event");
        };
        assert_eq!((&*event.credential_id, event.generation), ("slack-7", 8));
        assert_eq!(event.integration_ids, ["billing", "crm"]);
        assert_eq!(event.restored_at, Some(to_timestamp(ISSUED_AT)));
    }

    // B20
    #[test]
    fn a_kind_that_nobody_knows_is_refused() {
        assert_eq!(
            kind(v1::EventType::CredentialRestored.into()),
            Ok(EventKind::CredentialRestored)
        );
        for unknown in [0, 99, -1] {
            assert!(kind(unknown).unwrap_err().message().starts_with("types"));
        }
    }
}
