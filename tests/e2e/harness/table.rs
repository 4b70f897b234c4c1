//! The event log as the database holds it: the truth that watchers are held against.

use anyhow::{Context, Result};
use sqlx::ConnectOptions;
use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::postgres::Postgres;

/// A connection to the database of the replicas.
pub struct Table(PgConnection);

impl Table {
    /// Connects to the database that `postgres` serves.
    pub async fn open(postgres: &Postgres) -> Result<Self> {
        let options: PgConnectOptions = postgres.url().parse()?;
        Ok(Self(options.connect().await?))
    }

    /// The numbers and kinds of all events, in order.
    pub async fn events(&mut self) -> Result<Vec<(u64, String)>> {
        let rows = sqlx::query("SELECT seq, kind FROM events ORDER BY seq")
            .fetch_all(&mut self.0)
            .await?;
        rows.iter()
            .map(|row| Ok((u64::try_from(row.try_get::<i64, _>(0)?)?, row.try_get(1)?)))
            .collect()
    }

    /// The number of the last event.
    pub async fn head(&mut self) -> Result<u64> {
        let row = sqlx::query("SELECT head FROM event_log")
            .fetch_one(&mut self.0)
            .await?;
        u64::try_from(row.try_get::<i64, _>(0)?).context("the head is below zero")
    }

    /// Changes the schema, as a migration would.
    pub async fn change(&mut self, statement: &'static str) -> Result<()> {
        sqlx::query(statement).execute(&mut self.0).await?;
        Ok(())
    }

    /// Makes something of all grants that no version of the program ever wrote.
    pub async fn spoil_grants(&mut self) -> Result<()> {
        sqlx::query("UPDATE grants SET provider = 'no name!'")
            .execute(&mut self.0)
            .await?;
        Ok(())
    }

    /// Lets all events be a day older than they are, so that retention takes them.
    pub async fn age_events(&mut self, days: i64) -> Result<()> {
        sqlx::query("UPDATE events SET at = at - $1")
            .bind(days * 24 * 3600 * 1000)
            .execute(&mut self.0)
            .await?;
        Ok(())
    }
}
