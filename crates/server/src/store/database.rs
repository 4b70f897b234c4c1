//! Connections, and the bounds within which they are used.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};

use super::error::{Meaning, meaning, store_error};
use super::session::Session;
use super::sql::Sql;

/// No operation takes longer, waiting for a connection included.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connections to one database.
#[derive(Debug, Clone)]
pub(super) struct Database {
    /// Takes every write. SQLite has one connection for it, so that writers queue here and not in SQLite.
    pub(super) writer: DatabaseConnection,
    /// Takes reads: on Postgres the same pool.
    pub(super) reader: DatabaseConnection,
    pub(super) suspicion: Suspicion,
    /// What every piece of work begins with, in a transaction of its own, where connections are a pooler's.
    pub(super) opening: Option<String>,
}

impl Database {
    pub(super) fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// The time by the database's clock, in milliseconds since the Unix epoch.
    pub(super) fn now(&self) -> &'static str {
        match self.backend() {
            DbBackend::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
            _ => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        }
    }

    /// A number from 0 to 1, another one for each row.
    pub(super) fn random(&self) -> &'static str {
        match self.backend() {
            DbBackend::Postgres => "random()",
            _ => "(abs(random() % 1000000) / 1000000.0)",
        }
    }

    /// Reads, and once more on another connection if the first turned out to be gone.
    pub(super) async fn read<T, F>(&self, work: impl Fn(Session) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let result = within(PATIENCE, async {
            match self.session(&self.reader, &work).await {
                Err(error) if self.is_disconnect(&error) => self.session(&self.reader, &work).await,
                result => result,
            }
        });
        result.await?.map_err(|error| store_error(&error))
    }

    /// Reads for as long as it takes.
    pub(super) async fn read_patiently<T, F>(
        &self,
        work: impl FnOnce(Session) -> F,
    ) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        self.session(&self.reader, work).await
    }

    /// Writes, once: whether a write whose answer was lost took place is for the caller to find out.
    pub(super) async fn write<T, F>(
        &self,
        work: impl FnOnce(Session) -> F,
    ) -> Result<Result<T, DbErr>, StoreError>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        self.bounded(self.session(&self.writer, work)).await
    }

    /// The same with a transaction that `work` itself begins.
    pub(super) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<Result<T, DbErr>, StoreError> {
        let result = within(PATIENCE, work).await?;
        if let Err(error) = &result {
            self.is_disconnect(error);
        }
        Ok(result)
    }

    async fn session<T, F>(
        &self,
        pool: &DatabaseConnection,
        work: impl FnOnce(Session) -> F,
    ) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        Session::scope(pool, self.opening.as_deref(), work).await
    }

    /// Executes one statement, which commits by itself. Answers how many rows it wrote.
    pub(super) async fn execute(&self, sql: Sql) -> Result<u64, StoreError> {
        let statement = sql.build(self.backend());
        let write = |session: Session| async move { session.execute_raw(statement).await };
        let done = self.write(write).await?;
        let done = done.map_err(|error| store_error(&error))?;
        Ok(done.rows_affected())
    }

    /// Closes all connections, those in use when they come back.
    pub(super) async fn close(&self) {
        for connections in [&self.writer, &self.reader] {
            if let Err(error) = connections.close_by_ref().await {
                tracing::warn!(%error, "closing the database failed");
            }
        }
    }

    fn is_disconnect(&self, error: &DbErr) -> bool {
        let gone = meaning(error).0 == Meaning::Disconnected;
        if gone {
            self.suspicion.raise();
        }
        gone
    }
}

/// Ends `work` after `patience`. What it began may still take place.
pub(super) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = T>,
) -> Result<T, StoreError> {
    tokio::time::timeout(patience, work)
        .await
        .map_err(|_| StoreError::Unavailable(format!("no answer within {patience:?}")))
}

/// When a connection was last found gone. Whatever was idle then is tried before it is used again, since a
/// server that restarts takes all connections with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Suspicion(Arc<Mutex<Option<Instant>>>);

impl Suspicion {
    fn raise(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection that has been idle for `idle` must be tried first.
    pub(super) fn concerns(&self, idle: Duration) -> bool {
        let raised = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        raised.is_some_and(|raised| idle >= raised.elapsed())
    }
}
