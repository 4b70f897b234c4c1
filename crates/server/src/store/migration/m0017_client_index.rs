//! The grants of a client are found along an index.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0001_initial::execute;

pub(super) struct ClientIndex;

impl MigrationName for ClientIndex {
    fn name(&self) -> &str {
        "m0017_client_index"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for ClientIndex {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// In the order in which they are looked at when one is to be the probe of a rejected client.
const SCHEMA: &str = "
CREATE INDEX grants_client ON grants (provider, client, expires_at, id) WHERE invalid_reason IS NULL;
";
