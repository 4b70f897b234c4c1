//! When rejected clients were probed.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0001_initial::execute;

pub(super) struct Probes;

impl MigrationName for Probes {
    fn name(&self) -> &str {
        "m0013_probes"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Probes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// By the database's clock. Only replicas that probe without being asked write it.
const SCHEMA: &str = "
ALTER TABLE clients ADD COLUMN probed_at BIGINT;
";
