//! Whether somebody else uses a database, for what must not be done beside replicas.

use std::path::Path;
use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, SqliteConnection};

use super::database::Database;
use super::grants::get;
use super::open::{self, OpenStoreError, is_busy};
use super::row::number;
use super::session::Session;
use super::sql::Sql;
use super::url::{Pooler, StoreUrl};

/// Connections of a process that was killed stay for a moment; so do those that a pooler has left over.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(250);
/// A replica asks the database several times a second.
const STILL: &str = "2 seconds";

/// Refuses a database that somebody else uses: of Postgres, sessions that bear our name; of SQLite, any process that has
/// the file open. It waits some seconds for them to end.
pub(super) async fn refuse(url: &StoreUrl) -> Result<(), OpenStoreError> {
    let deadline = Instant::now() + PATIENCE;
    let postgres = match url {
        StoreUrl::Sqlite(_) => None,
        StoreUrl::Postgres(..) => Some(open::open_patiently(url).await?),
    };
    let in_use = loop {
        let found = match (url, &postgres) {
            (StoreUrl::Postgres(_, pooler), Some(database)) => sessions(database, *pooler).await,
            (StoreUrl::Sqlite(path), _) => holders(path).await,
            (StoreUrl::Postgres(..), None) => unreachable!("it was opened above"),
        };
        match found {
            Ok(Some(_)) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            found => break found,
        }
    };
    if let Some(database) = postgres {
        database.close().await;
    }
    match in_use? {
        None => Ok(()),
        Some(who) => Err(OpenStoreError::InUse(who)),
    }
}

/// Other sessions of this program. A pooler keeps those that nobody uses, so that only what they did lately counts.
async fn sessions(database: &Database, pooler: Pooler) -> Result<Option<String>, OpenStoreError> {
    let lately = match pooler {
        Pooler::None => String::new(),
        Pooler::Transaction => {
            format!(" AND (state <> 'idle' OR state_change > now() - interval '{STILL}')")
        }
    };
    let count = format!(
        "SELECT count(*) AS sessions, coalesce(string_agg(DISTINCT host(client_addr), ', '), 'this machine') AS places
         FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'evergrant' AND pid <> pg_backend_pid(){lately}"
    );
    let count = Sql::text(count).build(database.backend());
    let count = |session: Session| {
        let count = count.clone();
        async move { session.query_one_raw(count).await }
    };
    let Some(row) = database.read(count).await? else {
        return Ok(None);
    };
    let sessions = number(get(&row, "sessions")?);
    let places: String = get(&row, "places")?;
    Ok((sessions > 0).then(|| format!("{sessions} sessions of evergrant, from {places}")))
}

/// Whoever has an SQLite file open in WAL mode holds a shared lock on it, so that an exclusive one is not to be had.
async fn holders(path: &Path) -> Result<Option<String>, OpenStoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .locking_mode(SqliteLockingMode::Exclusive)
        .busy_timeout(Duration::ZERO)
        .disable_statement_logging();
    let alone = async {
        let mut connection: SqliteConnection = options.connect().await?;
        let alone = connection.execute("BEGIN EXCLUSIVE; COMMIT").await;
        connection.close().await?;
        alone
    };
    match alone.await {
        Ok(_) => Ok(None),
        Err(error) if is_busy(&error) => Ok(Some("another process has the file open".to_owned())),
        Err(error) => Err(error.into()),
    }
}
