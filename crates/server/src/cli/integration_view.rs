//! An integration as it is printed.

use std::collections::BTreeMap;

use evergrant_proto::v1::{self, IntegrationStatus};
use serde::Serialize;

use super::output::{Printable, Table};
use super::wire::{name_of, on_one_line, rfc3339, short, sorted};

/// An integration, named as in `resources.proto`.
#[derive(Debug, Serialize)]
pub struct IntegrationView {
    pub tenant_id: String,
    pub integration_id: String,
    pub credential_ids: Vec<String>,
    pub paused: bool,
    pub needs_config: bool,
    pub processing: bool,
    pub labels: BTreeMap<String, String>,
    pub status: String,
    pub cause: String,
    pub status_changed_at: Option<String>,
    pub etag: String,
}

/// A list of integrations.
#[derive(Debug, Serialize)]
pub struct IntegrationList {
    pub integrations: Vec<IntegrationView>,
}

impl From<v1::Integration> for IntegrationView {
    fn from(integration: v1::Integration) -> Self {
        let v1::Integration {
            tenant_id,
            integration_id,
            credential_ids,
            paused,
            needs_config,
            processing,
            labels,
            status,
            cause,
            status_changed_at,
            etag,
        } = integration;
        Self {
            tenant_id,
            integration_id,
            credential_ids,
            paused,
            needs_config,
            processing,
            labels: sorted(labels),
            status: name_of(status, IntegrationStatus::as_str_name),
            cause,
            status_changed_at: rfc3339(status_changed_at),
            etag,
        }
    }
}

impl IntegrationView {
    /// The status in one word.
    pub fn short_status(&self) -> String {
        short(&self.status, "INTEGRATION_STATUS_")
    }
}

impl Printable for IntegrationView {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.field("integration", &self.integration_id);
        table.field("tenant", &self.tenant_id);
        table.field("status", self.short_status());
        table.field("cause", &self.cause);
        table.field(
            "since",
            self.status_changed_at.as_deref().unwrap_or_default(),
        );
        table.field("credentials", self.credential_ids.join(", "));
        table.field("labels", on_one_line(&self.labels));
        table.field("etag", &self.etag);
        table
    }
}

impl Printable for IntegrationList {
    fn table(&self) -> Table {
        let mut table = Table::with_header(&["INTEGRATION", "STATUS", "CREDENTIALS", "CAUSE"]);
        for integration in &self.integrations {
            table.row([
                integration.integration_id.clone(),
                integration.short_status(),
                integration.credential_ids.join(","),
                integration.cause.clone(),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> IntegrationView {
        v1::Integration {
            integration_id: "sync".into(),
            credential_ids: vec!["a".into(), "b".into()],
            status: IntegrationStatus::Error.into(),
            cause: "credential a was invalidated: token_revoked".into(),
            etag: "3".into(),
            ..Default::default()
        }
        .into()
    }

    #[test]
    fn tables_show_status_and_cause() {
        assert_eq!(
            broken().table().to_string(),
            "integration  sync\n\
             status       error\n\
             cause        credential a was invalidated: token_revoked\n\
             credentials  a, b\n\
             etag         3\n"
        );
        let list = IntegrationList {
            integrations: vec![broken()],
        };
        assert_eq!(
            list.table().to_string(),
            "INTEGRATION  STATUS  CREDENTIALS  CAUSE\n\
             sync         error   a,b          credential a was invalidated: token_revoked\n"
        );
    }

    #[test]
    fn json_has_the_names_of_the_proto_files() {
        let json = serde_json::to_value(broken()).unwrap();
        assert_eq!(json["status"], "INTEGRATION_STATUS_ERROR");
        assert_eq!(json["credential_ids"][1], "b");
        assert_eq!(json["paused"], false);
    }
}
