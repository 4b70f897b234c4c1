//! Tokens of the scopes that a caller names, where tokens are minted: one grant for each set of scopes.

use std::sync::Arc;

use tracing::Span;

use super::flight::lost;
use super::{Ask, Broker, TokenError};
use crate::cache::LiveGrant;
use crate::change::Scope;
use crate::change::plan::{self, Derive, DeriveError};
use crate::change::run::{ChangeError, Changes};
use crate::grant::Means;
use crate::ids::CredentialKey;
use crate::memory::{Known, Memory, Origin};
use crate::refresh::{Failure, Ports};
use crate::scopes::ScopeSet;
use crate::singleflight::FlightLost;
use crate::store::StoreError;

/// Why there is no grant for the scopes that were asked for.
#[derive(Debug, Clone)]
pub(super) enum NoGrant {
    /// The credential's grant is no longer the one that was remembered.
    Moved,
    /// There are too many derived from it.
    TooMany,
    /// For a reason that may pass.
    Failed(Failure),
}

impl Broker {
    /// The grant whose tokens are of exactly the scopes that `ask` names; `base` where it names none or the same.
    /// `None` if `base` is no longer how the credential stands.
    pub(super) async fn of_scopes(
        &self,
        key: &CredentialKey,
        base: &Arc<LiveGrant>,
        ask: &Ask,
    ) -> Result<Option<Arc<LiveGrant>>, TokenError> {
        let Some(scopes) = &ask.scopes else {
            return Ok(Some(Arc::clone(base)));
        };
        if !base.grant.facts.grant_type.is_minted() {
            return Err(TokenError::Scopes {
                key: key.clone(),
                why: "its scopes were fixed when its grant was given",
            });
        }
        if let Some(live) = self.memory.of_scopes(base, scopes) {
            return Ok(Some(live));
        }
        if base.profile.renewal.single_active_token {
            return Err(TokenError::Scopes {
                key: key.clone(),
                why: "its provider ends one token when it mints another, so there is only one set of scopes",
            });
        }
        self.read_of_scopes_with_others(key, base, scopes).await.0
    }

    /// Like [`of_scopes`](Self::of_scopes), whatever is remembered, from one read that all concurrent callers share. Also
    /// answers whether it was under way already.
    pub(super) async fn read_of_scopes_with_others(
        &self,
        key: &CredentialKey,
        base: &Arc<LiveGrant>,
        scopes: &ScopeSet,
    ) -> (Result<Option<Arc<LiveGrant>>, TokenError>, bool) {
        let wanted = (base.grant.facts.id.clone(), scopes.clone());
        let (ports, memory) = (self.ports.clone(), Arc::clone(&self.memory));
        let changes = self.refresher.changes().clone();
        let (parent, of) = (Arc::clone(base), scopes.clone());
        let found = self
            .derivations
            .join(wanted, Span::none, |landing| async move {
                landing.land(find_or_derive(&ports, &memory, &changes, &parent, &of).await);
            });
        let failed = |failure| TokenError::Failed {
            key: key.clone(),
            failure,
        };
        let read = match found.outcome().await {
            Ok(Ok(live)) => Ok(Some(live)),
            Ok(Err(NoGrant::Moved)) => {
                self.memory.forget(&base.grant.facts.id);
                Ok(None)
            }
            Ok(Err(NoGrant::TooMany)) => Err(TokenError::TooManyScopeSets(key.clone())),
            Ok(Err(NoGrant::Failed(failure))) => Err(failed(failure)),
            Err(FlightLost) => Err(failed(lost())),
        };
        (read, found.joined())
    }
}

async fn find_or_derive(
    ports: &Ports,
    memory: &Memory,
    changes: &Changes,
    parent: &Arc<LiveGrant>,
    scopes: &ScopeSet,
) -> Result<Arc<LiveGrant>, NoGrant> {
    let id = &parent.grant.facts.id;
    let of_store = |error: StoreError| NoGrant::Failed(Failure::from_store(&error));
    let mut found = ports.store.derived(id, scopes).await.map_err(of_store)?;
    if found.is_none() {
        let new = Derive {
            parent: id.clone(),
            version: parent.grant.facts.version,
            means: Means {
                scopes: scopes.clone(),
                ..parent.grant.tokens.means.clone()
            },
        };
        changes
            .run(&Scope::Grant(id.clone()), |snapshot| {
                plan::derive(snapshot, &new).map(|change| change.map(|change| (change, ())))
            })
            .await
            .map_err(|error| match error {
                ChangeError::Refused(DeriveError::Moved) => NoGrant::Moved,
                ChangeError::Refused(DeriveError::TooMany) => NoGrant::TooMany,
                ChangeError::Store(error) => of_store(error),
            })?;
        found = ports.store.derived(id, scopes).await.map_err(of_store)?;
    }
    let grant = found.ok_or(NoGrant::Moved)?;
    let known = ports.remember(memory, grant, Origin::default());
    match known.map_err(NoGrant::Failed)? {
        Known::Live(live) => {
            memory.bind_derived(parent, scopes, &live.grant.facts.id);
            Ok(live)
        }
        Known::Dead(_) => Err(NoGrant::Moved),
    }
}
