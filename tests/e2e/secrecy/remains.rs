//! What a run leaves behind: files, and rows of a database.

use std::path::Path;

use anyhow::Result;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Row};

/// All rows of all tables, bytes in hex.
pub async fn tables(url: &str) -> Result<Vec<u8>> {
    let options: PgConnectOptions = url.parse()?;
    let mut connection = options.connect().await?;
    let names =
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let names = sqlx::query(names).fetch_all(&mut connection).await?;
    let mut text = String::new();
    for name in names {
        let name: String = name.try_get(0)?;
        let rows = sqlx::AssertSqlSafe(format!("SELECT t::text FROM \"{name}\" t"));
        for row in sqlx::query(rows).fetch_all(&mut connection).await? {
            text += &format!("{name}: {}\n", row.try_get::<String, _>(0)?);
        }
    }
    Ok(text.into_bytes())
}

/// Reads all files below `folder`. What a running server removes meanwhile is not there.
pub fn take_in(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            take_in(&path, found)?;
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
    Ok(())
}

pub fn names(found: &[(String, Vec<u8>)]) -> Vec<&str> {
    found.iter().map(|(name, _)| name.as_str()).collect()
}
