//! Kills, and the grants that they took.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0001_initial::execute;

pub(super) struct Kills;

impl MigrationName for Kills {
    fn name(&self) -> &str {
        "m0010_kills"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides it, and with async_trait the two must look alike"
)]
#[async_trait::async_trait]
impl MigrationTrait for Kills {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, SCHEMA).await
    }
}

/// `kind` says what `name` names. A caller stays refused until `lifted_at` is set; `since` says which of the tokens that
/// it was given matter.
const SCHEMA: &str = "
CREATE TABLE kills (
    id {name} NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    name {name} NOT NULL,
    since BIGINT,
    reason TEXT NOT NULL,
    begun_by TEXT NOT NULL,
    revoke BOOLEAN NOT NULL,
    begun_at BIGINT NOT NULL,
    finished_at BIGINT,
    lifted_at BIGINT,
    lease_owner TEXT,
    lease_until BIGINT
);
CREATE INDEX kills_unfinished ON kills (begun_at) WHERE finished_at IS NULL;
CREATE INDEX kills_refused ON kills (name) WHERE kind = 'CALLER' AND lifted_at IS NULL;

CREATE TABLE kill_grants (
    kill_id {name} NOT NULL,
    grant_id {name} NOT NULL,
    generation BIGINT NOT NULL,
    credentials BIGINT NOT NULL,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    next_at BIGINT,
    error TEXT,
    PRIMARY KEY (kill_id, grant_id)
);
CREATE INDEX kill_grants_pending ON kill_grants (kill_id, next_at) WHERE state = 'PENDING';
";
