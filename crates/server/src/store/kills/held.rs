//! Kills begin, are held by one replica at a time, and end.

use std::time::Duration;

use evergrant_core::ids::{KillId, OwnerToken};
use evergrant_core::kill::{KillOrder, KillTarget};
use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait as _;

use super::NewKill;
use super::row::{millis, named, order};
use crate::store::SqlStore;
use crate::store::error::store_error;
use crate::store::fragment::free_text;
use crate::store::session::Session;
use crate::store::sql::{Sql, insert};

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
        let claimed = |session: Session| async move { session.query_one_raw(claim).await };
        let claimed = self.database.write(claimed).await?;
        let row = claimed.map_err(|error| store_error(&error))?;
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
}
