//! Where the chain begins and ends, as its one row says.

use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait;

use super::super::grants::get;
use super::super::row::{corrupt, number};
use super::super::session::Session;
use super::super::sql::Sql;
use super::{AuditLog, row};
use crate::audit::chain::{Link, Mac};

/// Where the chain begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditState {
    /// The number of the last record before this chain. It is above 0 where an earlier chain's key was lost.
    pub base: u64,
    /// The last record that was pruned.
    pub floor: Link,
    /// What shows that this is the floor.
    pub floor_seal: Mac,
    /// The last record.
    pub head: Link,
    /// What shows that this is the head.
    pub head_seal: Mac,
    /// The first and the last number of what lies above the head. Evergrant never wrote a record there.
    pub beyond: Option<(u64, u64)>,
}

/// The row of the trail: what it says, and the key of the chain as it is sealed.
pub(super) struct Row {
    pub(super) state: AuditState,
    pub(super) key: Vec<u8>,
}

impl AuditLog {
    /// Where the chain begins and ends now.
    pub async fn state(&self) -> Result<AuditState, StoreError> {
        let row = self.row().await?;
        let row = row.ok_or_else(|| corrupt("the audit trail has no head"))?;
        Ok(row.state)
    }

    /// The row of the trail, and what lies above its head at the same moment. `None` if somebody removed it.
    pub(super) async fn row(&self) -> Result<Option<Row>, StoreError> {
        let read = Sql::text(
            "SELECT chain_key, base, floor, floor_mac, floor_seal, head, head_mac, head_seal,
                (SELECT CAST(MIN(number) AS BIGINT) FROM audit_records WHERE number > head) AS first,
                (SELECT CAST(MAX(number) AS BIGINT) FROM audit_records WHERE number > head) AS last
             FROM audit_log WHERE id = 1",
        );
        let read = read.build(self.database.backend());
        let query = |reader: Session| {
            let read = read.clone();
            async move { reader.query_one_raw(read).await }
        };
        let Some(row) = self.database.read(query).await? else {
            return Ok(None);
        };
        let mac = |column| row::mac(&row, column);
        let first: Option<i64> = get(&row, "first")?;
        let last: Option<i64> = get(&row, "last")?;
        let state = AuditState {
            base: number(get(&row, "base")?),
            floor: Link {
                number: number(get(&row, "floor")?),
                mac: mac("floor_mac")?,
            },
            floor_seal: mac("floor_seal")?,
            head: Link {
                number: number(get(&row, "head")?),
                mac: mac("head_mac")?,
            },
            head_seal: mac("head_seal")?,
            beyond: first.map(number).zip(last.map(number)),
        };
        let key = get(&row, "chain_key")?;
        Ok(Some(Row { state, key }))
    }
}
