//! Kills: durable orders, who works on them, and what became of each grant.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{
    ClientName, Generation, GrantId, KillId, OwnerToken, ProviderName, TenantId,
};
use evergrant_core::kill::{KillBatch, KillOrder, KillTarget};
use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, QueryResult};

use super::SqlStore;
use super::fragment::free_text;
use super::grants::get;
use super::row::{self, corrupt, number, stored};
use super::sql::{Sql, insert};

/// A kill that is to begin.
#[derive(Debug, Clone)]
pub struct NewKill {
    /// Its id.
    pub id: KillId,
    /// What it takes.
    pub target: KillTarget,
    /// Why, for people.
    pub reason: String,
    /// Who began it; empty where everyone is trusted.
    pub by: String,
    /// Whether grants are revoked at their providers.
    pub revoke: bool,
}

/// A kill as it stands.
#[derive(Debug, Clone)]
pub struct Kill {
    /// What was ordered.
    pub order: NewKill,
    /// When, by the store's clock.
    pub begun_at: Timestamp,
    /// When it was done with; what could not be revoked may be tried again.
    pub finished_at: Option<Timestamp>,
    /// When its caller was let in again.
    pub lifted_at: Option<Timestamp>,
    /// The replica that works on it.
    pub worker: Option<String>,
    /// How far it is.
    pub tally: Tally,
}

/// How far a kill is, in grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Invalidated.
    pub grants: u64,
    /// Credentials that used them.
    pub credentials: u64,
    /// To be revoked still.
    pub pending: u64,
    /// Revoked, as their providers confirmed.
    pub revoked: u64,
    /// Whose providers cannot revoke.
    pub not_supported: u64,
    /// Deleted or connected again before their turn.
    pub superseded: u64,
    /// Given up after many tries.
    pub failed: u64,
}

/// A grant whose revocation is due.
#[derive(Debug, Clone)]
pub struct Due {
    /// The grant.
    pub grant: GrantId,
    /// The generation that died.
    pub generation: Generation,
    /// How often it was tried.
    pub tries: u32,
}

/// What became of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The provider confirmed it.
    Revoked,
    /// The provider cannot.
    NotSupported,
    /// There is nothing to revoke any more.
    Superseded,
    /// Not yet: again after a while.
    Again {
        /// How long.
        after: Duration,
        /// Why.
        error: String,
        /// Whether that was a try.
        counts: bool,
    },
    /// It was tried often enough.
    Failed(String),
}

/// What a kill would take.
#[derive(Debug, Clone, Default)]
pub struct Forecast {
    /// Grants that work.
    pub grants: u64,
    /// Credentials that use them.
    pub credentials: u64,
    /// Some of the credentials, as tenant, name and provider.
    pub sample: Vec<(String, String, String)>,
}

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
    (SELECT count(*) FROM kill_grants g WHERE g.kill_id = k.id AND g.state = 'FAILED') AS failed";

impl SqlStore {
    /// Writes down a kill, held by `owner` for `lease`. If it is of a caller, that is refused from now on.
    pub async fn begin_kill(
        &self,
        new: &NewKill,
        owner: &OwnerToken,
        lease: Duration,
    ) -> Result<(), StoreError> {
        let now = self.database.now();
        let (kind, name) = named(&new.target);
        let since = match &new.target {
            KillTarget::Caller { since, .. } => Some(since.as_millis()),
            _ => None,
        };
        let columns = vec![
            ("id", Sql::value(new.id.as_str())),
            ("kind", Sql::value(kind)),
            ("name", Sql::value(name)),
            ("since", Sql::value(since)),
            ("reason", Sql::value(free_text(&new.reason))),
            ("begun_by", Sql::value(free_text(&new.by))),
            ("revoke", Sql::value(new.revoke)),
            ("begun_at", Sql::text(now)),
            ("lease_owner", Sql::value(owner.as_str())),
            (
                "lease_until",
                Sql::new(format!("{now} + ?"), [millis(lease).into()]),
            ),
        ];
        self.database.execute(insert("kills", columns)).await?;
        Ok(())
    }

