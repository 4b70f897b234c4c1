//! A credential as it is printed.

use std::collections::BTreeMap;

use evergrant_proto::v1::{self, CredentialState, GrantType, InvalidationReason};
use serde::Serialize;

use super::output::{Printable, Table};
use super::wire::{name_of, on_one_line, rfc3339, short, sorted};

/// A credential, named as in `resources.proto`.
#[derive(Debug, Serialize)]
pub struct CredentialView {
    pub tenant_id: String,
    pub credential_id: String,
    pub provider: String,
    pub client: String,
    pub grant_type: String,
    pub provider_account: String,
    pub labels: BTreeMap<String, String>,
    pub state: String,
    pub generation: u64,
    pub scopes: Vec<String>,
    pub created_at: Option<String>,
    pub refreshed_at: Option<String>,
    pub expires_at: Option<String>,
    pub refresh_expires_at: Option<String>,
    pub refreshable: bool,
    pub invalidation: Option<InvalidationView>,
    pub failed_attempts: u32,
    pub next_attempt_at: Option<String>,
    pub held: Option<InvalidationView>,
    pub etag: String,
    pub grant_id: String,
}

/// Why a credential is dead.
#[derive(Debug, Serialize)]
pub struct InvalidationView {
    pub reason: String,
    pub provider_error: String,
    pub message: String,
    pub invalidated_at: Option<String>,
}

/// A list of credentials.
#[derive(Debug, Serialize)]
pub struct CredentialList {
    pub credentials: Vec<CredentialView>,
}

impl From<v1::Credential> for CredentialView {
    fn from(credential: v1::Credential) -> Self {
        let v1::Credential {
            tenant_id,
            credential_id,
            provider,
            client,
            grant_type,
            provider_account,
            labels,
            state,
            generation,
            scopes,
            created_at,
            refreshed_at,
            expires_at,
            refresh_expires_at,
            refreshable,
            invalidation,
            failed_attempts,
            next_attempt_at,
            etag,
            grant_id,
            held,
        } = credential;
        Self {
            tenant_id,
            credential_id,
            provider,
            client,
            grant_type: name_of(grant_type, GrantType::as_str_name),
            provider_account,
            labels: sorted(labels),
            state: name_of(state, CredentialState::as_str_name),
            generation,
            scopes,
            created_at: rfc3339(created_at),
            refreshed_at: rfc3339(refreshed_at),
            expires_at: rfc3339(expires_at),
            refresh_expires_at: rfc3339(refresh_expires_at),
            refreshable,
            invalidation: invalidation.map(Into::into),
            failed_attempts,
            next_attempt_at: rfc3339(next_attempt_at),
            held: held.map(Into::into),
            etag,
            grant_id,
        }
    }
}

impl From<v1::Invalidation> for InvalidationView {
    fn from(invalidation: v1::Invalidation) -> Self {
        let v1::Invalidation {
            reason,
            provider_error,
            message,
            invalidated_at,
        } = invalidation;
        Self {
            reason: name_of(reason, InvalidationReason::as_str_name),
            provider_error,
            message,
            invalidated_at: rfc3339(invalidated_at),
        }
    }
}

impl CredentialView {
    /// Why it is dead, or what its provider says of it that is not believed yet.
    fn because(&self) -> String {
        match (&self.invalidation, &self.held) {
            (Some(dead), _) => dead.in_words(),
            (None, Some(held)) => format!("held: {}", held.in_words()),
            (None, None) => String::new(),
        }
    }

    /// Whether it is renewed without its user.
    pub fn renewal(&self) -> &'static str {
        match (&self.invalidation, self.refreshable) {
            (Some(_), _) => "no, it is dead",
            (None, true) => "yes",
            (None, false) => "no",
        }
    }

    /// The state in one word.
    pub fn short_state(&self) -> String {
        short(&self.state, "CREDENTIAL_STATE_")
    }
}

impl Printable for CredentialView {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.field("credential", &self.credential_id);
        table.field("tenant", &self.tenant_id);
        table.field("provider", &self.provider);
        table.field("client", &self.client);
        table.field("grant type", short(&self.grant_type, "GRANT_TYPE_"));
        table.field("account", &self.provider_account);
        table.field("grant", &self.grant_id);
        table.field("labels", on_one_line(&self.labels));
        table.field("state", self.short_state());
        if let Some(invalidation) = &self.invalidation {
            table.field("because", invalidation.in_words());
            table.field("message", &invalidation.message);
            table.field(
                "since",
                invalidation.invalidated_at.as_deref().unwrap_or_default(),
            );
        }
        if let Some(held) = &self.held {
            table.field("held", held.in_words());
            table.field("message", &held.message);
            table.field("since", held.invalidated_at.as_deref().unwrap_or_default());
        }
        table.field("generation", self.generation.to_string());
        table.field("scopes", self.scopes.join(" "));
        table.field("refreshable", self.renewal());
        for (name, time) in [
            ("created", &self.created_at),
            ("refreshed", &self.refreshed_at),
            ("expires", &self.expires_at),
            ("refresh ends", &self.refresh_expires_at),
            ("next attempt", &self.next_attempt_at),
        ] {
            table.field(name, time.as_deref().unwrap_or_default());
        }
        if self.failed_attempts > 0 {
            table.field("failed", self.failed_attempts.to_string());
        }
        table
    }
}

