//! What providers delivered and was dealt with.

use std::time::Duration;

use evergrant_core::report::DeliveryId;
use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait, DbErr};

use super::SqlStore;
use super::session::Session;
use super::sql::Sql;

impl SqlStore {
    pub(super) async fn prune_deliveries(
        &self,
        older_than: Duration,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let older_than = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let now = self.database.now();
        let forget = Sql::new(
            format!(
                "DELETE FROM deliveries WHERE (receiver, id) IN (
                    SELECT receiver, id FROM deliveries WHERE seen_at < {now} - ?
                    ORDER BY seen_at LIMIT ?)"
            ),
            [older_than.into(), i64::from(limit).into()],
        );
        self.database.execute(forget).await
    }
}

pub(super) async fn is_remembered(
    database: &Session,
    delivery: &DeliveryId,
) -> Result<bool, DbErr> {
    let read = "SELECT 1 FROM deliveries WHERE receiver = ? AND id = ?";
    let key = [
        delivery.receiver.as_str().into(),
        delivery.sha256.to_vec().into(),
    ];
    let read = Sql::new(read, key).build(database.get_database_backend());
    Ok(database.query_one_raw(read).await?.is_some())
}
