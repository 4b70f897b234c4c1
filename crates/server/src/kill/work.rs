//! One kill, from its first batch to its end.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::change::run::ChangeError;
use evergrant_core::cooldown::backoff;
use evergrant_core::failure::FailureReason;
use evergrant_core::ids::OwnerToken;
use evergrant_core::kill::{KillBatch, KillOrder, KillTarget};
use evergrant_core::registry::Registry;
use evergrant_core::revocation::{Revoker, Withdrawn};
use evergrant_core::store::StoreError;
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::{Due, SqlStore, Turn};

/// Grants that one change invalidates.
const GRANTS_A_CHANGE: u32 = 100;
/// How long the store is left alone after each change.
const PAUSE: Duration = Duration::from_millis(20);
/// Revocations that are looked up at a time.
const REVOCATIONS: u32 = 100;
/// Revocations that are under way at a time. The budgets of the clients bound them, too.
const AT_A_TIME: usize = 8;
/// How long nothing is done when nothing is due.
const IDLE: Duration = Duration::from_millis(500);
/// A revocation is given up after so many tries, which takes more than half an hour.
const TRIES: u32 = 10;
/// How long to wait for a place in the client's budget before another look.
const NO_PLACE: Duration = Duration::from_secs(1);
/// No statement takes longer, so what one inserted before the kill began can be seen by then.
const SETTLED: Duration = Duration::from_secs(6);

/// A kill that this replica holds.
pub(super) struct Work {
    pub(super) store: Arc<SqlStore>,
    pub(super) registry: Registry,
    pub(super) revoker: Revoker,
    pub(super) order: KillOrder,
    pub(super) owner: OwnerToken,
    pub(super) audit_flush: Duration,
    pub(super) stop: CancellationToken,
}

impl Work {
    /// Works until the kill is finished, another replica has taken it, or the process stops.
    pub(super) async fn run(self, lease: Duration) {
        let kill = &self.order.id;
        tokio::select! {
            finished = self.to_the_end() => {
                if finished {
                    warn!(%kill, "a kill is finished");
                } else if let Err(error) = self.store.release_kill(kill, &self.owner).await {
                    info!(%kill, %error, "a kill is held until its lease runs out");
                }
            }
            () = self.until_lost(lease) => {
                info!(%kill, "another replica goes on with a kill");
            }
        }
    }

    /// Renews the lease until somebody else has it.
    async fn until_lost(&self, lease: Duration) {
        loop {
            tokio::time::sleep(lease / 4).await;
            let renewed = self.store.renew_kill(&self.order.id, &self.owner, lease);
            // While the database is away nobody can take it.
            if let Ok(false) = renewed.await {
                return;
            }
        }
    }

    /// `false` if the process stops first.
    async fn to_the_end(&self) -> bool {
        while !self.stop.is_cancelled() {
            match self.round().await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    let kill = &self.order.id;
                    warn!(%kill, %error, "a kill cannot go on now");
                    self.wait(IDLE).await;
                }
            }
        }
        false
    }

    /// Invalidates all that is there, then revokes what is due. `true` once the kill is finished.
    async fn round(&self) -> Result<bool, StoreError> {
        let id = &self.order.id;
        let unseen = match self.order.target {
            KillTarget::Caller { .. } => SETTLED + self.audit_flush,
            _ => SETTLED,
        };
        let settled = self.store.kill_is_settled(id, unseen).await?;
        self.invalidate().await?;
        let due = self.store.due_revocations(id, REVOCATIONS).await?;
        if due.is_empty() {
            if settled && !self.stop.is_cancelled() && self.store.finish_kill(id).await? {
                return Ok(true);
            }
            self.wait(IDLE).await;
            return Ok(false);
        }
        let mut turns = stream::iter(due)
            .map(|due| self.revoke(due))
            .buffer_unordered(AT_A_TIME);
        while let Some(done) = turns.next().await {
            done?;
        }
        Ok(false)
    }

    /// Invalidates batch after batch until nothing is left.
    async fn invalidate(&self) -> Result<(), StoreError> {
        let mut after = None;
        while !self.stop.is_cancelled() {
            let batch = KillBatch {
                order: self.order.clone(),
                after: after.take(),
                limit: GRANTS_A_CHANGE,
            };
            let killed = self.registry.kill(&batch).await;
            let killed = killed.map_err(|error| match error {
                ChangeError::Store(error) => error,
                ChangeError::Refused(never) => match never {},
            })?;
            let Some(killed) = killed else {
                return Ok(());
            };
            metrics::counter!("evergrant_killed_total").increment(killed.grants);
            after = Some(killed.last);
            self.wait(PAUSE).await;
        }
        Ok(())
    }

    async fn revoke(&self, due: Due) -> Result<(), StoreError> {
        if self.stop.is_cancelled() {
            return Ok(());
        }
        let Due {
            grant,
            generation,
            tries,
        } = due;
        let turn = match self.revoker.withdraw(&grant, generation).await {
            Ok(Withdrawn::Revoked) => Turn::Revoked,
            Ok(Withdrawn::NotSupported) => Turn::NotSupported,
            Ok(Withdrawn::Superseded) => Turn::Superseded,
            // No place in the budget: nobody was asked.
            Err(failure) if failure.cooling => Turn::Again {
                after: NO_PLACE.mul_f64(0.5 + fastrand::f64()),
                error: failure.message,
                counts: false,
            },
            Err(failure) if failure.reason == FailureReason::ShuttingDown => return Ok(()),
            Err(failure) if tries + 1 >= TRIES => Turn::Failed(failure.message),
            Err(failure) => Turn::Again {
                after: backoff(tries + 1, None),
                error: failure.message,
                counts: true,
            },
        };
        self.store
            .note_revocation(&self.order.id, &grant, &turn)
            .await
    }

    async fn wait(&self, duration: Duration) {
        // Stopped or not is asked by who goes on.
        let _ = self
            .stop
            .run_until_cancelled(tokio::time::sleep(duration))
            .await;
    }
}
