//! An event as it is printed: one line each.

use std::collections::BTreeMap;

use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{self, IntegrationStatus, InvalidationReason, WatchResponse};
use serde::Serialize;

use crate::cli::wire::{name_of, rfc3339, short, sorted};

/// A message of the stream, named as in `event_service.proto`.
#[derive(Debug, Serialize)]
pub struct EventView {
    cursor: String,
    event_id: String,
    event_time: Option<String>,
    covers_after: u64,
    covers_to: u64,
    #[serde(flatten)]
    body: Option<Body>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    CredentialInvalidated {
        tenant_id: String,
        credential_id: String,
        provider: String,
        generation: u64,
        reason: String,
        provider_error: String,
        message: String,
        integration_ids: Vec<String>,
        invalidated_at: Option<String>,
        snapshot: bool,
        labels: BTreeMap<String, String>,
    },
    CredentialRestored {
        tenant_id: String,
        credential_id: String,
        provider: String,
        generation: u64,
        integration_ids: Vec<String>,
        restored_at: Option<String>,
        labels: BTreeMap<String, String>,
    },
    CredentialDeleted {
        tenant_id: String,
        credential_id: String,
        provider: String,
        integration_ids: Vec<String>,
        labels: BTreeMap<String, String>,
    },
    IntegrationStatusChanged {
        tenant_id: String,
        integration_id: String,
        from: String,
        to: String,
        cause: String,
    },
    ReauthorizationDue {
        tenant_id: String,
        credential_id: String,
        provider: String,
        generation: u64,
        due_at: Option<String>,
        labels: BTreeMap<String, String>,
    },
    ClientRejected {
        provider: String,
        client: String,
        provider_error: String,
        message: String,
    },
    ClientRecovered {
        provider: String,
        client: String,
    },
    ClientBraked {
        provider: String,
        client: String,
        refused: u64,
        refreshed: u64,
        provider_error: String,
    },
    ClientReleased {
        provider: String,
        client: String,
        retried: u64,
    },
    Heartbeat {},
    SnapshotEnd {
        invalidated_count: u64,
    },
    Closing {
        reason: String,
    },
}

impl From<WatchResponse> for EventView {
    fn from(message: WatchResponse) -> Self {
        let WatchResponse {
            cursor,
            event_id,
            event_time,
            covers_after,
            covers_to,
            event,
        } = message;
        Self {
            cursor,
            event_id,
            event_time: rfc3339(event_time),
            covers_after,
            covers_to,
            body: event.map(Body::from),
        }
    }
}

