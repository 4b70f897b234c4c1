//! Consents that have begun: each is kept under the hash of its state until it is taken, once.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::TenantId;
use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait as _, QueryResult};
use zeroize::Zeroizing;

use super::SqlStore;
use super::error::store_error;
use super::grants::get;
use super::row;
use super::sealed::AUTHORIZATION_PAYLOAD;
use super::session::Session;
use super::sql::{Sql, insert};
use crate::seal::{OpenError, Place};

/// SHA-256 of a state, in hex: who reads the database can complete no consent with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateHash(String);

impl StateHash {
    /// The hash of a state that a browser brings back.
    pub fn of(state: &str) -> Self {
        Self::hash(state)
    }

    /// The hash of a state that a device asks with. What is kept says which of the two it is for.
    pub fn of_device(state: &str) -> Self {
        Self::hash(&format!("device:{state}"))
    }

    fn hash(state: &str) -> Self {
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
        let keep = |session: Session| async move { session.query_one_raw(keep).await };
        let kept = self.database.write(keep);
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
        let Some(its) = self.is_kept(state, tenants) else {
            return Ok(None);
        };
        let take = Sql::text("DELETE FROM authorizations WHERE ")
            .then(its)
            .then_text(" RETURNING payload")
            .build(self.database.backend());
        let take = |session: Session| async move { session.query_one_raw(take).await };
        let taken = self.database.write(take);
        let taken = taken.await?.map_err(|error| store_error(&error))?;
        self.payload(state, taken)
    }

    /// What is kept under a state, which stays. `None` as for [`take_authorization`](Self::take_authorization).
    pub async fn look_at_authorization(
        &self,
        state: &StateHash,
        tenants: Option<&[TenantId]>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(its) = self.is_kept(state, tenants) else {
            return Ok(None);
        };
        let look = Sql::text("SELECT payload FROM authorizations WHERE ").then(its);
        let look = look.build(self.database.backend());
        let read = |reader: Session| {
            let look = look.clone();
            async move { reader.query_one_raw(look).await }
        };
        self.payload(state, self.database.read(read).await?)
    }

    /// What makes a row that of `state`, and good for these tenants. `None` if there are none.
    fn is_kept(&self, state: &StateHash, tenants: Option<&[TenantId]>) -> Option<Sql> {
        let its = Sql::new("state = ?", [state.0.as_str().into()])
            .then_text(&format!(" AND expires_at > {}", self.database.now()));
        match tenants {
            None => Some(its),
            Some([]) => None,
            Some(tenants) => {
                let own = Sql::tuple(tenants.iter().map(|tenant| tenant.as_str().into()));
                Some(its.then_text(" AND tenant IN ").then(own))
            }
        }
    }

    fn payload(
        &self,
        state: &StateHash,
        row: Option<QueryResult>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(row) = row else {
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
    AUTHORIZATION_PAYLOAD.place(&state.0, 0)
}
