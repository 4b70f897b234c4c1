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
            .changes
            .run(scope, |snapshot| {
                Ok::<_, Infallible>(plan(snapshot).map(|change| (change, ())))
            })
            .await;
        match done {
            Ok(done) => Ok(done.is_some()),
            Err(ChangeError::Store(error)) => Err(error),
            Err(ChangeError::Refused(never)) => match never {},
        }
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

    /// How a grant is renewed; as usual, where the catalogue no longer knows the provider.
    pub(in crate::refresh) fn renewal(&self, facts: &GrantFacts) -> Renewal {
        let profile = self.ports.providers.profile(&facts.client);
        let renewal = profile.map_or_else(|_| Renewal::default(), |profile| profile.renewal);
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
