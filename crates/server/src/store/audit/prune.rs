//! Pruning the trail from its old end.
//!
//! Whoever can write the tables must not have Evergrant itself remove the evidence and vouch for what is left. So a record
//! is old only if its code says that it was written with the time that it shows, and what lies before it is at least as
//! old, whatever somebody made of it.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait;
use tracing::error;

use super::super::grants::get;
use super::super::row::{corrupt, stored};
use super::super::session::Session;
use super::super::sql::{Sql, update};
use super::begin::place;
use super::{AuditBatch, AuditLog, AuditState};
use crate::audit::chain::{ChainKey, End, Link};
use crate::audit::record::{Act, Entry, Record, Subject, TRAIL_ALTERED};

impl AuditLog {
    /// Raises the floor to a record that is older than `retention` by the database's clock, then deletes what lies at or
    /// below it. Answers how many were deleted, which is about `limit` at most. What is left can be verified from the
    /// floor on.
    ///
    /// If the floor is not where Evergrant left it, a record says so first, and the floor is put below whatever is there.
    pub async fn prune(&self, retention: Duration, limit: u32) -> Result<u64, StoreError> {
        let state = self.state().await?;
        let key = self.key();
        let now = self.time().await?;
        let base = self.believed_base(&state, &key).await?;
        let is_sealed = key.seal(End::Floor, state.floor) == state.floor_seal;
        let lowest = match is_sealed || state.floor.number <= base {
            true => None,
            false => Some(self.lowest(&state, &key, now).await?),
        };
        let mut walk = Walk {
            key: &key,
            base,
            last: lowest.unwrap_or(state.floor),
            until: now.minus(retention),
        };
        let old = self.last_old(&mut walk, state.head.number, limit).await?;
        if let Some(floor) = old.or(lowest) {
            let columns = place(
                ["floor", "floor_mac", "floor_seal"],
                floor,
                key.seal(End::Floor, floor),
            );
            let conditions = vec![
                Sql::text("id = 1"),
                Sql::new("floor = ?", [stored(state.floor.number).into()]),
                Sql::new("floor_seal = ?", [state.floor_seal.0.to_vec().into()]),
            ];
            // Committed before anything is deleted, so that no reader takes the hole for a fault.
            let raise = update("audit_log", columns, conditions);
            self.database.execute(raise).await?;
        }
        let forget =
            "DELETE FROM audit_records WHERE number <= (SELECT floor FROM audit_log WHERE id = 1)";
        self.database.execute(Sql::text(forget)).await
    }

    /// The last old record of the first `limit` that are there, or of as many more as nobody can vouch for. The first one
    /// is read alone: mostly it is young, and so is all that follows.
    async fn last_old(
        &self,
        walk: &mut Walk<'_>,
        head: u64,
        limit: u32,
    ) -> Result<Option<Link>, StoreError> {
        let (mut old, mut most, mut rest) = (None, 1, limit.saturating_sub(1));
        loop {
            let mut page = self.records_after(walk.last.number, most).await?;
            page.retain(|record| record.number <= head);
            for record in &page {
                match walk.step(record) {
                    Age::Old(link) => old = Some(link),
                    Age::Unknown => {}
                    Age::Young => return Ok(old),
                }
            }
            if old.is_some() && rest == 0 || page.is_empty() {
                return Ok(old);
            }
            most = if rest == 0 { limit } else { rest };
            rest = 0;
        }
    }

    /// Where the chain begins: the base, if the first record behind it says so. Nobody vouches for what lies below, so that
    /// nobody may raise it.
    async fn believed_base(&self, state: &AuditState, key: &ChainKey) -> Result<u64, StoreError> {
        let root = key.root(state.base);
        if state.base == 0 || state.head == root {
            return Ok(state.base);
        }
        let first = self.records_after(state.base, 1).await?;
        let begins_there = first.first().is_some_and(|first| {
            let next = key.next(root, &first.content);
            (next.number, next.mac) == (first.number, first.mac)
        });
        Ok(if begins_there { state.base } else { 0 })
    }

    /// Says that the floor was altered, and answers the place before the first record that is there.
    async fn lowest(
        &self,
        state: &AuditState,
        key: &ChainKey,
        at: Timestamp,
    ) -> Result<Link, StoreError> {
        let number = state.floor.number;
        error!(
            floor = number,
            "the beginning of the audit trail was altered; a record says so"
        );
        let act = Act {
            detail: format!("nothing shows that the trail was pruned up to {number}"),
            ..Act::of_evergrant(TRAIL_ALTERED, Subject::default())
        };
        let mut batch = AuditBatch::new(vec![Entry::new(act, at)]);
        self.append(&mut batch).await?;
        let first = self.records_after(0, 1).await?;
        let first = first.first().map_or(0, |record| record.number - 1);
        Ok(key.root(first))
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        let read = Sql::text(format!("SELECT {} AS now", self.database.now()));
        let read = read.build(self.database.backend());
        let query = |reader: Session| {
            let read = read.clone();
            async move { reader.query_one_raw(read).await }
        };
        let row = self.database.read(query).await?;
        let row = row.ok_or_else(|| corrupt("the database tells no time"))?;
        Ok(Timestamp::from_millis(get(&row, "now")?))
    }
}

/// Goes from record to record, and tells how old each is.
struct Walk<'a> {
    key: &'a ChainKey,
    base: u64,
    last: Link,
    until: Timestamp,
}

enum Age {
    /// It ended before the time.
    Old(Link),
    /// It did not, and neither did any that follows.
    Young,
    /// Somebody else wrote it, or its time.
    Unknown,
}

impl Walk<'_> {
    fn step(&mut self, record: &Record) -> Age {
        let link = Link {
            number: record.number,
            mac: record.mac,
        };
        let before = match record.number == self.base + 1 {
            true => self.key.root(self.base),
            false => self.last,
        };
        self.last = link;
        // The key of an earlier chain is lost, so that nobody can tell.
        let is_earlier = record.number <= self.base;
        if !is_earlier && !self.key.admits(before, record) {
            return Age::Unknown;
        }
        match record.content.until < self.until.as_millis() {
            true => Age::Old(link),
            false => Age::Young,
        }
    }
}

#[cfg(test)]
mod tests;
