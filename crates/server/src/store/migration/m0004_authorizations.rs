//! Consents that have begun.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Authorizations;

impl MigrationName for Authorizations {
    fn name(&self) -> &str {
        "m0004_authorizations"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Authorizations {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (name, blob) = match manager.get_database_backend() {
            DbBackend::Postgres => ("TEXT COLLATE \"C\"", "BYTEA"),
            _ => ("TEXT", "BLOB"),
        };
        let table = format!(
            "CREATE TABLE authorizations (
                state {name} NOT NULL PRIMARY KEY,
                tenant {name} NOT NULL,
                payload {blob} NOT NULL,
                key_id TEXT NOT NULL,
                expires_at BIGINT NOT NULL
            )"
        );
        let index = "CREATE INDEX authorizations_expiry ON authorizations (expires_at)";
        let connection = manager.get_connection();
        connection.execute_unprepared(&table).await?;
        connection.execute_unprepared(index).await?;
        Ok(())
    }
}
