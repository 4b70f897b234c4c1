//! Probes of rejected clients: whose turn it is, and which grant will do.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{ClientKey, GrantId};
use evergrant_core::store::{ProbeTurn, StoreError};

use super::SqlStore;
use super::grants::get;
use super::row;
use super::sql::Sql;

impl SqlStore {
    /// Takes the next probe of a client, unless somebody did within `wait`.
    pub(super) async fn take_probe(
        &self,
        client: &ClientKey,
        wait: Duration,
    ) -> Result<ProbeTurn, StoreError> {
        let now = self.database.now();
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let (provider, name) = (client.provider.as_str(), client.client.as_str());
        let take = Sql::new(
            format!(
                "UPDATE clients SET probed_at = {now} WHERE provider = ? AND client = ? AND rejected
                 AND since <= {now} - ? AND (probed_at IS NULL OR probed_at <= {now} - ?)"
            ),
            [provider.into(), name.into(), wait.into(), wait.into()],
        );
        if self.database.execute(take).await? == 1 {
            return Ok(ProbeTurn::Ours);
        }
        let rejected =
            "SELECT 1 AS one FROM clients WHERE provider = ? AND client = ? AND rejected";
        let rejected = Sql::new(rejected, [provider.into(), name.into()]);
        Ok(match self.rows(rejected).await?.is_empty() {
            true => ProbeTurn::NotRejected,
            false => ProbeTurn::Taken,
        })
    }

    /// The grants of a client that a probe may refresh, the best first.
    pub(super) async fn probe_candidates(
        &self,
        client: &ClientKey,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError> {
        let candidates = async |order: &str| {
            let (provider, name) = (client.provider.as_str(), client.client.as_str());
            let find = Sql::new(CANDIDATES, [provider.into(), name.into()])
                .then(self.is_free(now))
                .then_text(order)
                .then(Sql::new(" LIMIT ?", [i64::from(limit).into()]));
            let rows = self.rows(find).await?;
            let ids = rows
                .iter()
                .map(|row| row::name(GrantId::parse, &get::<String>(row, "id")?));
            ids.collect::<Result<Vec<_>, _>>()
        };
        let best = candidates(BEST).await?;
        if best.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            return Ok(best);
        }
        candidates(ALL).await
    }
}

const CANDIDATES: &str = "SELECT id FROM grants WHERE provider = ? AND client = ?
    AND suspect_reason IS NULL AND grant_type <> 'STATIC'
    AND (due_at IS NOT NULL OR grant_type <> 'AUTHORIZATION_CODE')
    AND (parent IS NULL OR EXISTS (
        SELECT 1 FROM grants base WHERE base.id = grants.parent AND base.invalid_reason IS NULL))
    AND ";

/// Those that come first of all, along the index `grants_client` and no further than the limit: usually there are enough.
const BEST: &str = " AND (refreshable OR grant_type <> 'AUTHORIZATION_CODE') AND NOT takeover AND NOT intent
    AND grant_type <> 'TOKEN_EXCHANGE' AND failed = 0 AND expires_at IS NOT NULL ORDER BY expires_at, id";

/// All, which takes reading those of the client.
const ALL: &str =
    " ORDER BY (grant_type = 'AUTHORIZATION_CODE' AND NOT refreshable), (takeover OR intent),
    grant_type = 'TOKEN_EXCHANGE', failed, expires_at IS NULL, expires_at, id";
