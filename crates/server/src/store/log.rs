//! The event log: one row that says where it stands, and the events.

use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::clock::Timestamp;
use evergrant_core::events::{Event, LogEpoch, LogPosition};
use evergrant_core::ids::CredentialKey;
use evergrant_core::store::{EventLog, StoreError};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QueryResult,
    QuerySelect,
};

use super::database::Database;
use super::entity::event;
use super::grants::get;
use super::lone::{CURSOR_KEY, SecretBytes};
use super::row::{self, number, stored};
use super::session::Session;
use super::sql::{Sql, insert};
use super::{SqlStore, payload};
use crate::seal::Sealer;

/// Begins the log if this is its first use, and answers the secret that authenticates cursors. A secret that
/// an older key sealed is sealed anew, so that the older key can be retired.
pub(super) async fn begin(database: &Database, sealer: &Sealer) -> Result<SecretBytes, StoreError> {
    let (_, cursor_key) = CURSOR_KEY.generate(sealer);
    let row = vec![
        ("id", Sql::text("1")),
        ("epoch", Sql::value(new_epoch())),
        ("head", Sql::text("0")),
        ("floor", Sql::text("0")),
        ("revision", Sql::text("0")),
        ("cursor_key", Sql::value(cursor_key)),
    ];
    let first = insert("event_log", row).then_text(" ON CONFLICT (id) DO NOTHING");
    database.execute(first).await?;
    CURSOR_KEY.open_and_renew(database, sealer).await
}

/// Replaces the secret if a key sealed it that is among `lost`. Cursors that it authenticated belong to another life of
/// the log then.
pub(super) async fn give_up_cursor_key(
    database: &Database,
    sealer: &Sealer,
    lost: &[String],
) -> Result<(), StoreError> {
    let Some((sealed, key)) = CURSOR_KEY.lost(database, sealer, lost).await? else {
        return Ok(());
    };
    tracing::warn!(key_id = %key, "the key of cursors is lost; there is a new one, and cursors of before are refused");
    let (_, fresh) = CURSOR_KEY.generate(sealer);
    let write = "UPDATE event_log SET cursor_key = ?, epoch = ? WHERE id = 1 AND cursor_key = ?";
    let values = [fresh.into(), new_epoch().into(), sealed.into()];
    database.execute(Sql::new(write, values)).await.map(drop)
}

/// Gives the log a new epoch. `None` if no log was ever begun.
pub(super) async fn renew_epoch(database: &Database) -> Result<Option<LogEpoch>, StoreError> {
    let epoch = new_epoch();
    let write = "UPDATE event_log SET epoch = ? WHERE id = 1";
    let write = Sql::new(write, [epoch.clone().into()]);
    let renewed = database.execute(write).await? == 1;
    Ok(renewed.then(|| LogEpoch(epoch.into())))
}

fn new_epoch() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn no_log() -> StoreError {
    row::corrupt("the event log has no row")
}

async fn read_position(database: &Session) -> Result<Option<QueryResult>, DbErr> {
    let read = Sql::text("SELECT epoch, head, floor FROM event_log WHERE id = 1");
    let statement = read.build(database.get_database_backend());
    database.query_one_raw(statement).await
}

fn position(row: Option<QueryResult>) -> Result<LogPosition, StoreError> {
    let row = row.ok_or_else(no_log)?;
    Ok(LogPosition {
        epoch: LogEpoch(get::<String>(&row, "epoch")?.into()),
        head: number(get(&row, "head")?),
        floor: number(get(&row, "floor")?),
    })
}

fn event(row: event::Model) -> Result<Event, StoreError> {
    let seq = number(row.seq);
    Ok(Event {
        seq,
        at: Timestamp::from_millis(row.at),
        body: payload::read(seq, &row.body)?,
    })
}

#[async_trait]
impl EventLog for SqlStore {
    async fn position(&self) -> Result<LogPosition, StoreError> {
        let read = |database: Session| async move { read_position(&database).await };
        position(self.database.read(read).await?)
    }

    async fn events_after(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<(Vec<Event>, LogPosition), StoreError> {
        let read = |database: Session| async move {
            let page = event::Entity::find()
                .filter(event::Column::Seq.gt(stored(after)))
                .order_by_asc(event::Column::Seq)
                .limit(u64::from(limit))
                .all(&database)
                .await?;
            // After the page: a floor that was raised meanwhile must be seen.
            Ok((page, read_position(&database).await?))
        };
        let (page, place) = self.database.read(read).await?;
        let events: Result<_, _> = page.into_iter().map(event).collect();
        Ok((events?, position(place)?))
    }

    async fn events_of(&self, key: &CredentialKey, limit: u32) -> Result<Vec<Event>, StoreError> {
        let read = |database: Session| async move {
            event::Entity::find()
                .filter(event::Column::Tenant.eq(key.tenant.as_str()))
                .filter(event::Column::Credential.eq(key.id.as_str()))
                .order_by_desc(event::Column::Seq)
                .limit(u64::from(limit))
                .all(&database)
                .await
        };
        let rows = self.database.read(read).await?;
        rows.into_iter().map(event).collect()
    }

    async fn prune(&self, retention: Duration, limit: u32) -> Result<u64, StoreError> {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let old = format!("at < {} - ?", self.database.now());
        let raise = Sql::text(
            "UPDATE event_log SET floor = COALESCE((SELECT max(seq) FROM events
             WHERE seq > event_log.floor AND ",
        )
        .then(Sql::new(
            format!("seq <= event_log.floor + ? AND {old}), floor) WHERE id = 1"),
            [i64::from(limit).into(), retention.into()],
        ));
        // Committed before anything is deleted, so that no reader takes the hole for the log's beginning.
        self.database.execute(raise).await?;
        let forget = "DELETE FROM events WHERE seq <= (SELECT floor FROM event_log WHERE id = 1)";
        self.database.execute(Sql::text(forget)).await
    }
}
