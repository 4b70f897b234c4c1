//! The end of an attempt: tokens are stored, a dead grant is told, or the next attempt is put off.

use std::convert::Infallible;

use super::{Outcome, Refresher};
use crate::change::run::ChangeError;
use crate::change::{ChangeSet, Scope, Snapshot};
use crate::coordinator::Notice;
use crate::grant::GrantFacts;
use crate::ids::ClientKey;
use crate::provider::{Renewal, Rotation};
use crate::store::StoreError;

mod brake;
mod client;
mod escrow;
mod failed;
mod issued;
mod refusal;

pub(super) use escrow::NotAdopted;

impl Refresher {
    /// Runs a change that nobody can refuse. `false` if there was nothing to change.
    pub(super) async fn change(
        &self,
        scope: &Scope,
        plan: impl Fn(&Snapshot) -> Option<ChangeSet> + Send + Sync,
    ) -> Result<bool, StoreError> {
        let done = self
            .change_to(scope, |snapshot| plan(snapshot).map(|change| (change, ())))
            .await?;
        Ok(done.is_some())
    }

    /// Like [`change`](Self::change), and answers what the plan says. `None` if there was nothing to change.
    pub(super) async fn change_to<T>(
        &self,
        scope: &Scope,
        plan: impl Fn(&Snapshot) -> Option<(ChangeSet, T)> + Send + Sync,
    ) -> Result<Option<T>, StoreError> {
        let done = self
            .changes
            .run(scope, |snapshot| Ok::<_, Infallible>(plan(snapshot)));
        done.await.map_err(|error| match error {
            ChangeError::Store(error) => error,
            ChangeError::Refused(never) => match never {},
        })
    }

    async fn tell_changed(&self, outcome: &Outcome) {
        let (grant, generation, version) = match outcome {
            Outcome::Token { live, .. } => {
                let facts = &live.grant.facts;
                (facts.id.clone(), facts.generation, facts.version)
            }
            Outcome::Dead(dead) => (dead.id.clone(), dead.generation, dead.version),
            Outcome::Failed(_) | Outcome::Gone | Outcome::Busy => return,
        };
        let notice = Notice::GrantChanged {
            grant,
            generation,
            version,
        };
        self.ports.bus.publish(notice).await;
    }

    pub(super) fn rotation(&self, client: &ClientKey) -> Option<Rotation> {
        let profile = self.ports.providers.profile(client).ok()?;
        Some(profile.rotation)
    }

    /// How a grant is renewed.
    pub(in crate::refresh) fn renewal(&self, facts: &GrantFacts) -> Renewal {
        let renewal = self.ports.providers.renewal(&facts.client);
        renewal.of(facts.grant_type)
    }
}

fn count(client: &ClientKey, outcome: &'static str) {
    metrics::counter!(
        "evergrant_refreshes_total",
        "provider" => client.provider.to_string(),
        "client" => client.client.to_string(),
        "outcome" => outcome
    )
    .increment(1);
}
