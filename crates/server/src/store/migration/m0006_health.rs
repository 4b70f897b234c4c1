//! Brakes of OAuth clients, the refusals that engage them, and the grants that they hold.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0001_initial::execute;

pub(super) struct Health;

impl MigrationName for Health {
    fn name(&self) -> &str {
        "m0006_health"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Health {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// A grant with a `suspect_reason` is held; the words of its refusal are in `invalid_error`, `invalid_message` and
/// `invalid_at`. A client with a row in `brakes` is braked.
const SCHEMA: &str = "
ALTER TABLE grants ADD COLUMN suspect_reason TEXT;
CREATE INDEX grants_suspect ON grants (provider, client, id) WHERE suspect_reason IS NOT NULL;

CREATE TABLE refusals (
    provider {name} NOT NULL,
    client {name} NOT NULL,
    grant_id {name} NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (provider, client, grant_id)
);

CREATE TABLE brakes (
    provider {name} NOT NULL,
    client {name} NOT NULL,
    since BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    refreshed BIGINT NOT NULL,
    provider_error TEXT NOT NULL,
    next_probe_at BIGINT NOT NULL,
    PRIMARY KEY (provider, client)
);

ALTER TABLE clients ADD COLUMN rejected_at BIGINT;
";
