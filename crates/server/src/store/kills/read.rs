//! How kills stand, what one would take, and who is locked out.

use evergrant_core::ids::KillId;
use evergrant_core::kill::KillTarget;
use evergrant_core::store::StoreError;
use sea_orm::QueryResult;

use super::row::{is_of, kill};
use super::{Forecast, Kill, KillQuery};
use crate::store::SqlStore;
use crate::store::grants::get;
use crate::store::row::{self, corrupt, number};
use crate::store::sql::Sql;

const COLUMNS: &str =
    "k.id, k.kind, k.name, k.since, k.reason, k.begun_by, k.revoke, k.begun_at, k.finished_at,
    k.lifted_at, k.lease_owner, k.lease_until";

const TALLY: &str = "
    (SELECT count(*) FROM kill_grants g WHERE g.kill_id = k.id) AS grants,
    (SELECT CAST(COALESCE(sum(g.credentials), 0) AS BIGINT) FROM kill_grants g WHERE g.kill_id = k.id)
        AS credentials,
    (SELECT count(*) FROM kill_grants g WHERE g.kill_id = k.id AND g.state = 'PENDING') AS pending,
    (SELECT count(*) FROM kill_grants g WHERE g.kill_id = k.id AND g.state = 'REVOKED') AS revoked,
    (SELECT count(*) FROM kill_grants g WHERE g.kill_id = k.id AND g.state = 'NOT_SUPPORTED')
        AS not_supported,
    (SELECT count(*) FROM kill_grants g WHERE g.kill_id = k.id AND g.state = 'SUPERSEDED')
        AS superseded,
    (SELECT count(*) FROM kill_grants g WHERE g.kill_id = k.id AND g.state = 'FAILED') AS failed,
    (SELECT g.error FROM kill_grants g WHERE g.kill_id = k.id AND g.state = 'PENDING' AND g.error IS NOT NULL
        ORDER BY g.next_at DESC, g.grant_id LIMIT 1) AS waits_for";

impl SqlStore {
    /// A kill as it stands.
    pub async fn kill(&self, id: &KillId) -> Result<Option<Kill>, StoreError> {
        let read = format!(
            "SELECT {COLUMNS}, {} AS now, {TALLY} FROM kills k WHERE id = ?",
            self.database.now()
        );
        let rows = self.rows(Sql::new(read, [id.as_str().into()])).await?;
        rows.first().map(kill).transpose()
    }

    /// A page of kills, the latest first.
    pub async fn kills(&self, query: &KillQuery) -> Result<Vec<Kill>, StoreError> {
        let KillQuery {
            tenants,
            locking_out,
            before,
            limit,
        } = query;
        let mut conditions = vec![Sql::text("1 = 1")];
        if let Some(tenants) = tenants {
            let tenants = tenants.iter().map(|tenant| tenant.as_str().into());
            conditions.push(Sql::text("kind = 'TENANT' AND name IN ").then(Sql::tuple(tenants)));
        }
        if *locking_out {
            conditions.push(Sql::text("kind = 'CALLER' AND lifted_at IS NULL"));
        }
        if let Some(before) = before {
            conditions.push(Sql::new("id < ?", [before.as_str().into()]));
        }
        let now = self.database.now();
        let read = Sql::text(format!(
            "SELECT {COLUMNS}, {now} AS now, {TALLY} FROM kills k WHERE "
        ))
        .then(Sql::join(conditions, " AND "))
        .then(Sql::new(
            " ORDER BY id DESC LIMIT ?",
            [i64::from(*limit).into()],
        ));
        let rows = self.rows(read).await?;
        rows.iter().map(kill).collect()
    }

    /// What a kill of `target` would take now.
    pub async fn forecast_kill(
        &self,
        target: &KillTarget,
        sample: u32,
    ) -> Result<Forecast, StoreError> {
        let join = "FROM grants JOIN credentials ON credentials.grant_id = grants.id WHERE ";
        let taken = || Sql::text("invalid_reason IS NULL AND ").then(is_of(target));
        let grants =
            Sql::text("SELECT count(*) AS n FROM grants WHERE parent IS NULL AND ").then(taken());
        let credentials = Sql::text(format!("SELECT count(*) AS n {join}")).then(taken());
        let some = Sql::text(format!(
            "SELECT credentials.tenant AS tenant, credentials.id AS id, provider {join}"
        ))
        .then(taken())
        .then(Sql::new(
            " ORDER BY credentials.tenant, credentials.id LIMIT ?",
            [i64::from(sample).into()],
        ));
        let count = async |query| {
            let rows: Vec<QueryResult> = self.rows(query).await?;
            let row = rows.first().ok_or_else(|| corrupt("a count"))?;
            Ok::<_, StoreError>(number(get(row, "n")?))
        };
        let rows = self.rows(some).await?;
        let sample = rows.iter().map(|row| {
            Ok::<_, StoreError>((get(row, "tenant")?, get(row, "id")?, get(row, "provider")?))
        });
        Ok(Forecast {
            grants: count(grants).await?,
            credentials: count(credentials).await?,
            sample: sample.collect::<Result<_, _>>()?,
        })
    }

    /// Callers that are refused, with the kill of each and its reason.
    pub async fn refused_callers(&self) -> Result<Vec<(String, KillId)>, StoreError> {
        let read =
            "SELECT name, id FROM kills WHERE kind = 'CALLER' AND lifted_at IS NULL ORDER BY id";
        let rows = self.rows(Sql::text(read)).await?;
        let refused = rows.iter().map(|row| {
            let id = row::name(KillId::parse, &get::<String>(row, "id")?)?;
            Ok((get(row, "name")?, id))
        });
        refused.collect()
    }

    /// Lets a caller in again. Answers how many kills of it that lifts.
    pub async fn lift_kills(&self, caller: &str) -> Result<u64, StoreError> {
        let now = self.database.now();
        let lift = format!(
            "UPDATE kills SET lifted_at = {now} WHERE kind = 'CALLER' AND name = ? AND lifted_at IS NULL"
        );
        self.database.execute(Sql::new(lift, [caller.into()])).await
    }
}
