//! What attempts to refresh came to, and the events of a credential.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0001_initial::execute;

pub(super) struct Attempts;

impl MigrationName for Attempts {
    fn name(&self) -> &str {
        "m0009_attempts"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Attempts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// The attempts of a grant go round in so many slots as are remembered, so nobody need count them. Of a call that
/// brought no tokens the last three columns tell, if `failed`; `left_generation` is null unless the grant is known to work.
const SCHEMA: &str = "
CREATE TABLE attempts (
    grant_id {name} NOT NULL,
    slot BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    replica {name} NOT NULL,
    cause TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    base BIGINT NOT NULL,
    left_generation BIGINT,
    took_over BOOLEAN NOT NULL,
    calls BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    failed BOOLEAN NOT NULL,
    http_status BIGINT,
    error_code TEXT,
    error_message TEXT,
    PRIMARY KEY (grant_id, slot)
) {hot};
CREATE INDEX attempts_began ON attempts (began_at);

CREATE INDEX events_credential ON events (tenant, credential, seq) WHERE credential IS NOT NULL;
";
