//! The usual stage: the sandbox, a database, perhaps Redis, and replicas that share them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use evergrant_providers::sandbox::{
    DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, NewGrant, Point, RotationMode,
};
use futures_util::future::try_join_all;
use tempfile::TempDir;

use super::caller::Caller;
use super::pgbouncer::PgBouncer;
use super::postgres::Postgres;
use super::redis::Redis;
use super::replica::Replica;
use super::replica::config::ReplicaConfig;
use super::sandbox::{Hold, Sandbox};

/// The catalogue entry of the sandbox, whose grants are strict.
pub const PROVIDER: &str = "acme";
/// The OAuth client at [`PROVIDER`].
pub const CLIENT: &str = "acme-main";

const SQLITE_FILE: &str = "evergrant.db";

/// A sandbox and what replicas share.
pub struct Scene {
    pub sandbox: Sandbox,
    pub postgres: Option<Postgres>,
    pub redis: Option<Redis>,
    pub pgbouncer: Option<PgBouncer>,
    config: ReplicaConfig,
    // Holds an SQLite database for as long as the scene lasts.
    folder: Option<TempDir>,
}

impl Scene {
    /// Postgres and Redis.
    pub async fn with_redis() -> Result<Self> {
        let (sandbox, postgres, redis) =
            tokio::try_join!(Sandbox::start(), Postgres::start(), Redis::start())?;
        let config = config(&sandbox, postgres.url()).redis(redis.url());
        let scene = Self {
            sandbox,
            postgres: Some(postgres),
            redis: Some(redis),
            pgbouncer: None,
            config,
            folder: None,
        };
        scene.pooled_if_wanted().await
    }

    /// Postgres alone.
    pub async fn without_redis() -> Result<Self> {
        let (sandbox, postgres) = tokio::try_join!(Sandbox::start(), Postgres::start())?;
        let config = config(&sandbox, postgres.url());
        let scene = Self {
            sandbox,
            postgres: Some(postgres),
            redis: None,
            pgbouncer: None,
            config,
            folder: None,
        };
        scene.pooled_if_wanted().await
    }

    /// Postgres by way of PgBouncer, and Redis.
    pub async fn with_pgbouncer() -> Result<Self> {
        Self::with_redis().await?.pooled().await
    }

    /// With this variable every scene with Postgres reaches it by way of PgBouncer.
    async fn pooled_if_wanted(self) -> Result<Self> {
        match std::env::var_os("EVERGRANT_E2E_PGBOUNCER") {
            Some(_) => self.pooled().await,
            None => Ok(self),
        }
    }

    async fn pooled(mut self) -> Result<Self> {
        if self.pgbouncer.is_none() {
            let postgres = self.postgres();
            let pgbouncer = PgBouncer::start(postgres).await?;
            let url = postgres.url_at(pgbouncer.address());
            self.config = self.config.set("store.url", url);
            self.config = self.config.set("store.pooler", "transaction");
            self.pgbouncer = Some(pgbouncer);
        }
        Ok(self)
    }

    /// An SQLite file, for one replica at a time.
    pub async fn on_sqlite() -> Result<Self> {
        let sandbox = Sandbox::start().await?;
        let folder = tempfile::Builder::new()
            .prefix("evergrant-e2e-store-")
            .tempdir()?;
        let url = format!("sqlite://{}", folder.path().join(SQLITE_FILE).display());
        Ok(Self {
            config: config(&sandbox, url),
            sandbox,
            postgres: None,
            redis: None,
            pgbouncer: None,
            folder: Some(folder),
        })
    }

    /// Shortens the time that a call, its commit and thus a dead replica's lease may take. A test that waits for one
    /// replica to take over from another need not wait for three quarters of a minute.
    pub fn impatient(mut self) -> Self {
        self.config = self
            .config
            .set("refresh.attempt_timeout", "3s")
            .set("refresh.store_timeout", "1s")
            .set("refresh.lease", "9s");
        self
    }

    /// Sets one key of the configuration of all replicas to come.
    pub fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.config = self.config.set(key, value);
        self
    }

    /// Replaces a catalogue entry of all replicas to come.
    pub fn provider(mut self, name: &str, entry: String) -> Self {
        self.config = self.config.provider(name, entry);
        self
    }

    /// The configuration of the replicas, to be changed for one of them.
    pub fn config(&self) -> ReplicaConfig {
        self.config.clone()
    }

    /// The running PostgreSQL.
    pub fn postgres(&mut self) -> &mut Postgres {
        self.postgres.as_mut().expect("this scene has Postgres")
    }

    /// The running Redis.
    pub fn redis(&mut self) -> &mut Redis {
        self.redis.as_mut().expect("this scene has Redis")
    }

    /// The running PgBouncer.
    pub fn pgbouncer(&mut self) -> &mut PgBouncer {
        self.pgbouncer.as_mut().expect("this scene has PgBouncer")
    }

    /// The SQLite file, if that is the database.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.path().join(SQLITE_FILE))
    }

    /// One more replica.
    pub async fn replica(&self, name: &str) -> Result<Replica> {
        Replica::start(&self.config.clone().named(name)).await
    }

    /// So many replicas, begun at once.
    pub async fn replicas<const N: usize>(&self) -> Result<[Replica; N]> {
        let names: Vec<_> = (1..=N).map(|number| format!("replica {number}")).collect();
        let replicas = try_join_all(names.iter().map(|name| self.replica(name))).await?;
        Ok(replicas
            .try_into()
            .unwrap_or_else(|_| unreachable!("as many were started as there are names")))
    }

    /// A strict grant, stored as the credential `id` with an access token that has expired.
    pub async fn expired_credential(&self, replica: &Replica, id: &str) -> Result<NewGrant> {
        let grant = self.sandbox.grant(RotationMode::Strict)?;
        replica
            .caller()
            .store(
                super::caller::credential(id),
                super::caller::expired(&grant),
            )
            .await?;
        Ok(grant)
    }

    /// The same of `mode`, whose calls are held at `point` from the beginning, so that nobody renews it meanwhile.
    pub async fn held_credential(
        &self,
        replica: &Replica,
        id: &str,
        mode: RotationMode,
        point: Point,
    ) -> Result<(NewGrant, Hold)> {
        let grant = self.sandbox.grant(mode)?;
        let hold = self.sandbox.hold(&grant, point);
        let caller = replica.caller();
        caller
            .store(
                super::caller::credential(id),
                super::caller::expired(&grant),
            )
            .await?;
        Ok((grant, hold))
    }

    /// A strict grant, stored as the credential `id` with an access token that is good for an hour.
    pub async fn fresh_credential(&self, replica: &Replica, id: &str) -> Result<NewGrant> {
        let grant = self.sandbox.grant(RotationMode::Strict)?;
        replica
            .caller()
            .store(super::caller::credential(id), super::caller::fresh(&grant))
            .await?;
        Ok(grant)
    }
}

impl Replica {
    /// A caller of this replica.
    pub fn caller(&self) -> Caller {
        Caller::new(self.channel())
    }
}

/// How long the tests wait for what should happen soon: long enough for a machine that does much else.
pub const SOON: Duration = Duration::from_secs(20);

fn config(sandbox: &Sandbox, store_url: String) -> ReplicaConfig {
    ReplicaConfig::new(store_url)
        .provider(PROVIDER, sandbox.entry(PROVIDER, RotationMode::Strict))
        .client(CLIENT, PROVIDER, DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)
}
