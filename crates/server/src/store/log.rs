//! The event log: one row that says where it stands, and the events.

use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::clock::Timestamp;
use evergrant_core::events::{Event, LogEpoch, LogPosition};
use evergrant_core::ids::CredentialKey;
use evergrant_core::store::{EventLog, StoreError};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QueryResult, QuerySelect,
};
use zeroize::Zeroizing;

use super::database::Database;
use super::entity::event;
use super::grants::get;
use super::row::{self, number, stored};
use super::sql::{Sql, insert};
use super::{SqlStore, payload};
use crate::seal::{OpenError, Place, Sealer};

const CURSOR_KEY: Place<'_> = Place {
    column: super::sealed::CURSOR_KEY,
    row: "1",
    generation: 0,
};

/// Begins the log if this is its first use, and answers the secret that authenticates cursors. A secret that
/// an older key sealed is sealed anew, so that the older key can be retired.
pub(super) async fn begin(
    database: &Database,
    sealer: &Sealer,
) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let row = vec![
        ("id", Sql::text("1")),
        ("epoch", Sql::value(new_epoch())),
        ("head", Sql::text("0")),
        ("floor", Sql::text("0")),
        ("revision", Sql::text("0")),
        ("cursor_key", Sql::value(new_cursor_key(sealer))),
    ];
    let first = insert("event_log", row).then_text(" ON CONFLICT (id) DO NOTHING");
    database.execute(first).await?;

    let sealed = sealed_cursor_key(database).await?.ok_or_else(no_log)?;
    let opened = sealer
        .open(CURSOR_KEY, &sealed)
        .map_err(|error| match error {
            OpenError::UnknownKey(id) => StoreError::KeyUnavailable(id),
            OpenError::Broken(column) => row::corrupt(format!("a sealed value of {column}")),
        })?;
    let mut key = Zeroizing::new([0; 32]);
    if opened.len() != key.len() {
        return Err(row::corrupt("the cursor key"));
    }
    key.copy_from_slice(&opened);
    if Sealer::key_of(&sealed) != Some(sealer.active_key()) {
        reseal_cursor_key(database, &sealed, sealer.seal(CURSOR_KEY, key.as_ref())).await?;
    }
    Ok(key)
}

/// A new secret, sealed.
fn new_cursor_key(sealer: &Sealer) -> Vec<u8> {
    let mut fresh = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(fresh.as_mut()).expect("the system's random source works");
    sealer.seal(CURSOR_KEY, fresh.as_ref())
}

/// Replaces the secret if a key sealed it that is among `lost`. Cursors that it authenticated belong to another life of
/// the log then.
pub(super) async fn give_up_cursor_key(
    database: &Database,
    sealer: &Sealer,
    lost: &[String],
) -> Result<(), StoreError> {
    if lost.is_empty() {
        return Ok(());
    }
    let Some(sealed) = sealed_cursor_key(database).await? else {
        return Ok(());
    };
    let is_lost = |id: &str| !sealer.opens(id) && lost.iter().any(|lost| lost == id);
    let Some(key) = Sealer::key_of(&sealed).filter(|id| is_lost(id)) else {
        return Ok(());
    };
    tracing::warn!(key_id = %key, "the key of cursors is lost; there is a new one, and cursors of before are refused");
    let write = "UPDATE event_log SET cursor_key = ?, epoch = ? WHERE id = 1 AND cursor_key = ?";
    let values = [
        new_cursor_key(sealer).into(),
        new_epoch().into(),
        sealed.clone().into(),
    ];
    database.execute(Sql::new(write, values)).await.map(drop)
}

/// The secret that authenticates cursors, as it is stored. `None` if no log was ever begun.
pub(super) async fn sealed_cursor_key(database: &Database) -> Result<Option<Vec<u8>>, StoreError> {
    let read = Sql::text("SELECT cursor_key FROM event_log WHERE id = 1");
    let read = read.build(database.backend());
    let query = |reader: DatabaseConnection| {
        let read = read.clone();
        async move { reader.query_one_raw(read).await }
    };
    let row = database.read(query).await?;
    row.map(|row| get(&row, "cursor_key")).transpose()
}

/// Seals that secret anew unless the active key did, or `write` is off. Answers whether it had to; `None` if it does not
/// open.
pub(super) async fn renew_cursor_key(
    database: &Database,
    sealer: &Sealer,
    write: bool,
) -> Result<Option<bool>, StoreError> {
    let Some(sealed) = sealed_cursor_key(database).await? else {
        return Ok(Some(false));
    };
    let Ok(anew) = sealer.reseal(CURSOR_KEY, &sealed) else {
        return Ok(None);
    };
    if Sealer::key_of(&sealed) == Some(sealer.active_key()) {
        return Ok(Some(false));
    }
    if write {
        reseal_cursor_key(database, &sealed, anew).await?;
    }
    Ok(Some(true))
}

/// Of several that seal it anew, the first wins, which is all the same.
async fn reseal_cursor_key(
    database: &Database,
    sealed: &[u8],
    anew: Vec<u8>,
) -> Result<(), StoreError> {
    let write = "UPDATE event_log SET cursor_key = ? WHERE id = 1 AND cursor_key = ?";
    let write = Sql::new(write, [anew.into(), sealed.to_vec().into()]);
    database.execute(write).await.map(drop)
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

async fn read_position(database: &DatabaseConnection) -> Result<Option<QueryResult>, DbErr> {
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
        let read = |database: DatabaseConnection| async move { read_position(&database).await };
        position(self.database.read(read).await?)
    }

    async fn events_after(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<(Vec<Event>, LogPosition), StoreError> {
        let read = |database: DatabaseConnection| async move {
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
        let read = |database: DatabaseConnection| async move {
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
