//! Where an altered trail goes on.
//!
//! Whatever somebody did to the tables, the next records are written: behind whatever lies in their way, none of which
//! is overwritten or removed. The first of them says what was found, and chains to the place where it stands if nothing
//! before it can be vouched for.

use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait;
use tracing::error;

use super::super::database::Database;
use super::super::grants::get;
use super::super::lone::CHAIN_KEY;
use super::super::row::{number, stored};
use super::super::session::Session;
use super::super::sql::{Sql, insert};
use super::begin::{UNSEALED, place, removed};
use super::state::Row;
use super::{AuditLog, AuditState};
use crate::audit::chain::{ChainKey, End, Link};

/// Records that lie farther above the head than this are not in the way of the next batch, and left where they are.
const REACH: u64 = 1_000_000;
/// No trail comes this far by itself. Numbers above are not believed, and readers of JSON have no higher ones.
const FARTHEST: u64 = 1 << 53;

/// Where the next records go.
pub(super) struct Next {
    /// The row as it must still be when they are written.
    pub(super) state: AuditState,
    /// What they follow.
    pub(super) after: Link,
    /// What was found, for the record that tells of it; `None` if all is as it was left.
    pub(super) altered: Option<String>,
    pub(super) key: ChainKey,
}

impl AuditLog {
    /// Where the next records go. `None` if the row was missing: it is there again, by this process or another one.
    pub(super) async fn next(&self) -> Result<Option<Next>, StoreError> {
        let Some(row) = self.row().await? else {
            self.put_back().await?;
            return Ok(None);
        };
        let Row { state, key } = row;
        let (key, seen) = {
            let mut known = self.known();
            known.adopt(&self.sealer, &key);
            (known.key.clone(), known.seen.clone())
        };
        let is_sealed = key.seal(End::Head, state.head) == state.head_seal;
        let before = seen.map(|seen| seen.head);
        let from = match (is_sealed, before) {
            (true, _) => state.head,
            (false, Some(before)) => before,
            (false, None) => key.root(last_believed(&self.database).await?.unwrap_or(0)),
        };
        let behind = match state.beyond.is_some() || !is_sealed {
            true => self.behind(from.number).await?,
            false => from.number,
        };
        let after = match behind == from.number {
            true => from,
            false => key.root(behind),
        };
        self.tell_beyond(&state, after);
        let altered = found(&state, is_sealed, before, from, after);
        if altered.is_none() {
            self.known().seen = Some(state.clone());
        }
        Ok(Some(Next {
            state,
            after,
            altered,
            key,
        }))
    }

    /// Writes the row again, as this process knows it, but without a seal of its head: so whoever writes next, which may be
    /// another process, finds it altered and tells of it, and until then it verifies as altered.
    async fn put_back(&self) -> Result<(), StoreError> {
        let (key, sealed, seen) = {
            let known = self.known();
            let sealed = CHAIN_KEY.resealed(&self.sealer, &known.sealed);
            (known.key.clone(), sealed, known.seen.clone())
        };
        let row = match seen {
            Some(seen) => {
                let mut row = vec![
                    ("id", Sql::text("1")),
                    ("chain_key", Sql::value(sealed)),
                    ("base", Sql::value(stored(seen.base))),
                ];
                let (floor, head) = (
                    ["floor", "floor_mac", "floor_seal"],
                    ["head", "head_mac", "head_seal"],
                );
                row.extend(place(floor, seen.floor, seen.floor_seal));
                row.extend(place(head, seen.head, UNSEALED));
                row
            }
            None => removed(&self.database, &key, sealed).await?,
        };
        let again = insert("audit_log", row).then_text(" ON CONFLICT (id) DO NOTHING");
        if self.database.execute(again).await? == 1 {
            error!("somebody removed the head of the audit trail; it goes on, and tells of that");
        }
        Ok(())
    }

    /// The number behind which there is room: `from`, or that of the last of the records that lie in the way.
    async fn behind(&self, from: u64) -> Result<u64, StoreError> {
        let mut last = from;
        loop {
            let end = last.saturating_add(REACH);
            match self.last_up_to(end).await? {
                Some(next) if next > last => last = next,
                _ => return Ok(last),
            }
        }
    }

    async fn last_up_to(&self, end: u64) -> Result<Option<u64>, StoreError> {
        last_up_to(&self.database, end).await
    }

    /// What lies above the head and is not in the way is left there, and told once in the log.
    fn tell_beyond(&self, state: &AuditState, after: Link) {
        let beyond = state.beyond.filter(|(_, last)| *last > after.number);
        let mut known = self.known();
        if known.beyond != beyond {
            known.beyond = beyond;
            if let Some((first, last)) = beyond {
                error!(
                    first,
                    last,
                    "somebody wrote records above the end of the audit trail; they are left where they are"
                );
            }
        }
    }
}

/// What is not as it was left, and where that was. `before` is the head as this process last saw it, `from` the one that
/// is believed, and `after` what the next record follows.
fn found(
    state: &AuditState,
    is_sealed: bool,
    before: Option<Link>,
    from: Link,
    after: Link,
) -> Option<String> {
    let is_behind = before.is_some_and(|before| state.head.number < before.number);
    let mut found = Vec::new();
    if !is_sealed {
        found.push("the head was altered or removed".to_owned());
    } else if is_behind {
        found.push("the head was put back".to_owned());
    }
    if after.number > from.number {
        let (first, last) = (from.number + 1, after.number);
        found.push(format!(
            "what is there from {first} to {last} was above the head"
        ));
    }
    if found.is_empty() {
        return None;
    }
    let left = match is_sealed && !is_behind {
        true => Some(state.head),
        false => before,
    };
    found.extend(left.map(|Link { number, mac }| format!("left at {number}:{mac}")));
    Some(found.join("; "))
}

/// The last record of those that may be believed to be one, since nothing else says where the trail ends.
pub(super) async fn last_believed(database: &Database) -> Result<Option<u64>, StoreError> {
    last_up_to(database, FARTHEST).await
}

/// The highest number of a record that is not above `end`.
async fn last_up_to(database: &Database, end: u64) -> Result<Option<u64>, StoreError> {
    let read = Sql::new(
        "SELECT MAX(number) AS last FROM audit_records WHERE number <= ?",
        [stored(end).into()],
    );
    let read = read.build(database.backend());
    let query = |reader: Session| {
        let read = read.clone();
        async move { reader.query_one_raw(read).await }
    };
    let Some(row) = database.read(query).await? else {
        return Ok(None);
    };
    let last: Option<i64> = get(&row, "last")?;
    Ok(last.map(number))
}
