//! The schema's history. Migrations are applied in order, under a lock, in one transaction.

mod m0001_initial;
mod m0002_ageing;
mod m0003_minted;
mod m0004_authorizations;
mod m0005_inbound;
mod m0006_health;
mod m0007_key_index;
mod m0008_audit;
mod m0009_attempts;
mod m0010_kills;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use sea_orm_migration::{
    IntoSchemaManagerConnection, MigrationTrait, MigratorTrait, SchemaManager,
};

use super::open::OpenStoreError;
use super::sql::Sql;

/// Where sea-orm records what was applied.
const TABLE: &str = "seaql_migrations";

/// Any number that nobody else in the database locks.
const POSTGRES_LOCK: i64 = 0x0065_7665_7267_726e;

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Initial),
            Box::new(m0002_ageing::Ageing),
            Box::new(m0003_minted::Minted),
            Box::new(m0004_authorizations::Authorizations),
            Box::new(m0005_inbound::Inbound),
            Box::new(m0006_health::Health),
            Box::new(m0007_key_index::KeyIndex),
            Box::new(m0008_audit::Audit),
            Box::new(m0009_attempts::Attempts),
            Box::new(m0010_kills::Kills),
        ]
    }
}

/// Brings the schema up to date and answers how many migrations that took. Of several processes one does it,
/// and the others wait for it. Cancelled or failed, it leaves the schema as it was.
pub(super) async fn migrate(database: &DatabaseConnection) -> Result<u32, OpenStoreError> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = database.begin_with_options(options).await?;
    if database.get_database_backend() == DbBackend::Postgres {
        let lock = format!("SELECT pg_advisory_xact_lock({POSTGRES_LOCK})");
        transaction.execute_unprepared(&lock).await?;
    }
    let pending = check(&transaction).await?;
    if pending > 0 {
        Migrator::up(&transaction, None).await?;
    }
    transaction.commit().await?;
    Ok(pending)
}

/// How a schema stands to this program.
pub(super) enum Standing {
    /// There is none.
    Empty,
    /// It lacks so many migrations.
    Lacks(u32),
    /// It is as this program expects.
    UpToDate,
}

/// How the schema stands; an error if it is newer than this program. Changes nothing.
pub(super) async fn standing(database: &DatabaseConnection) -> Result<Standing, OpenStoreError> {
    let pending = check(database).await?;
    Ok(match usize::try_from(pending) {
        Ok(0) => Standing::UpToDate,
        Ok(pending) if pending == Migrator::migrations().len() => Standing::Empty,
        _ => Standing::Lacks(pending),
    })
}

/// How many migrations the database lacks; an error if it has one that this program does not know. Changes
/// nothing.
pub(super) async fn check<'c, C>(database: &'c C) -> Result<u32, OpenStoreError>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    let known = Migrator::migrations();
    let mut applied = Vec::new();
    if SchemaManager::new(database).has_table(TABLE).await? {
        let read = Sql::text(format!("SELECT version FROM {TABLE}"));
        let read = read.build(database.get_database_backend());
        for row in database.query_all_raw(read).await? {
            applied.push(row.try_get::<String>("", "version")?);
        }
    }
    let is_known = |name: &String| known.iter().any(|known| known.name() == name);
    if let Some(stranger) = applied.iter().find(|name| !is_known(name)) {
        return Err(OpenStoreError::Newer(stranger.clone()));
    }
    let pending = known.len().saturating_sub(applied.len());
    Ok(u32::try_from(pending).unwrap_or(u32::MAX))
}