    /// Takes the oldest kill that nobody works on.
    pub async fn claim_kill(
        &self,
        owner: &OwnerToken,
        lease: Duration,
    ) -> Result<Option<KillOrder>, StoreError> {
        let now = self.database.now();
        let free = format!("finished_at IS NULL AND (lease_until IS NULL OR lease_until <= {now})");
        let claim = Sql::new(
            format!("UPDATE kills SET lease_owner = ?, lease_until = {now} + ? "),
            [owner.as_str().into(), millis(lease).into()],
        )
        .then_text(&format!(
            "WHERE {free} AND id = (SELECT id FROM kills WHERE {free} ORDER BY begun_at LIMIT 1)
             RETURNING id, kind, name, since, reason, begun_by, revoke, begun_at"
        ))
        .build(self.database.backend());
        let claimed = self
            .database
            .write(self.database.writer.query_one_raw(claim));
        let claimed = claimed.await?;
        let row = claimed.map_err(|error| super::error::store_error(&error))?;
        row.map(|row| order(&row)).transpose()
    }

    /// What was ordered.
    pub async fn kill_order(&self, id: &KillId) -> Result<Option<KillOrder>, StoreError> {
        let read = "SELECT id, kind, name, since, reason, begun_by, revoke, begun_at FROM kills WHERE id = ?";
        let rows = self.rows(Sql::new(read, [id.as_str().into()])).await?;
        rows.first().map(order).transpose()
    }

    /// Holds a kill for `lease` longer; `false` if somebody else has taken it.
    pub async fn renew_kill(
        &self,
        id: &KillId,
        owner: &OwnerToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let now = self.database.now();
        let renew =
            format!("UPDATE kills SET lease_until = {now} + ? WHERE id = ? AND lease_owner = ?");
        let values = [
            millis(lease).into(),
            id.as_str().into(),
            owner.as_str().into(),
        ];
        Ok(self.database.execute(Sql::new(renew, values)).await? == 1)
    }

    /// Gives a kill back, for another to go on with.
    pub async fn release_kill(&self, id: &KillId, owner: &OwnerToken) -> Result<(), StoreError> {
        let release = "UPDATE kills SET lease_owner = NULL, lease_until = NULL
                       WHERE id = ? AND lease_owner = ?";
        let values = [id.as_str().into(), owner.as_str().into()];
        self.database
            .execute(Sql::new(release, values))
            .await
            .map(drop)
    }

    /// A kill is done with, if nothing of it is pending. `false` if it is not.
    pub async fn finish_kill(&self, id: &KillId) -> Result<bool, StoreError> {
        let now = self.database.now();
        let finish = format!(
            "UPDATE kills SET finished_at = {now}, lease_owner = NULL, lease_until = NULL
             WHERE id = ? AND finished_at IS NULL AND NOT EXISTS (
                 SELECT 1 FROM kill_grants WHERE kill_id = kills.id AND state = 'PENDING')"
        );
        Ok(self
            .database
            .execute(Sql::new(finish, [id.as_str().into()]))
            .await?
            == 1)
    }

    /// Whether so much time has passed since the kill began that no row of before it can turn up any more.
    pub async fn kill_is_settled(&self, id: &KillId, after: Duration) -> Result<bool, StoreError> {
        let now = self.database.now();
        let read = format!("SELECT 1 AS settled FROM kills WHERE id = ? AND begun_at + ? <= {now}");
        let rows = self.rows(Sql::new(read, [id.as_str().into(), millis(after).into()]));
        Ok(!rows.await?.is_empty())
    }

    /// The next revocations of a kill whose time has come.
    pub async fn due_revocations(&self, id: &KillId, limit: u32) -> Result<Vec<Due>, StoreError> {
        let now = self.database.now();
        let read = format!(
            "SELECT grant_id, generation, tries FROM kill_grants
             WHERE kill_id = ? AND state = 'PENDING' AND next_at <= {now} ORDER BY next_at, grant_id LIMIT ?"
        );
        let values = [id.as_str().into(), i64::from(limit).into()];
        let rows = self.rows(Sql::new(read, values)).await?;
        let due = rows.iter().map(|row| {
            Ok(Due {
                grant: row::name(GrantId::parse, &get::<String>(row, "grant_id")?)?,
                generation: Generation(number(get(row, "generation")?)),
                tries: u32::try_from(get::<i64>(row, "tries")?).unwrap_or(u32::MAX),
            })
        });
        due.collect()
    }

