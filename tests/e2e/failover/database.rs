//! A hand on the SQLite file of a replica.

use anyhow::{Context, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::harness::scene::Scene;

/// The right to write to the file, held so that the replica cannot.
pub struct SqliteLock(SqliteConnection);

impl SqliteLock {
    /// Waits for the right to write, a few seconds at most.
    pub async fn take(scene: &Scene) -> Result<Self> {
        let file = scene
            .sqlite_file()
            .context("this scene has an SQLite file")?;
        let mut connection = SqliteConnectOptions::new().filename(file).connect().await?;
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await?;
        Ok(Self(connection))
    }

    /// Gives it up; nothing was written.
    pub async fn release(mut self) -> Result<()> {
        sqlx::query("ROLLBACK").execute(&mut self.0).await?;
        Ok(self.0.close().await?)
    }
}
