//! When grants end, and what was told of it.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Ageing;

impl MigrationName for Ageing {
    fn name(&self) -> &str {
        "m0002_ageing"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Ageing {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in SCHEMA.split(';').map(str::trim).filter(|s| !s.is_empty()) {
            manager
                .get_connection()
                .execute_unprepared(statement)
                .await?;
        }
        Ok(())
    }
}

/// Grants that have an end are to be announced at once, which is when their dates are reckoned; the others get
/// theirs with their next tokens.
const SCHEMA: &str = "
ALTER TABLE grants ADD COLUMN consented_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN renew_by BIGINT;
ALTER TABLE grants ADD COLUMN ends_at BIGINT;
ALTER TABLE grants ADD COLUMN end_of TEXT;
ALTER TABLE grants ADD COLUMN announce_at BIGINT;
ALTER TABLE grants ADD COLUMN announced BIGINT;
UPDATE grants SET consented_at = created_at;
UPDATE grants SET announce_at = issued_at WHERE invalid_reason IS NULL
    AND (refresh_expires_at IS NOT NULL OR (NOT refreshable AND expires_at IS NOT NULL));
CREATE INDEX grants_announce ON grants (announce_at) WHERE announce_at IS NOT NULL;
CREATE INDEX grants_end ON grants (ends_at) WHERE ends_at IS NOT NULL;
CREATE INDEX grants_renew ON grants (renew_by) WHERE renew_by IS NOT NULL;
";
