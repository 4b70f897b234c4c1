//! Consents that have begun: each is kept under the hash of its state until it is taken, once.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::TenantId;
use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait as _;
use zeroize::Zeroizing;

use super::SqlStore;
use super::error::store_error;
use super::grants::get;
use super::row;
use super::sql::{Sql, insert};
use crate::seal::{OpenError, Place};

/// SHA-256 of a state, in hex: who reads the database can complete no consent with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateHash(String);

impl StateHash {
    /// The hash of a state.
    pub fn of(state: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, state.as_bytes());
        let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Self(hex.collect())
    }

    /// The hash in hex, as the database holds it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SqlStore {
    /// Keeps what a consent needs to be completed, sealed, for `lifetime` by the database's clock. Answers when it ends.
    ///
    /// Cancelled or failed, it may be kept all the same, which does no harm: nobody was told its state.
    pub async fn keep_authorization(
        &self,
        state: &StateHash,
        tenant: &TenantId,
        payload: &[u8],
        lifetime: Duration,
    ) -> Result<Timestamp, StoreError> {
        let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        let end = format!("{} + ?", self.database.now());
        let row = vec![
            ("state", Sql::value(state.0.as_str())),
            ("tenant", Sql::value(tenant.as_str())),
            (
                "payload",
                Sql::value(self.sealer.seal(place(state), payload)),
            ),
            ("key_id", Sql::value(self.sealer.active_key())),
            ("expires_at", Sql::new(end, [lifetime.into()])),
        ];
        let keep = insert("authorizations", row)
            .then_text(" RETURNING expires_at")
            .build(self.database.backend());
        let kept = self
            .database
            .write(self.database.writer.query_one_raw(keep));
        let kept = kept.await?.map_err(|error| store_error(&error))?;
        let kept = kept.ok_or_else(|| row::corrupt("an authorization was not kept"))?;
        Ok(Timestamp::from_millis(get(&kept, "expires_at")?))
    }

    /// Takes what was kept under a state: one statement, so that of any number that try, on whichever replica, one has
    /// it. `None` if there is none of that state, if it was taken before, or if it ended.
    ///
    /// With `tenants`, one of another tenant is not found, and stays. Cancelled or failed, it may be gone.
    pub async fn take_authorization(
        &self,
        state: &StateHash,
        tenants: Option<&[TenantId]>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let mut take = Sql::new(
            "DELETE FROM authorizations WHERE state = ?",
            [state.0.as_str().into()],
        )
        .then_text(&format!(" AND expires_at > {}", self.database.now()));
        if let Some(tenants) = tenants {
            if tenants.is_empty() {
                return Ok(None);
            }
            let own = Sql::tuple(tenants.iter().map(|tenant| tenant.as_str().into()));
            take = take.then_text(" AND tenant IN ").then(own);
        }
        let take = take
            .then_text(" RETURNING payload")
            .build(self.database.backend());
        let taken = self
            .database
            .write(self.database.writer.query_one_raw(take));
        let taken = taken.await?.map_err(|error| store_error(&error))?;
        let Some(row) = taken else {
            return Ok(None);
        };
        let sealed: Vec<u8> = get(&row, "payload")?;
        let payload = self.sealer.open(place(state), &sealed);
        payload.map(Some).map_err(|error| match error {
            OpenError::UnknownKey(id) => StoreError::KeyUnavailable(id),
            OpenError::Broken(column) => row::corrupt(format!("a sealed value of {column}")),
        })
    }

    /// Forgets consents that ended before they were completed. Answers how many.
    pub async fn prune_authorizations(&self) -> Result<u64, StoreError> {
        let now = self.database.now();
        let prune = format!("DELETE FROM authorizations WHERE expires_at <= {now}");
        self.database.execute(Sql::text(prune)).await
    }
}

fn place(state: &StateHash) -> Place<'_> {
    Place {
        column: "authorizations.payload",
        row: &state.0,
        generation: 0,
    }
}
