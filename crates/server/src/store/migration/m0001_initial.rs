//! The first schema.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Initial;

impl MigrationName for Initial {
    fn name(&self) -> &str {
        "m0001_initial"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// Executes the statements of `schema` one after the other, in the words of the database.
pub(super) async fn execute(manager: &SchemaManager<'_>, schema: &str) -> Result<(), DbErr> {
    let backend = manager.get_database_backend();
    for statement in schema.split(';').map(str::trim).filter(|s| !s.is_empty()) {
        let statement = for_backend(statement, backend);
        manager
            .get_connection()
            .execute_unprepared(&statement)
            .await?;
    }
    Ok(())
}

/// Names compare by bytes, so that pages follow each other in the order of the domain's types.
fn for_backend(statement: &str, backend: DbBackend) -> String {
    let [name, blob, json, hot] = match backend {
        DbBackend::Postgres => [
            "TEXT COLLATE \"C\"",
            "BYTEA",
            "JSONB",
            // Room beside the one row for its next versions: an update then writes no index.
            "WITH (fillfactor = 50)",
        ],
        _ => ["TEXT", "BLOB", "TEXT", ""],
    };
    let typed = [
        ("{name}", name),
        ("{blob}", blob),
        ("{json}", json),
        ("{hot}", hot),
    ];
    typed
        .iter()
        .fold(statement.to_owned(), |text, (mark, with)| {
            text.replace(mark, with)
        })
}

/// Times are milliseconds since the Unix epoch. A grant without `invalid_reason` is active. `intent` says that
/// its refresh token may be spent, `takeover` that it may have been before the latest claim.
const SCHEMA: &str = "
CREATE TABLE grants (
    id {name} NOT NULL PRIMARY KEY,
    tenant {name} NOT NULL,
    provider {name} NOT NULL,
    client {name} NOT NULL,
    account {name},
    grant_type TEXT NOT NULL,
    generation BIGINT NOT NULL,
    version BIGINT NOT NULL,
    tokens {blob} NOT NULL,
    key_id TEXT NOT NULL,
    invalid_reason TEXT,
    invalid_error TEXT,
    invalid_message TEXT,
    invalid_at BIGINT,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT,
    refresh_expires_at BIGINT,
    refreshable BOOLEAN NOT NULL,
    scopes TEXT NOT NULL,
    due_at BIGINT,
    failed BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT,
    failure_reason TEXT,
    failure_message TEXT,
    epoch BIGINT NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until BIGINT,
    intent BOOLEAN NOT NULL DEFAULT FALSE,
    takeover BOOLEAN NOT NULL DEFAULT FALSE,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX grants_account ON grants (tenant, provider, client, account);
CREATE INDEX grants_due ON grants (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX grants_changed ON grants (changed_at);

CREATE TABLE credentials (
    tenant {name} NOT NULL,
    id {name} NOT NULL,
    grant_id {name} NOT NULL REFERENCES grants (id) DEFERRABLE INITIALLY DEFERRED,
    labels {json} NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX credentials_grant ON credentials (grant_id);

CREATE TABLE integrations (
    tenant {name} NOT NULL,
    id {name} NOT NULL,
    paused BOOLEAN NOT NULL,
    needs_config BOOLEAN NOT NULL,
    processing BOOLEAN NOT NULL,
    labels {json} NOT NULL,
    status TEXT NOT NULL,
    cause TEXT NOT NULL,
    status_changed_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE integration_credentials (
    tenant {name} NOT NULL,
    integration {name} NOT NULL,
    credential {name} NOT NULL,
    PRIMARY KEY (tenant, integration, credential),
    FOREIGN KEY (tenant, integration) REFERENCES integrations (tenant, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX integration_credentials_credential ON integration_credentials (tenant, credential);

CREATE TABLE clients (
    provider {name} NOT NULL,
    client {name} NOT NULL,
    rejected BOOLEAN NOT NULL,
    since BIGINT NOT NULL,
    provider_error TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (provider, client)
);

CREATE TABLE orphans (
    id {name} NOT NULL PRIMARY KEY,
    grant_id {name} NOT NULL,
    generation BIGINT NOT NULL,
    tokens {blob} NOT NULL,
    key_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    kept_at BIGINT NOT NULL
);
CREATE INDEX orphans_grant ON orphans (grant_id);

CREATE TABLE events (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    tenant {name},
    credential {name},
    provider {name},
    body TEXT NOT NULL
);

CREATE TABLE event_log (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch TEXT NOT NULL,
    head BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    cursor_key {blob} NOT NULL
) {hot};
";
