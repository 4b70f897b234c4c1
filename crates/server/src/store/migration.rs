//! The schema's history. Migrations are applied in order, under a lock, in one transaction.
//!
//! Programs of two versions use one database while replicas are replaced, and after a step back. So a migration only
//! adds: tables, columns that may be empty or have a default, indexes that refuse nothing. What is to go, goes a version
//! after the last program that uses it, and then [`REQUIRED`] is raised.

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
mod m0011_requirement;
mod m0012_accounts;
mod m0013_probes;
mod m0016_deleted_grants;
mod m0017_client_index;

use std::time::{Duration, Instant};

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::{
    IntoSchemaManagerConnection, MigrationTrait, MigratorTrait, SchemaManager,
};

use super::database::Database;
use super::open::OpenStoreError;
use super::session::Session;
use super::sql::Sql;

/// Where sea-orm records what was applied.
const TABLE: &str = "seaql_migrations";

/// The newest migration that a program must know to use this schema. Programs that know it and not what comes after it
/// go on: raise it only to the migration with which programs stopped to use what the newest one takes away.
const REQUIRED: &str = "m0011_requirement";

/// Where the requirement is recorded, for programs that do not know what comes after them.
const REQUIREMENT: &str = "schema_requirement";

/// How long to try for tables that others use.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);

/// Whoever waits for a table makes all others wait who come after. So a wait is short, and they have a turn before the
/// next one. What a migration does with a table once it has it may take its time.
const BOUNDS: &str = "SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = 0";

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
            Box::new(m0011_requirement::Requirement),
            Box::new(m0012_accounts::Accounts),
            Box::new(m0013_probes::Probes),
            Box::new(m0016_deleted_grants::DeletedGrants),
            Box::new(m0017_client_index::ClientIndex),
        ]
    }
}

/// Brings the schema up to date and answers how many migrations that took. Of several processes one does it,
/// and the others wait for it. Cancelled or failed, it leaves the schema as it was.
///
/// Replicas may go on meanwhile. A table that is in use for long is tried for again and again, for two minutes.
pub(super) async fn migrate(database: &Database) -> Result<u32, OpenStoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match try_to_migrate(database).await {
            Err(OpenStoreError::Locked(why)) if Instant::now() < deadline => {
                tracing::info!(error = why, "waiting for a table that is in use");
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

async fn try_to_migrate(database: &Database) -> Result<u32, OpenStoreError> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = database.writer.begin_with_options(options).await?;
    if let Some(opening) = &database.opening {
        transaction.execute_unprepared(opening).await?;
    }
    if database.backend() == DbBackend::Postgres {
        transaction.execute_unprepared(BOUNDS).await?;
        let lock = format!("SELECT pg_advisory_xact_lock({POSTGRES_LOCK})");
        transaction.execute_unprepared(&lock).await?;
    }
    let pending = check(&transaction).await?;
    if pending > 0 {
        Migrator::up(&transaction, None).await?;
        let backend = transaction.get_database_backend();
        let require = Sql::new(
            format!(
                "INSERT INTO {REQUIREMENT} (id, migration) VALUES (1, ?)
                 ON CONFLICT (id) DO UPDATE SET migration = excluded.migration"
            ),
            [REQUIRED.into()],
        );
        transaction.execute_raw(require.build(backend)).await?;
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

/// How the schema stands; an error if it is too new for this program. Changes nothing.
pub(super) async fn standing(database: &Database) -> Result<Standing, OpenStoreError> {
    let pending = lacks(database).await?;
    Ok(match usize::try_from(pending) {
        Ok(0) => Standing::UpToDate,
        Ok(pending) if pending == Migrator::migrations().len() => Standing::Empty,
        _ => Standing::Lacks(pending),
    })
}

/// How many migrations the database lacks. An error if it has one that this program does not know, unless all that came
/// after this program only added. Changes nothing.
pub(super) async fn lacks(database: &Database) -> Result<u32, OpenStoreError> {
    let look = |session: Session| async move { Ok(check(&session).await) };
    database.read_patiently(look).await?
}

async fn check<'c, C>(database: &'c C) -> Result<u32, OpenStoreError>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    let known = Migrator::migrations();
    let is_known = |name: &String| known.iter().any(|known| known.name() == name);
    let applied = column(database, TABLE, "version").await?;
    let (applied, strangers): (Vec<_>, Vec<_>) = applied.into_iter().partition(is_known);
    let pending = known.len().saturating_sub(applied.len());
    if let Some(stranger) = strangers.into_iter().max() {
        let required = column(database, REQUIREMENT, "migration").await?;
        if pending > 0 || required.is_empty() || !required.iter().all(is_known) {
            return Err(OpenStoreError::Newer(stranger));
        }
        tracing::info!(
            "the database was written by a newer version, up to {stranger}, and serves this one as well"
        );
    }
    Ok(u32::try_from(pending).unwrap_or(u32::MAX))
}

/// The values of a column of texts; none if there is no such table.
async fn column<'c, C>(database: &'c C, table: &str, column: &str) -> Result<Vec<String>, DbErr>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    if !SchemaManager::new(database).has_table(table).await? {
        return Ok(Vec::new());
    }
    let read = Sql::text(format!("SELECT {column} FROM {table}"));
    let rows = database.query_all_raw(read.build(database.get_database_backend()));
    let rows = rows.await?.into_iter();
    rows.map(|row| row.try_get::<String>("", column)).collect()
}

#[cfg(test)]
mod tests;