impl InvalidationView {
    /// The reason, and the provider's own code if it gave one.
    pub fn in_words(&self) -> String {
        let reason = short(&self.reason, "INVALIDATION_REASON_");
        match self.provider_error.as_str() {
            "" => reason,
            code => format!("{reason} ({code})"),
        }
    }
}

impl Printable for CredentialList {
    fn table(&self) -> Table {
        let names = [
            "CREDENTIAL",
            "PROVIDER",
            "CLIENT",
            "STATE",
            "GENERATION",
            "EXPIRES",
            "BECAUSE",
        ];
        let mut table = Table::with_header(&names);
        for credential in &self.credentials {
            table.row([
                credential.credential_id.clone(),
                credential.provider.clone(),
                credential.client.clone(),
                credential.short_state(),
                credential.generation.to_string(),
                credential.expires_at.clone().unwrap_or_default(),
                credential.because(),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> CredentialView {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        v1::Credential {
            tenant_id: "acme".into(),
            credential_id: "slack-7".into(),
            provider: "slack".into(),
            client: "slack-main".into(),
            grant_type: GrantType::AuthorizationCode.into(),
            labels: [("b", "2"), ("a", "1")]
                .map(|(k, v)| (k.into(), v.into()))
                .into(),
            state: CredentialState::Invalidated.into(),
            generation: 4,
            scopes: vec!["chat:write".into()],
            expires_at: at(60),
            refreshable: true,
            invalidation: Some(v1::Invalidation {
                reason: InvalidationReason::GrantRevoked.into(),
                provider_error: "token_revoked".into(),
                message: "the user\nuninstalled the app".into(),
                invalidated_at: at(30),
            }),
            ..Default::default()
        }
        .into()
    }

    #[test]
    fn a_credential_is_a_list_of_what_is_known() {
        assert_eq!(
            dead().table().to_string(),
            "credential   slack-7\n\
             tenant       acme\n\
             provider     slack\n\
             client       slack-main\n\
             grant type   authorization_code\n\
             labels       a=1, b=2\n\
             state        invalidated\n\
             because      grant_revoked (token_revoked)\n\
             message      the user uninstalled the app\n\
             since        1970-01-01T00:00:30Z\n\
             generation   4\n\
             scopes       chat:write\n\
             refreshable  no, it is dead\n\
             expires      1970-01-01T00:01:00Z\n"
        );
    }

    #[test]
    fn what_a_provider_says_of_a_held_credential_is_shown_though_it_is_active() {
        let dead = dead();
        let held = CredentialView {
            state: name_of(CredentialState::Active.into(), CredentialState::as_str_name),
            held: dead.invalidation,
            invalidation: None,
            ..dead
        };
        let shown = held.table().to_string();
        assert!(
            shown.contains("state        active\nheld         grant_revoked (token_revoked)\n"),
            "{shown}"
        );
        let list = CredentialList {
            credentials: vec![held],
        };
        let shown = list.table().to_string();
        assert!(
            shown.contains("held: grant_revoked (token_revoked)"),
            "{shown}"
        );
    }

    #[test]
    fn credentials_are_a_table_of_the_essentials() {
        let list = CredentialList {
            credentials: vec![dead()],
        };
        assert_eq!(
            list.table().to_string(),
            "CREDENTIAL  PROVIDER  CLIENT      STATE        GENERATION  EXPIRES               BECAUSE\n\
             slack-7     slack     slack-main  invalidated  4           1970-01-01T00:01:00Z  grant_revoked (token_revoked)\n"
        );
    }

    #[test]
    fn json_has_the_names_of_the_proto_files() {
        let json = serde_json::to_value(dead()).unwrap();
        assert_eq!(json["credential_id"], "slack-7");
        assert_eq!(json["state"], "CREDENTIAL_STATE_INVALIDATED");
        assert_eq!(json["generation"], 4);
        assert_eq!(json["expires_at"], "1970-01-01T00:01:00Z");
        assert_eq!(json["created_at"], serde_json::Value::Null);
        assert_eq!(
            json["invalidation"]["reason"],
            "INVALIDATION_REASON_GRANT_REVOKED"
        );
        assert_eq!(json["labels"]["b"], "2");
    }
}
