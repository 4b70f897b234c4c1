//! Token sets that somebody obtained and could not store are adopted from escrow.

use tracing::{debug, error, info};

use crate::coordinator::{EscrowEntry, Unreachable};
use crate::grant::Grant;
use crate::refresh::{Outcome, Refresher};
use crate::store::StoreError;

/// Why nothing was adopted from escrow although something may be there.
pub(in crate::refresh) enum NotAdopted {
    /// The escrow is out of reach.
    Escrow(Unreachable),
    /// Something is there, and cannot be stored now.
    Store(StoreError),
}

impl Refresher {
    /// Stores what a crashed or cut-off leader left behind for this generation, or for a later one in a life of the
    /// database that a backup has undone. `None` if nothing is there, as ever where tokens are minted.
    pub(in crate::refresh) async fn adopt_from_escrow(
        &self,
        grant: &Grant,
    ) -> Result<Option<Outcome>, NotAdopted> {
        if grant.facts.grant_type.is_minted() {
            return Ok(None);
        }
        let found = self
            .ports
            .escrow
            .find(&grant.facts.id, grant.facts.generation)
            .await;
        match found {
            Ok(Some(entry)) => {
                let adopted = self.adopt(grant, &entry).await;
                adopted.map(Some).map_err(NotAdopted::Store)
            }
            Ok(None) => Ok(None),
            Err(error) => Err(NotAdopted::Escrow(error)),
        }
    }

    async fn adopt(&self, grant: &Grant, entry: &EscrowEntry) -> Result<Outcome, StoreError> {
        let committed = self.commit(grant, entry).await?;
        metrics::counter!("evergrant_escrow_adopted_total").increment(1);
        info!(grant = %entry.grant, base = entry.base.0, "adopted a token set from escrow");
        if committed.kept.is_ok() {
            self.forget_escrow(entry).await;
        }
        let Some(stored) = committed.grant else {
            self.memory.forget(&entry.grant);
            return Ok(Outcome::Gone);
        };
        let outcome = self.outcome_of(stored);
        self.tell_changed(&outcome).await;
        Ok(outcome)
    }

    /// Stores what this process itself left behind in an earlier life. Answers how many token sets were
    /// stored. To be called before serving.
    pub async fn replay_escrow(&self) -> Result<u64, StoreError> {
        let entries = self
            .ports
            .escrow
            .left_behind()
            .await
            .unwrap_or_else(|error| {
                error!(%error, "what was left in escrow cannot be read");
                Vec::new()
            });
        let mut replayed = 0;
        for entry in entries {
            let grant = self.ports.store.grant(&entry.grant).await?;
            match grant {
                Some(grant) if grant.facts.generation <= entry.base => {
                    self.commit(&grant, &entry).await?.kept?;
                    replayed += 1;
                    metrics::counter!("evergrant_escrow_replayed_total").increment(1);
                    info!(grant = %entry.grant, base = entry.base.0, "stored a token set left behind");
                }
                Some(grant) if grant.tokens == entry.tokens => {}
                _ => {
                    let (id, reason) =
                        (&entry.grant, "found in escrow after a newer one was stored");
                    let store = &self.ports.store;
                    store
                        .keep_orphan(id, entry.base, &entry.tokens, reason)
                        .await?;
                }
            }
            self.forget_escrow(&entry).await;
        }
        Ok(replayed)
    }

    pub(super) async fn forget_escrow(&self, entry: &EscrowEntry) {
        if let Err(error) = self.ports.escrow.remove(&entry.grant, entry.base).await {
            debug!(grant = %entry.grant, %error, "an escrow entry will expire by itself");
        }
    }
}
