//! Opening a database: its settings, and what can be wrong with it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use evergrant_core::store::StoreError;
use sea_orm::{DbErr, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlitePool};
use thiserror::Error;

use super::database::{Database, Suspicion};
use super::error::{locked, store_error};
use super::trial::WrongKey;
use super::url::{Pooler, StoreUrl};

const SQLITE_READERS: u32 = 4;
/// Shorter than an operation may take, so that a caller learns from SQLite itself that nothing was written.
const BUSY: Duration = Duration::from_secs(4);
const ACQUIRE: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is tried before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);

/// How a database is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Connections to Postgres at most.
    pub max_connections: u32,
    /// Bring the schema up to date when opening; otherwise a schema that is not is an error.
    pub migrate: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            max_connections: 16,
            migrate: true,
        }
    }
}

/// Why a database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenStoreError {
    /// The folder of a SQLite file does not exist. It is not made, since a wrong path would go unnoticed.
    #[error("the folder of the database, {}, does not exist", .0.display())]
    NoFolder(PathBuf),
    /// A SQLite file cannot be created.
    #[error("the database file {} cannot be created: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no SQLite file, where one is not to be created.
    #[error("the database file {} does not exist", .0.display())]
    NoFile(PathBuf),
    /// There is a database, and no replica has ever opened it.
    #[error("the database holds nothing of evergrant; is it the right one?")]
    NoSchema,
    /// No replica has ever served this database.
    #[error("the database holds no event log yet")]
    NoLog,
    /// The database was migrated by a newer program, which took away what this one needs. Nothing was changed.
    #[error(
        "the database was written by a newer version, and this one is too old for it: it has the migration {0}"
    )]
    Newer(String),
    /// Something between this program and Postgres refuses what a connection is to be set to.
    #[error(
        "what listens there is no Postgres, or one behind a pooler, which needs store.pooler = \"transaction\": {0}"
    )]
    Pooler(String),
    /// Tables are in use, and were not to be had in time. Nothing was changed.
    #[error("the database is in use: {0}")]
    Locked(String),
    /// Somebody else uses the database, who must not. Nothing was changed.
    #[error("somebody else uses the database: {0}")]
    InUse(String),
    /// The schema is not up to date, and [`StoreOptions::migrate`] is off.
    #[error("the database lacks {0} migrations")]
    Outdated(u32),
    /// A key of the right name is not the one that sealed.
    #[error(transparent)]
    WrongKey(#[from] WrongKey),
    /// The database cannot be reached, or holds what it should not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbErr> for OpenStoreError {
    fn from(error: DbErr) -> Self {
        match locked(&error) {
            Some(why) => Self::Locked(why),
            None => Self::Store(store_error(&error)),
        }
    }
}

impl From<sqlx::Error> for OpenStoreError {
    fn from(error: sqlx::Error) -> Self {
        DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())).into()
    }
}

/// Connects for serving.
pub(super) async fn open(
    url: &StoreUrl,
    options: StoreOptions,
) -> Result<Database, OpenStoreError> {
    match url {
        StoreUrl::Sqlite(path) => open_sqlite(path).await,
        StoreUrl::Postgres(_, pooler) => {
            let bounds = [
                ("statement_timeout", "5s"),
                ("lock_timeout", "2s"),
                ("idle_in_transaction_session_timeout", "5s"),
            ];
            open_postgres(url, *pooler, options.max_connections, &bounds).await
        }
    }
}

/// Connects for migrating, which may take its time.
pub(super) async fn open_patiently(url: &StoreUrl) -> Result<Database, OpenStoreError> {
    match url {
        StoreUrl::Sqlite(path) => open_sqlite(path).await,
        StoreUrl::Postgres(_, pooler) => {
            open_postgres(url, *pooler, 1, &[("lock_timeout", "60s")]).await
        }
    }
}

