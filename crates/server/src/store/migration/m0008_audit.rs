//! The audit trail.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0001_initial::execute;

pub(super) struct Audit;

impl MigrationName for Audit {
    fn name(&self) -> &str {
        "m0008_audit"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Audit {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// A text that does not apply is empty, a generation that does not apply is 0. The one row of `audit_log` says where
/// the chain begins (`base`), up to where it was pruned, and where it ends.
const SCHEMA: &str = "
CREATE TABLE audit_log (
    id BIGINT NOT NULL PRIMARY KEY,
    chain_key {blob} NOT NULL,
    base BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    floor_mac {blob} NOT NULL,
    floor_seal {blob} NOT NULL,
    head BIGINT NOT NULL,
    head_mac {blob} NOT NULL,
    head_seal {blob} NOT NULL
) {hot};

CREATE TABLE audit_records (
    number BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    until BIGINT NOT NULL,
    count BIGINT NOT NULL,
    caller {name} NOT NULL,
    peer TEXT NOT NULL,
    action {name} NOT NULL,
    tenant {name} NOT NULL,
    credential {name} NOT NULL,
    integration {name} NOT NULL,
    provider {name} NOT NULL,
    client {name} NOT NULL,
    generation BIGINT NOT NULL,
    outcome {name} NOT NULL,
    detail TEXT NOT NULL,
    mac {blob} NOT NULL
);
CREATE INDEX audit_records_credential ON audit_records (tenant, credential, number);
CREATE INDEX audit_records_caller ON audit_records (caller, until);
";
