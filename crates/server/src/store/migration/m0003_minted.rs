//! Grants that are minted, one for each set of scopes.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Minted;

impl MigrationName for Minted {
    fn name(&self) -> &str {
        "m0003_minted"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Minted {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = match manager.get_database_backend() {
            DbBackend::Postgres => "TEXT COLLATE \"C\"",
            _ => "TEXT",
        };
        let parent = format!(
            "ALTER TABLE grants ADD COLUMN parent {name}
                REFERENCES grants (id) DEFERRABLE INITIALLY DEFERRED"
        );
        let statements = [
            parent.as_str(),
            "ALTER TABLE grants ADD COLUMN requested_scopes TEXT NOT NULL DEFAULT '[]'",
            "CREATE INDEX grants_parent ON grants (parent) WHERE parent IS NOT NULL",
        ];
        for statement in statements {
            manager
                .get_connection()
                .execute_unprepared(statement)
                .await?;
        }
        Ok(())
    }
}
