//! What an error of the database means: decided here and nowhere else.

use evergrant_core::store::{ApplyError, StoreError};
use sea_orm::{DbErr, RuntimeErr};
use sqlx::error::DatabaseError;

/// What an error of the database means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The rows are not what the statement expects.
    Conflict,
    /// The connection is gone; on a new one the same might work at once.
    Disconnected,
    /// The database is busy, full or not taking writes.
    Unavailable,
    /// A stored value or a statement of ours makes no sense.
    Broken,
}

/// The meaning of `error`, and words for the log that hold no values.
pub(super) fn meaning(error: &DbErr) -> (Meaning, String) {
    match error {
        DbErr::ConnectionAcquire(_) => (
            Meaning::Unavailable,
            "no connection became free in time".to_owned(),
        ),
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => of_sqlx(error),
        other => (Meaning::Broken, other.to_string()),
    }
}

fn of_sqlx(error: &sqlx::Error) -> (Meaning, String) {
    let meaning = match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let message = format!("{} ({code})", error.message());
            return (of_code(&**error, &code), message);
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            Meaning::Disconnected
        }
        sqlx::Error::WorkerCrashed => Meaning::Disconnected,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Meaning::Unavailable,
        _ => Meaning::Broken,
    };
    (meaning, error.to_string())
}

/// Words for the log if somebody else holds a lock in Postgres that did not become free in time, or would never.
pub(super) fn locked(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return None;
    };
    let error = error.as_database_error()?;
    matches!(error.code().as_deref(), Some("55P03" | "40P01")).then(|| error.message().to_owned())
}

/// Postgres: SQLSTATE (manual, appendix A). SQLite: extended result codes (sqlite.org/rescode.html).
///
/// A lock or statement that timed out is no conflict: the change may be right, and the database is slow.
fn of_code(error: &dyn DatabaseError, code: &str) -> Meaning {
    if error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_none()
    {
        return match code.parse::<u32>().unwrap_or(0) {
            787 | 1555 | 2067 => Meaning::Conflict,
            // busy, locked, read-only, i/o, full, cannot open, not a database
            code if matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14 | 26) => Meaning::Unavailable,
            _ => Meaning::Broken,
        };
    }
    match code {
        // foreign key, unique, serialization, deadlock, and our own division by zero
        "23503" | "23505" | "40001" | "40P01" | "22012" => Meaning::Conflict,
        // read-only (a standby), lock timeout, statement timeout
        "25006" | "55P03" | "57014" => Meaning::Unavailable,
        // the server ends, has crashed, or ended our idle transaction
        "57P01" | "57P02" | "57P03" | "25P03" | "57P05" => Meaning::Disconnected,
        code if code.starts_with("08") => Meaning::Disconnected,
        // a wrong password or name, no right, no such database: an operator's to mend, and no value is wrong
        code if code.starts_with("28") || matches!(code, "3D000" | "42501") => Meaning::Unavailable,
        // out of connections, memory, disk; or broken by an operator
        code if code.starts_with("53") || code.starts_with("58") => Meaning::Unavailable,
        _ => Meaning::Broken,
    }
}

/// The port's error for a statement that expects nothing of the rows.
pub(super) fn store_error(error: &DbErr) -> StoreError {
    match meaning(error) {
        (Meaning::Broken, message) => StoreError::Corrupt(message),
        (_, message) => StoreError::Unavailable(message),
    }
}

/// The port's error for a change.
pub(super) fn apply_error(error: &DbErr) -> ApplyError {
    match meaning(error).0 {
        Meaning::Conflict => ApplyError::Conflict,
        _ => store_error(error).into(),
    }
}
