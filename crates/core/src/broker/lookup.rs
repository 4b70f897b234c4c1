//! Where a credential stands: from memory, or from one read that all who ask share.

use std::sync::Arc;

use tracing::Span;

use super::flight::lost;
use super::{Broker, TokenError};
use crate::cache::LiveGrant;
use crate::ids::CredentialKey;
use crate::memory::{Known, Memory, Origin};
use crate::refresh::{Failure, Ports};
use crate::singleflight::FlightLost;

impl Broker {
    /// The grant of a credential, from memory or from one read that all concurrent callers share.
    pub(super) async fn find(&self, key: &CredentialKey) -> Result<Known, TokenError> {
        if let Some(known) = self.memory.find(key) {
            return Ok(known);
        }
        self.read(key).await
    }

    /// Reads a grant whatever is remembered of it: `live`, whose tokens `key` gets, or its credential's own grant `base`
    /// where it is that. Nothing is forgotten, so that who asks for it does no harm.
    ///
    /// A read that was under way may have seen the row before what is looked for was stored. Then another one follows.
    pub(super) async fn read_again(
        &self,
        key: &CredentialKey,
        base: &Arc<LiveGrant>,
        live: &LiveGrant,
    ) -> Result<(), TokenError> {
        let facts = &live.grant.facts;
        let is_own = facts.id == base.grant.facts.id;
        let scopes = &facts.requested_scopes;
        for _ in 0..2 {
            let (read, joined) = if is_own {
                let (read, joined) = self.read_with_others(key).await;
                (read.map(drop), joined)
            } else {
                let (read, joined) = self.read_of_scopes_with_others(key, base, scopes).await;
                (read.map(drop), joined)
            };
            read?;
            if !joined {
                break;
            }
        }
        Ok(())
    }

    /// The grant of a credential from one read that all concurrent callers share.
    async fn read(&self, key: &CredentialKey) -> Result<Known, TokenError> {
        self.read_with_others(key).await.0
    }

    /// Also answers whether the read was under way already.
    async fn read_with_others(&self, key: &CredentialKey) -> (Result<Known, TokenError>, bool) {
        metrics::counter!("evergrant_cache_misses_total").increment(1);
        let ports = self.ports.clone();
        let memory = Arc::clone(&self.memory);
        let wanted = key.clone();
        let lookup = self
            .lookups
            .join(key.clone(), Span::none, |landing| async move {
                landing.land(look_up(&ports, &memory, &wanted).await);
            });
        let read = match lookup.outcome().await {
            Ok(Ok(Some(known))) => Ok(known),
            Ok(Ok(None)) => Err(TokenError::NotFound(key.clone())),
            Ok(Err(failure)) => Err(TokenError::Failed {
                key: key.clone(),
                failure,
            }),
            Err(FlightLost) => Err(TokenError::Failed {
                key: key.clone(),
                failure: lost(),
            }),
        };
        (read, lookup.joined())
    }
}

async fn look_up(
    ports: &Ports,
    memory: &Memory,
    key: &CredentialKey,
) -> Result<Option<Known>, Failure> {
    let grant = ports.store.grant_of(key).await;
    let Some(grant) = grant.map_err(|error| Failure::from_store(&error))? else {
        return Ok(None);
    };
    // What is remembered may be newer than what was read, and then the credential is looked up again.
    memory.bind(key, &grant.facts.id, grant.facts.version);
    let known = ports.remember(memory, grant, Origin::default())?;
    Ok(Some(known))
}