impl From<Event> for Body {
    fn from(event: Event) -> Self {
        match event {
            Event::CredentialInvalidated(v1::CredentialInvalidated {
                tenant_id,
                credential_id,
                provider,
                generation,
                reason,
                provider_error,
                message,
                integration_ids,
                invalidated_at,
                snapshot,
                labels,
            }) => Self::CredentialInvalidated {
                tenant_id,
                credential_id,
                provider,
                generation,
                reason: name_of(reason, InvalidationReason::as_str_name),
                provider_error,
                message,
                integration_ids,
                invalidated_at: rfc3339(invalidated_at),
                snapshot,
                labels: sorted(labels),
            },
            Event::CredentialRestored(v1::CredentialRestored {
                tenant_id,
                credential_id,
                provider,
                generation,
                integration_ids,
                restored_at,
                labels,
            }) => Self::CredentialRestored {
                tenant_id,
                credential_id,
                provider,
                generation,
                integration_ids,
                restored_at: rfc3339(restored_at),
                labels: sorted(labels),
            },
            Event::CredentialDeleted(v1::CredentialDeleted {
                tenant_id,
                credential_id,
                provider,
                integration_ids,
                labels,
            }) => Self::CredentialDeleted {
                tenant_id,
                credential_id,
                provider,
                integration_ids,
                labels: sorted(labels),
            },
            Event::IntegrationStatusChanged(v1::IntegrationStatusChanged {
                tenant_id,
                integration_id,
                from,
                to,
                cause,
            }) => Self::IntegrationStatusChanged {
                tenant_id,
                integration_id,
                from: name_of(from, IntegrationStatus::as_str_name),
                to: name_of(to, IntegrationStatus::as_str_name),
                cause,
            },
            Event::ReauthorizationDue(v1::ReauthorizationDue {
                tenant_id,
                credential_id,
                provider,
                generation,
                due_at,
                labels,
            }) => Self::ReauthorizationDue {
                tenant_id,
                credential_id,
                provider,
                generation,
                due_at: rfc3339(due_at),
                labels: sorted(labels),
            },
            Event::ClientRejected(v1::ClientRejected {
                provider,
                client,
                provider_error,
                message,
            }) => Self::ClientRejected {
                provider,
                client,
                provider_error,
                message,
            },
            Event::ClientRecovered(v1::ClientRecovered { provider, client }) => {
                Self::ClientRecovered { provider, client }
            }
            Event::ClientBraked(v1::ClientBraked {
                provider,
                client,
                refused,
                refreshed,
                provider_error,
            }) => Self::ClientBraked {
                provider,
                client,
                refused,
                refreshed,
                provider_error,
            },
            Event::ClientReleased(v1::ClientReleased {
                provider,
                client,
                retried,
            }) => Self::ClientReleased {
                provider,
                client,
                retried,
            },
            Event::Heartbeat(v1::Heartbeat {}) => Self::Heartbeat {},
            Event::SnapshotEnd(v1::SnapshotEnd { invalidated_count }) => {
                Self::SnapshotEnd { invalidated_count }
            }
            Event::Closing(v1::Closing { reason, .. }) => Self::Closing { reason },
        }
    }
}

/// The event as one line for people: time, kind, what it is about, what happened.
pub fn line(view: &EventView) -> String {
    let (kind, about) = match &view.body {
        None => ("unknown", String::new()),
        Some(body) => body.in_words(),
    };
    let time = view.event_time.as_deref().unwrap_or("-");
    format!("{time:<24}  {kind:<26}  {about}")
        .trim_end()
        .replace(char::is_control, " ")
}

impl Body {
    fn in_words(&self) -> (&'static str, String) {
        match self {
            Self::CredentialInvalidated {
                tenant_id,
                credential_id,
                provider,
                generation,
                reason,
                provider_error,
                integration_ids,
                snapshot,
                ..
            } => {
                let reason = short(reason, "INVALIDATION_REASON_");
                let code = match provider_error.as_str() {
                    "" => String::new(),
                    code => format!(" ({code})"),
                };
                let old = if *snapshot { ", already known" } else { "" };
                let about = format!(
                    "{tenant_id}/{credential_id} of {provider}, generation {generation}: {reason}{code}{}{old}",
                    needed_by(integration_ids)
                );
                ("credential_invalidated", about)
            }
            Self::CredentialRestored {
                tenant_id,
                credential_id,
                provider,
                generation,
                integration_ids,
                ..
            } => {
                let about = format!(
                    "{tenant_id}/{credential_id} of {provider}, generation {generation}{}",
                    needed_by(integration_ids)
                );
                ("credential_restored", about)
            }
            Self::CredentialDeleted {
                tenant_id,
                credential_id,
                provider,
                integration_ids,
                ..
            } => {
                let about = format!(
                    "{tenant_id}/{credential_id} of {provider}{}",
                    needed_by(integration_ids)
                );
                ("credential_deleted", about)
            }
            Self::IntegrationStatusChanged {
                tenant_id,
                integration_id,
                from,
                to,
                cause,
            } => {
                let short = |status| short(status, "INTEGRATION_STATUS_");
                let (from, to) = (short(from), short(to));
                let cause = match cause.as_str() {
                    "" => String::new(),
                    cause => format!(": {cause}"),
                };
                let about = format!("{tenant_id}/{integration_id}, {from} to {to}{cause}");
                ("integration_status_changed", about)
            }
            Self::ReauthorizationDue {
                tenant_id,
                credential_id,
                provider,
                due_at,
                ..
            } => {
                let due_at = due_at.as_deref().unwrap_or("an unknown time");
                let about = format!("{tenant_id}/{credential_id} of {provider} ends at {due_at}");
                ("reauthorization_due", about)
            }
            Self::ClientRejected {
                provider,
                client,
                provider_error,
                message,
            } => {
                let why: Vec<_> = [provider_error.as_str(), message.as_str()]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .collect();
                let about = format!("{client} of {provider}: {}", why.join(", "));
                ("client_rejected", about)
            }
            Self::ClientRecovered { provider, client } => {
                ("client_recovered", format!("{client} of {provider}"))
            }
            Self::ClientBraked {
                provider,
                client,
                refused,
                refreshed,
                provider_error,
            } => {
                let about = format!(
                    "{client} of {provider}: {refused} refused, {refreshed} refreshed, {provider_error}"
                );
                ("client_braked", about)
            }
            Self::ClientReleased {
                provider,
                client,
                retried,
            } => {
                let about = format!("{client} of {provider}: {retried} tried again");
                ("client_released", about)
            }
            Self::Heartbeat {} => ("heartbeat", String::new()),
            Self::SnapshotEnd { invalidated_count } => {
                ("snapshot_end", format!("{invalidated_count} invalid"))
            }
            Self::Closing { reason } => ("closing", reason.clone()),
        }
    }
}