    /// Writes down what became of a revocation.
    pub async fn note_revocation(
        &self,
        id: &KillId,
        grant: &GrantId,
        turn: &Turn,
    ) -> Result<(), StoreError> {
        let now = self.database.now();
        let set = match turn {
            Turn::Revoked => Sql::text("state = 'REVOKED', error = NULL"),
            Turn::NotSupported => Sql::text("state = 'NOT_SUPPORTED', error = NULL"),
            Turn::Superseded => Sql::text("state = 'SUPERSEDED', error = NULL"),
            Turn::Failed(error) => Sql::new(
                "state = 'FAILED', tries = tries + 1, error = ?",
                [free_text(error).into()],
            ),
            Turn::Again {
                after,
                error,
                counts,
            } => Sql::new(
                format!("next_at = {now} + ?, tries = tries + ?, error = ?"),
                [
                    millis(*after).into(),
                    i64::from(*counts).into(),
                    free_text(error).into(),
                ],
            ),
        };
        let of_grant = Sql::new(
            " WHERE kill_id = ? AND grant_id = ? AND state = 'PENDING'",
            [id.as_str().into(), grant.as_str().into()],
        );
        let note = Sql::text("UPDATE kill_grants SET ")
            .then(set)
            .then(of_grant);
        self.database.execute(note).await.map(drop)
    }

    /// Tries again what was given up. Answers how much that is; the kill goes on unless it is none.
    pub async fn resume_kill(&self, id: &KillId) -> Result<u64, StoreError> {
        let now = self.database.now();
        let again = format!(
            "UPDATE kill_grants SET state = 'PENDING', tries = 0, next_at = {now}
             WHERE kill_id = ? AND state = 'FAILED'"
        );
        let again = self
            .database
            .execute(Sql::new(again, [id.as_str().into()]))
            .await?;
        if again > 0 {
            let open = "UPDATE kills SET finished_at = NULL WHERE id = ?";
            self.database
                .execute(Sql::new(open, [id.as_str().into()]))
                .await?;
        }
        Ok(again)
    }

    /// A kill as it stands.
    pub async fn kill(&self, id: &KillId) -> Result<Option<Kill>, StoreError> {
        let read = format!(
            "SELECT {COLUMNS}, {} AS now, {TALLY} FROM kills k WHERE id = ?",
            self.database.now()
        );
        let rows = self.rows(Sql::new(read, [id.as_str().into()])).await?;
        rows.first().map(kill).transpose()
    }

    /// Kills, the latest first, of these tenants alone where they are given, and those that come before `before`.
    pub async fn kills(
        &self,
        tenants: Option<&[TenantId]>,
        before: Option<&KillId>,
        limit: u32,
    ) -> Result<Vec<Kill>, StoreError> {
        let mut conditions = vec![Sql::text("1 = 1")];
        if let Some(tenants) = tenants {
            let tenants = tenants.iter().map(|tenant| tenant.as_str().into());
            conditions.push(Sql::text("kind = 'TENANT' AND name IN ").then(Sql::tuple(tenants)));
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
            [i64::from(limit).into()],
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

/// The next grants that a kill takes, by id.
pub(super) async fn taken(
    database: &DatabaseConnection,
    batch: &KillBatch,
) -> Result<Vec<String>, DbErr> {
    let KillBatch {
        order,
        after,
        limit,
    } = batch;
    let begun_at = order.begun_at.as_millis();
    let query =
        Sql::text("SELECT id FROM grants WHERE invalid_reason IS NULL AND parent IS NULL AND ")
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

fn is_of(target: &KillTarget) -> Sql {
    let (column, name) = match target {
        KillTarget::Tenant(tenant) => ("grants.tenant", tenant.as_str()),
        KillTarget::Provider(provider) => ("grants.provider", provider.as_str()),
        KillTarget::Client(client) => ("grants.client", client.as_str()),
        // Nothing is written down of what a caller was given.
        KillTarget::Caller { .. } => return Sql::text("1 = 0"),
    };
    Sql::new(format!("{column} = ?"), [name.into()])
}

fn named(target: &KillTarget) -> (&'static str, &str) {
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

fn order(row: &QueryResult) -> Result<KillOrder, StoreError> {
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

fn kill(row: &QueryResult) -> Result<Kill, StoreError> {
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
    })
}

fn millis(duration: Duration) -> i64 {
    stored(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
