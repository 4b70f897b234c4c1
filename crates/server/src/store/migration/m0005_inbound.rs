//! What providers report by themselves: who is found by what, what was dealt with, and what was only reported.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0001_initial::execute;

pub(super) struct Inbound;

impl MigrationName for Inbound {
    fn name(&self) -> &str {
        "m0005_inbound"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Inbound {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// `refresh_hash` and `refresh_prefix` name a refresh token without telling it. A grant that was stored before has
/// neither until its next token set.
const SCHEMA: &str = "
ALTER TABLE grants ADD COLUMN invalid_reported BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE grants SET invalid_reported = TRUE WHERE invalid_reason = 'REPORTED';
ALTER TABLE grants ADD COLUMN refresh_hash {blob};
ALTER TABLE grants ADD COLUMN refresh_prefix {blob};
CREATE INDEX grants_provider_account ON grants (provider, account) WHERE account IS NOT NULL;
CREATE INDEX grants_refresh_hash ON grants (refresh_hash) WHERE refresh_hash IS NOT NULL;
CREATE INDEX grants_refresh_prefix ON grants (refresh_prefix) WHERE refresh_prefix IS NOT NULL;

CREATE TABLE deliveries (
    receiver {name} NOT NULL,
    id {blob} NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (receiver, id)
);
CREATE INDEX deliveries_seen ON deliveries (seen_at);
";
