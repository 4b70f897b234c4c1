//! Which grants were deleted lately.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0001_initial::execute;

pub(super) struct DeletedGrants;

impl MigrationName for DeletedGrants {
    fn name(&self) -> &str {
        "m0016_deleted_grants"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for DeletedGrants {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// A replica of an earlier version notes nothing here when it deletes a grant.
const SCHEMA: &str = "
CREATE TABLE deleted_grants (
    id TEXT NOT NULL PRIMARY KEY,
    deleted_at BIGINT NOT NULL
);
CREATE INDEX deleted_grants_at ON deleted_grants (deleted_at);
";