fn needed_by(integrations: &[String]) -> String {
    match integrations {
        [] => String::new(),
        integrations => format!(", needed by {}", integrations.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(event: Event) -> EventView {
        WatchResponse {
            cursor: "c1".into(),
            event_id: "e1".into(),
            event_time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            covers_after: 1,
            covers_to: 2,
            event: Some(event),
        }
        .into()
    }

    #[test]
    fn an_event_is_one_json_object_named_as_in_the_proto_file() {
        let shown = view(Event::CredentialInvalidated(v1::CredentialInvalidated {
            credential_id: "slack-7".into(),
            reason: InvalidationReason::GrantRevoked.into(),
            ..Default::default()
        }));
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(json["cursor"], "c1");
        assert_eq!(json["covers_to"], 2);
        assert_eq!(json["event_time"], "1970-01-01T00:00:00Z");
        assert_eq!(json["credential_invalidated"]["credential_id"], "slack-7");
        assert_eq!(
            json["credential_invalidated"]["reason"],
            "INVALIDATION_REASON_GRANT_REVOKED"
        );
        let heartbeat = serde_json::to_value(view(Event::Heartbeat(v1::Heartbeat {}))).unwrap();
        assert_eq!(heartbeat["heartbeat"], serde_json::json!({}));
    }

    #[test]
    fn an_event_is_one_readable_line() {
        for (event, expected) in [
            (
                Event::CredentialInvalidated(v1::CredentialInvalidated {
                    tenant_id: "acme".into(),
                    credential_id: "slack-7".into(),
                    provider: "slack".into(),
                    generation: 4,
                    reason: InvalidationReason::GrantRevoked.into(),
                    provider_error: "token_revoked".into(),
                    integration_ids: vec!["crm".into(), "bot\n".into()],
                    snapshot: true,
                    ..Default::default()
                }),
                "1970-01-01T00:00:00Z      credential_invalidated      acme/slack-7 of slack, generation 4: \
                 grant_revoked (token_revoked), needed by crm, bot , already known",
            ),
            (
                Event::IntegrationStatusChanged(v1::IntegrationStatusChanged {
                    tenant_id: "acme".into(),
                    integration_id: "crm".into(),
                    from: IntegrationStatus::Enabled.into(),
                    to: IntegrationStatus::NeedsConfig.into(),
                    cause: String::new(),
                }),
                "1970-01-01T00:00:00Z      integration_status_changed  acme/crm, enabled to needs_config",
            ),
            (
                Event::SnapshotEnd(v1::SnapshotEnd {
                    invalidated_count: 3,
                }),
                "1970-01-01T00:00:00Z      snapshot_end                3 invalid",
            ),
        ] {
            assert_eq!(line(&view(event)), expected);
        }
    }
}
