//! Sealed values are found by the key that sealed them.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct KeyIndex;

impl MigrationName for KeyIndex {
    fn name(&self) -> &str {
        "m0007_key_index"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for KeyIndex {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["grants", "orphans"] {
            let index = format!("CREATE INDEX {table}_key ON {table} (key_id, id)");
            manager.get_connection().execute_unprepared(&index).await?;
        }
        Ok(())
    }
}
