//! Event bodies as JSON, which an operator can read: `SELECT body FROM events`.
//!
//! A field may be added with `#[serde(default)]`; whatever an older program would misread needs a new version.

use std::collections::BTreeMap;

use evergrant_core::clock::Timestamp;
use evergrant_core::events::{
    ClientBraked, ClientRecovered, ClientRejected, ClientReleased, CredentialDeleted,
    CredentialInvalidated, CredentialRestored, EventBody, IntegrationStatusChanged,
    ReauthorizationDue,
};
use evergrant_core::ids::{CredentialKey, Generation, IntegrationId, IntegrationKey, ProviderName};
use evergrant_core::store::StoreError;
use serde::{Deserialize, Serialize};

use super::names::Stored;
use super::row;

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Versioned {
    v: u8,
    #[serde(flatten)]
    payload: Payload,
}

type Labels = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
enum Payload {
    CredentialInvalidated {
        tenant: String,
        credential: String,
        provider: String,
        generation: u64,
        reason: String,
        provider_error: String,
        message: String,
        integrations: Vec<String>,
        at: i64,
        labels: Labels,
    },
    CredentialRestored {
        tenant: String,
        credential: String,
        provider: String,
        generation: u64,
        integrations: Vec<String>,
        at: i64,
        labels: Labels,
    },
    CredentialDeleted {
        tenant: String,
        credential: String,
        provider: String,
        integrations: Vec<String>,
        labels: Labels,
    },
    IntegrationStatusChanged {
        tenant: String,
        integration: String,
        from: String,
        to: String,
        cause: String,
    },
    ReauthorizationDue {
        tenant: String,
        credential: String,
        provider: String,
        generation: u64,
        due_at: i64,
        labels: Labels,
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
}

/// The text to store.
pub(super) fn write(body: &EventBody) -> String {
    let versioned = Versioned {
        v: VERSION,
        payload: payload(body),
    };
    serde_json::to_string(&versioned).expect("strings, numbers and maps of strings are JSON")
}

/// The body of the event `seq`, from the stored text.
pub(super) fn read(seq: u64, text: &str) -> Result<EventBody, StoreError> {
    let versioned: Versioned = serde_json::from_str(text)
        .map_err(|error| row::corrupt(format!("the body of event {seq}: {error}")))?;
    if versioned.v != VERSION {
        let version = versioned.v;
        return Err(row::corrupt(format!("event {seq} is of version {version}")));
    }
    body(versioned.payload)
}

fn payload(body: &EventBody) -> Payload {
    match body.clone() {
        EventBody::CredentialInvalidated(event) => {
            let (tenant, credential) = names(event.credential);
            Payload::CredentialInvalidated {
                tenant,
                credential,
                provider: event.provider.to_string(),
                generation: event.generation.0,
                reason: event.reason.as_str().to_owned(),
                provider_error: event.provider_error,
                message: event.message,
                integrations: ids(&event.integrations),
                at: event.at.as_millis(),
                labels: event.labels,
            }
        }
        EventBody::CredentialRestored(event) => {
            let (tenant, credential) = names(event.credential);
            Payload::CredentialRestored {
                tenant,
                credential,
                provider: event.provider.to_string(),
                generation: event.generation.0,
                integrations: ids(&event.integrations),
                at: event.at.as_millis(),
                labels: event.labels,
            }
        }
        EventBody::CredentialDeleted(event) => {
            let (tenant, credential) = names(event.credential);
            Payload::CredentialDeleted {
                tenant,
                credential,
                provider: event.provider.to_string(),
                integrations: ids(&event.integrations),
                labels: event.labels,
            }
        }
        EventBody::IntegrationStatusChanged(event) => Payload::IntegrationStatusChanged {
            tenant: event.integration.tenant.to_string(),
            integration: event.integration.id.to_string(),
            from: event.from.name().to_owned(),
            to: event.to.name().to_owned(),
            cause: event.cause,
        },
        EventBody::ReauthorizationDue(event) => {
            let (tenant, credential) = names(event.credential);
            Payload::ReauthorizationDue {
                tenant,
                credential,
                provider: event.provider.to_string(),
                generation: event.generation.0,
                due_at: event.due_at.as_millis(),
                labels: event.labels,
            }
        }
        EventBody::ClientRejected(event) => Payload::ClientRejected {
            provider: event.client.provider.to_string(),
            client: event.client.client.to_string(),
            provider_error: event.provider_error,
            message: event.message,
        },
        EventBody::ClientRecovered(event) => Payload::ClientRecovered {
            provider: event.client.provider.to_string(),
            client: event.client.client.to_string(),
        },
        EventBody::ClientBraked(event) => Payload::ClientBraked {
            provider: event.client.provider.to_string(),
            client: event.client.client.to_string(),
            refused: event.refused,
            refreshed: event.refreshed,
            provider_error: event.provider_error,
        },
        EventBody::ClientReleased(event) => Payload::ClientReleased {
            provider: event.client.provider.to_string(),
            client: event.client.client.to_string(),
            retried: event.retried,
        },
    }
}

fn body(payload: Payload) -> Result<EventBody, StoreError> {
    Ok(match payload {
        Payload::CredentialInvalidated {
            tenant,
            credential,
            provider,
            generation,
            reason,
            provider_error,
            message,
            integrations,
            at,
            labels,
        } => EventBody::CredentialInvalidated(CredentialInvalidated {
            credential: row::credential_key(&tenant, &credential)?,
            provider: row::name(ProviderName::parse, &provider)?,
            generation: Generation(generation),
            reason: row::invalidation_reason(&reason)?,
            provider_error,
            message,
            integrations: read_ids(&integrations)?,
            at: Timestamp::from_millis(at),
            labels,
        }),
        Payload::CredentialRestored {
            tenant,
            credential,
            provider,
            generation,
            integrations,
            at,
            labels,
        } => EventBody::CredentialRestored(CredentialRestored {
            credential: row::credential_key(&tenant, &credential)?,
            provider: row::name(ProviderName::parse, &provider)?,
            generation: Generation(generation),
            integrations: read_ids(&integrations)?,
            at: Timestamp::from_millis(at),
            labels,
        }),
        Payload::CredentialDeleted {
            tenant,
            credential,
            provider,
            integrations,
            labels,
        } => EventBody::CredentialDeleted(CredentialDeleted {
            credential: row::credential_key(&tenant, &credential)?,
            provider: row::name(ProviderName::parse, &provider)?,
            integrations: read_ids(&integrations)?,
            labels,
        }),
        Payload::IntegrationStatusChanged {
            tenant,
            integration,
            from,
            to,
            cause,
        } => {
            let integration: IntegrationKey = row::integration_key(&tenant, &integration)?;
            EventBody::IntegrationStatusChanged(IntegrationStatusChanged {
                integration,
                from: row::word(&from)?,
                to: row::word(&to)?,
                cause,
            })
        }
        Payload::ReauthorizationDue {
            tenant,
            credential,
            provider,
            generation,
            due_at,
            labels,
        } => EventBody::ReauthorizationDue(ReauthorizationDue {
            credential: row::credential_key(&tenant, &credential)?,
            provider: row::name(ProviderName::parse, &provider)?,
            generation: Generation(generation),
            due_at: Timestamp::from_millis(due_at),
            labels,
        }),
        Payload::ClientRejected {
            provider,
            client,
            provider_error,
            message,
        } => EventBody::ClientRejected(ClientRejected {
            client: row::client_key(&provider, &client)?,
            provider_error,
            message,
        }),
        Payload::ClientRecovered { provider, client } => {
            EventBody::ClientRecovered(ClientRecovered {
                client: row::client_key(&provider, &client)?,
            })
        }
        Payload::ClientBraked {
            provider,
            client,
            refused,
            refreshed,
            provider_error,
        } => EventBody::ClientBraked(ClientBraked {
            client: row::client_key(&provider, &client)?,
            refused,
            refreshed,
            provider_error,
        }),
        Payload::ClientReleased {
            provider,
            client,
            retried,
        } => EventBody::ClientReleased(ClientReleased {
            client: row::client_key(&provider, &client)?,
            retried,
        }),
    })
}

fn names(key: CredentialKey) -> (String, String) {
    (key.tenant.to_string(), key.id.to_string())
}

fn ids(integrations: &[IntegrationId]) -> Vec<String> {
    integrations.iter().map(ToString::to_string).collect()
}

fn read_ids(integrations: &[String]) -> Result<Vec<IntegrationId>, StoreError> {
    let ids = integrations.iter();
    ids.map(|id| row::name(IntegrationId::parse, id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this version wrote must be read for as long as an event is kept.
    #[test]
    fn a_stored_event_of_version_1_is_read_and_says_what_it_is() {
        let text = r#"{"v":1,"kind":"CREDENTIAL_RESTORED","tenant":"t1","credential":"slack-7",
            "provider":"slack","generation":8,"integrations":["crm"],"at":1700000000000,
            "labels":{"team":"blue"},"added_later":true}"#;
        let body = read(1, text).unwrap();
        let EventBody::CredentialRestored(event) = &body else {
            panic!("{body:?}");
        };
        assert_eq!(event.credential.to_string(), "t1/slack-7");
        assert_eq!(
            (event.generation, event.integrations.len()),
            (Generation(8), 1)
        );
        let written = write(&body);
        assert!(written.starts_with(r#"{"v":1,"kind":"CREDENTIAL_RESTORED","tenant":"t1""#));
        assert_eq!(read(1, &written).unwrap(), body);
    }

    #[test]
    fn an_event_of_another_version_is_not_misread() {
        let text = r#"{"v":2,"kind":"CLIENT_RECOVERED","provider":"slack","client":"main"}"#;
        let error = read(7, text).unwrap_err().to_string();
        assert!(error.contains("event 7 is of version 2"), "{error}");
    }
}
