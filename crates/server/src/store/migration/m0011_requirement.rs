//! What a program must know to use the schema.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0001_initial::execute;

pub(super) struct Requirement;

impl MigrationName for Requirement {
    fn name(&self) -> &str {
        "m0011_requirement"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Requirement {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// `migration` is the newest one that a program must know. Its row is written by whoever migrates.
const SCHEMA: &str = "
CREATE TABLE schema_requirement (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    migration TEXT NOT NULL
);
";
