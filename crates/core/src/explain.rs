//! Why a grant is as it is: everything that is known of it in one reading, and what follows from that for its next
//! refresh.

use crate::attempts::AttemptRecord;
use crate::breaker::Refusal;
use crate::broker::Broker;
use crate::budget::Usage;
use crate::change::{Scope, Snapshot};
use crate::clock::Timestamp;
use crate::coordinator::LockHolder;
use crate::events::Event;
use crate::grant::{GrantFacts, Invalidation, PassingFailure};
use crate::ids::{CredentialKey, GrantId};
use crate::integration::Integration;
use crate::store::{ClientStanding, Credential, StoreError};

pub use diagnosis::{Diagnosis, OVERDUE_AFTER};

mod diagnosis;

/// Events that are shown at most.
const EVENTS: u32 = 10;

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The grant that a credential uses.
    Credential(CredentialKey),
    /// A grant, e.g. one that a line of the log names.
    Grant(GrantId),
}

/// All that is known of a grant without its secrets.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The time by the store's clock.
    pub now: Timestamp,
    /// The grant.
    pub grant: GrantFacts,
    /// The grant that it is derived from.
    pub parent: Option<GrantFacts>,
    /// The credentials that use it, or the one that it is derived from, by key.
    pub credentials: Vec<Credential>,
    /// The integrations that need one of those.
    pub integrations: Vec<Integration>,
    /// What is stored of the OAuth client.
    pub client: Option<ClientStanding>,
    /// Why this replica makes no call for the client now.
    pub refusal: Option<Refusal>,
    /// The client's budget on this replica.
    pub budget: Usage,
    /// Who holds the leader lock. An error, in words, if nobody can tell.
    pub lock: Result<Option<LockHolder>, String>,
    /// When a token set was obtained that lies in escrow and was not stored; an error as above. Journals of other
    /// replicas are not seen.
    pub escrow: Result<Option<Timestamp>, String>,
    /// What its latest attempts came to, the latest first.
    pub attempts: Vec<AttemptRecord>,
    /// The last events about the first credential, the latest first.
    pub events: Vec<Event>,
    /// What follows for its next refresh.
    pub diagnosis: Diagnosis,
}

impl Explanation {
    /// Why the provider's refusal is not believed, or the grant dead.
    pub fn invalidation(&self) -> Option<&Invalidation> {
        let state = &self.grant.state;
        state.invalidation().or_else(|| state.suspicion())
    }

    /// What the latest attempt failed of, if time may mend it.
    pub fn passing_failure(&self) -> Option<&PassingFailure> {
        self.grant.attempts.last_failure.as_ref()
    }
}

impl Broker {
    /// Explains what is `named`. `None` if there is no such credential or grant.
    ///
    /// It reads, and neither waits for a flight nor begins one.
    pub async fn explain(&self, named: &Named) -> Result<Option<Explanation>, StoreError> {
        let ports = self.ports();
        let Some((grant, snapshot)) = self.find_grant(named).await? else {
            return Ok(None);
        };
        let Snapshot {
            now,
            grants,
            credentials,
            integrations,
            ..
        } = snapshot;
        let clients = ports.store.clients().await?;
        let first = match named {
            Named::Credential(key) => Some(key),
            Named::Grant(_) => credentials.first().map(|credential| &credential.key),
        };
        let events = match first {
            Some(key) => ports.store.events_of(key, EVENTS).await?,
            None => Vec::new(),
        };
        let attempts = ports.store.attempts_of(&grant.id).await?;
        let lock = ports.locks.holder(&grant.id).await;
        let escrow = ports.escrow.find(&grant.id, grant.generation).await;
        let diagnosis = self.diagnose(&grant, now);
        Ok(Some(Explanation {
            now,
            parent: grants
                .into_iter()
                .find(|known| Some(&known.id) == grant.parent.as_ref()),
            client: clients
                .into_iter()
                .find(|standing| standing.client == grant.client),
            refusal: self.refusal(&grant.client),
            budget: self.budget(&grant.client),
            lock: lock.map_err(|error| error.to_string()),
            escrow: escrow
                .map(|entry| entry.map(|entry| entry.issued_at))
                .map_err(|error| error.to_string()),
            attempts,
            events,
            diagnosis,
            grant,
            credentials,
            integrations,
        }))
    }

    /// The grant, and a snapshot with the credentials that use it or its parent.
    async fn find_grant(
        &self,
        named: &Named,
    ) -> Result<Option<(GrantFacts, Snapshot)>, StoreError> {
        let store = &self.ports().store;
        let scope = match named {
            Named::Credential(key) => Scope::Credential {
                key: key.clone(),
                connecting: None,
            },
            Named::Grant(id) => Scope::Grant(id.clone()),
        };
        let snapshot = store.snapshot(&scope).await?;
        let id = match named {
            Named::Grant(id) => Some(id),
            Named::Credential(key) => {
                let mut credentials = snapshot.credentials.iter();
                let credential = credentials.find(|credential| credential.key == *key);
                credential.map(|credential| &credential.grant)
            }
        };
        let mut grants = snapshot.grants.iter();
        let Some(grant) = grants.find(|grant| Some(&grant.id) == id).cloned() else {
            return Ok(None);
        };
        let snapshot = match &grant.parent {
            None => snapshot,
            Some(parent) => store.snapshot(&Scope::Grant(parent.clone())).await?,
        };
        Ok(Some((grant, snapshot)))
    }

    fn diagnose(&self, grant: &GrantFacts, now: Timestamp) -> Diagnosis {
        let providers = &self.ports().providers;
        let renewal = providers.renewal(&grant.client);
        diagnosis::Evidence {
            grant,
            now,
            renewal: renewal.of(grant.grant_type),
            unknown: providers.check(&grant.client).err(),
            refusal: self.refusal(&grant.client),
            throttled_for: self.budget(&grant.client).throttled_for,
        }
        .diagnose()
    }
}
