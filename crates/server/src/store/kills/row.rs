//! Rows of kills, and the grants that one takes.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{ClientName, GrantId, KillId, OwnerToken, ProviderName, TenantId};
use evergrant_core::kill::{KillBatch, KillOrder, KillTarget};
use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait as _, DbErr, QueryResult};

use super::{Kill, NewKill, Tally};
use crate::audit::record::OK;
use crate::store::fragment::not_reported_dead;
use crate::store::grants::get;
use crate::store::row::{self, corrupt, number, stored};
use crate::store::session::Session;
use crate::store::sql::Sql;

/// The next grants that a kill takes, by id.
pub(in crate::store) async fn taken(
    database: &Session,
    batch: &KillBatch,
) -> Result<Vec<String>, DbErr> {
    let KillBatch {
        order,
        after,
        limit,
    } = batch;
    let begun_at = order.begun_at.as_millis();
    let query = Sql::text("SELECT id FROM grants WHERE parent IS NULL AND ")
        .then(not_reported_dead())
        .then_text(" AND ")
        .then(is_of(&order.target))
        .then(Sql::new(
            " AND id > ? AND created_at <= ? AND consented_at <= ? AND NOT EXISTS (
                SELECT 1 FROM kill_grants WHERE kill_id = ? AND grant_id = grants.id)
             ORDER BY id LIMIT ?",
            [
                after.as_ref().map_or("", GrantId::as_str).into(),
                begun_at.into(),
                begun_at.into(),
                order.id.as_str().into(),
                i64::from(*limit).into(),
            ],
        ));
    let query = query.build(database.get_database_backend());
    let rows = database.query_all_raw(query).await?;
    rows.iter().map(|row| row.try_get("", "id")).collect()
}

pub(super) fn is_of(target: &KillTarget) -> Sql {
    let (column, name) = match target {
        KillTarget::Tenant(tenant) => ("grants.tenant", tenant.as_str()),
        KillTarget::Provider(provider) => ("grants.provider", provider.as_str()),
        KillTarget::Client(client) => ("grants.client", client.as_str()),
        KillTarget::Caller { name, since } => {
            return Sql::new(
                "grants.id IN (
                    SELECT known.grant_id FROM credentials AS known JOIN audit_records AS told
                    ON told.tenant = known.tenant AND told.credential = known.id
                    WHERE told.caller = ? AND told.until >= ? AND told.outcome = ?
                    AND told.action IN ('GetToken', 'BatchGetTokens'))",
                [name.as_str().into(), since.as_millis().into(), OK.into()],
            );
        }
    };
    Sql::new(format!("{column} = ?"), [name.into()])
}

pub(super) fn named(target: &KillTarget) -> (&'static str, &str) {
    match target {
        KillTarget::Tenant(tenant) => ("TENANT", tenant.as_str()),
        KillTarget::Provider(provider) => ("PROVIDER", provider.as_str()),
        KillTarget::Client(client) => ("CLIENT", client.as_str()),
        KillTarget::Caller { name, .. } => ("CALLER", name),
    }
}

fn target(row: &QueryResult) -> Result<KillTarget, StoreError> {
    let name: String = get(row, "name")?;
    let kind: String = get(row, "kind")?;
    Ok(match kind.as_str() {
        "TENANT" => KillTarget::Tenant(row::name(TenantId::parse, &name)?),
        "PROVIDER" => KillTarget::Provider(row::name(ProviderName::parse, &name)?),
        "CLIENT" => KillTarget::Client(row::name(ClientName::parse, &name)?),
        "CALLER" => {
            let since: Option<i64> = get(row, "since")?;
            let since = Timestamp::from_millis(since.unwrap_or(0));
            KillTarget::Caller { name, since }
        }
        other => return Err(corrupt(format!("the word {other:?}"))),
    })
}

fn ordered(row: &QueryResult) -> Result<NewKill, StoreError> {
    Ok(NewKill {
        id: row::name(KillId::parse, &get::<String>(row, "id")?)?,
        target: target(row)?,
        reason: get(row, "reason")?,
        by: get(row, "begun_by")?,
        revoke: get(row, "revoke")?,
    })
}

pub(super) fn order(row: &QueryResult) -> Result<KillOrder, StoreError> {
    let NewKill {
        id,
        target,
        reason,
        revoke,
        by: _,
    } = ordered(row)?;
    Ok(KillOrder {
        id,
        target,
        begun_at: Timestamp::from_millis(get(row, "begun_at")?),
        reason,
        revoke,
    })
}

pub(super) fn kill(row: &QueryResult) -> Result<Kill, StoreError> {
    let time = |at: Option<i64>| at.map(Timestamp::from_millis);
    let count = |column| Ok::<_, StoreError>(number(get(row, column)?));
    let until: Option<i64> = get(row, "lease_until")?;
    let owner: Option<String> = get(row, "lease_owner")?;
    let is_held = until.is_some_and(|until| get::<i64>(row, "now").is_ok_and(|now| until > now));
    let worker = owner
        .filter(|_| is_held)
        .map(|owner| OwnerToken::from_stored(&owner));
    Ok(Kill {
        order: ordered(row)?,
        begun_at: Timestamp::from_millis(get(row, "begun_at")?),
        finished_at: time(get(row, "finished_at")?),
        lifted_at: time(get(row, "lifted_at")?),
        worker: worker.and_then(|owner| owner.replica().map(str::to_owned)),
        tally: Tally {
            grants: count("grants")?,
            credentials: count("credentials")?,
            pending: count("pending")?,
            revoked: count("revoked")?,
            not_supported: count("not_supported")?,
            superseded: count("superseded")?,
            failed: count("failed")?,
        },
        waits_for: get(row, "waits_for")?,
    })
}

pub(super) fn millis(duration: Duration) -> i64 {
    stored(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