async fn open_postgres(
    url: &StoreUrl,
    pooler: Pooler,
    max_connections: u32,
    bounds: &[(&str, &str)],
) -> Result<Database, OpenStoreError> {
    let malformed = || StoreError::Unavailable("the postgres url is malformed".to_owned());
    let connection: PgConnectOptions = url
        .postgres()
        .ok_or_else(malformed)?
        .application_name("evergrant")
        .disable_statement_logging();
    // An event that was told must survive a crash of the server.
    let bounds = bounds.iter().chain([&("synchronous_commit", "on")]);
    let (connection, opening) = match pooler {
        Pooler::None => (connection.options(bounds.copied()), None),
        Pooler::Transaction => {
            let set = bounds.map(|(name, value)| format!("; SET LOCAL {name} = '{value}'"));
            let opening: String = std::iter::once("DEALLOCATE ALL".to_owned())
                .chain(set)
                .collect();
            // Poolers refuse parameters of a connection that they do not know.
            let connection = connection.extra_float_digits(None);
            (connection.statement_cache_capacity(0), Some(opening))
        }
    };
    try_postgres(&connection).await?;
    let suspicion = Suspicion::default();
    let suspected = suspicion.clone();
    let pool = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .before_acquire(move |connection, idle| {
            let doubt = idle.idle_for >= TRUSTED_IDLE || suspected.concerns(idle.idle_for);
            Box::pin(async move {
                if doubt {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(connection)
        .await?;
    let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    Ok(Database {
        writer: pool.clone(),
        reader: pool,
        suspicion,
        opening,
    })
}

/// One connection, made and given up: a pool that cannot connect tries again until its time is over, and tells only that.
async fn try_postgres(options: &PgConnectOptions) -> Result<(), OpenStoreError> {
    let unavailable = |why: String| {
        let (host, port) = (options.get_host(), options.get_port());
        let why = format!("{host}:{port} {why}");
        OpenStoreError::Store(StoreError::Unavailable(why))
    };
    match tokio::time::timeout(ACQUIRE, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection.close().await?),
        Ok(Err(sqlx::Error::Io(why))) => Err(unavailable(format!("cannot be connected to: {why}"))),
        Ok(Err(other)) => Err(unless_pooled(other)),
        Err(_) => Err(unavailable(format!("did not answer within {ACQUIRE:?}"))),
    }
}

/// PgBouncer's words for what it does not let through.
fn unless_pooled(error: sqlx::Error) -> OpenStoreError {
    let message = error.as_database_error().map(|error| error.message());
    match message.filter(|text| text.contains("unsupported startup parameter")) {
        Some(text) => OpenStoreError::Pooler(text.to_owned()),
        None => error.into(),
    }
}

async fn open_sqlite(path: &Path) -> Result<Database, OpenStoreError> {
    create_private(path)?;
    let connection = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .acquire_timeout(BUSY)
        .test_before_acquire(false);
    let one = pool
        .clone()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None);
    let writer = when_unlocked(|| one.clone().connect_with(connection.clone())).await?;
    let some = pool.max_connections(SQLITE_READERS);
    let connection = connection.pragma("query_only", "ON");
    let reader = when_unlocked(|| some.clone().connect_with(connection.clone())).await?;
    Ok(Database {
        writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        suspicion: Suspicion::default(),
        opening: None,
    })
}

/// Connects, again if need be: SQLite does not wait for a process that begins or ends the write-ahead log at
/// the same moment.
async fn when_unlocked<F>(connect: impl Fn() -> F) -> Result<SqlitePool, sqlx::Error>
where
    F: Future<Output = Result<SqlitePool, sqlx::Error>>,
{
    let deadline = Instant::now() + BUSY;
    loop {
        match connect().await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(5..50))).await;
            }
            result => return result,
        }
    }
}

/// SQLITE_BUSY in any of its forms (sqlite.org/rescode.html).
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// Creates the file for its owner alone. SQLite gives the files that it puts beside it the same mode.
fn create_private(path: &Path) -> Result<(), OpenStoreError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(OpenStoreError::NoFolder(folder.to_owned()));
    }
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            let path = path.to_owned();
            Err(OpenStoreError::File { path, source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_with_its_address_and_not_as_a_full_pool() {
        // Bound, and given up: nobody listens there.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = StoreUrl::parse(&format!("postgres://me:hush@{address}/grants")).unwrap();
        let error = open(&url, StoreOptions::default()).await.err().unwrap();
        let why = error.to_string();
        assert!(
            why.contains(&format!("{address} cannot be connected to")),
            "{why}"
        );
        assert!(why.contains("refused") && !why.contains("hush"), "{why}");
    }
}
