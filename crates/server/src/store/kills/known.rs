//! Whether anything is known of what a kill would take.

use evergrant_core::kill::KillTarget;
use evergrant_core::store::StoreError;

use crate::store::SqlStore;
use crate::store::sql::Sql;

impl SqlStore {
    /// Whether anything is stored of a target, alive or dead: credentials of the tenant, grants of the provider or the
    /// client, audit records of the caller, or its lockout.
    pub async fn knows_target(&self, target: &KillTarget) -> Result<bool, StoreError> {
        let some = |table: &str, column: &str, name: &str| {
            let text = format!("SELECT 1 AS known FROM {table} WHERE {column} = ?");
            Sql::new(text, [name.into()])
        };
        let read = match target {
            KillTarget::Tenant(tenant) => some("credentials", "tenant", tenant.as_str()),
            KillTarget::Provider(provider) => some("grants", "provider", provider.as_str()),
            KillTarget::Client(client) => some("grants", "client", client.as_str()),
            KillTarget::Caller { name, .. } => some("audit_records", "caller", name)
                .then_text(" UNION ALL ")
                .then(some(
                    "kills",
                    "lifted_at IS NULL AND kind = 'CALLER' AND name",
                    name,
                )),
        };
        let rows = self.rows(read.then_text(" LIMIT 1")).await?;
        Ok(!rows.is_empty())
    }
}
