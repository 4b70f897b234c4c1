//! Snapshots to plan changes of, and changes in few words.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::change::{ChangeSet, NewGrant, Snapshot, Write};
use crate::clock::Timestamp;
use crate::events::EventBody;
use crate::grant::{GrantFacts, GrantState, Invalidation, InvalidationReason, Lease, TokenSet};
use crate::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, Epoch, Generation, GrantId, IntegrationId,
    IntegrationKey, OwnerToken, ProviderName, TenantId,
};
use crate::integration::{Facts, Fault, Integration, IntegrationStatus, Need};
use crate::secret::{AccessToken, RefreshToken};
use crate::store::Credential;
use crate::testing::sample;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const BEFORE: Timestamp = Timestamp::from_millis(1_600_000_000_000);

pub(super) fn key(name: &str) -> CredentialKey {
    CredentialKey {
        tenant: TenantId::parse("t1").unwrap(),
        id: credential_id(name),
    }
}

pub(super) fn credential_id(name: &str) -> CredentialId {
    CredentialId::parse(name).unwrap()
}

pub(super) fn integration_key(name: &str) -> IntegrationKey {
    IntegrationKey {
        tenant: TenantId::parse("t1").unwrap(),
        id: IntegrationId::parse(name).unwrap(),
    }
}

pub(super) fn client(name: &str) -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("acme").unwrap(),
        client: ClientName::parse(name).unwrap(),
    }
}

pub(super) fn labels(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("team".into(), value.into())])
}

pub(super) fn tokens(name: &str) -> TokenSet {
    TokenSet {
        access_token: AccessToken::new(format!("access-{name}")),
        expires_at: Some(NOW.plus(Duration::from_secs(3_600))),
        refresh_token: Some(RefreshToken::new(format!("refresh-{name}"))),
        ..sample::tokens()
    }
}

pub(super) fn death(code: &str) -> Invalidation {
    Invalidation {
        reason: InvalidationReason::GrantRevoked,
        provider_error: code.to_owned(),
        message: "the provider says so".into(),
        at: NOW,
        reported: false,
    }
}

/// A snapshot that is written row by row.
pub(super) struct Scene(pub(super) Snapshot);

impl Scene {
    pub(super) fn new() -> Self {
        Self(Snapshot {
            revision: 7,
            now: NOW,
            grants: Vec::new(),
            same_token: Vec::new(),
            elsewhere: Vec::new(),
            credentials: Vec::new(),
            integrations: Vec::new(),
            client: None,
            delivered: false,
            refusals: None,
        })
    }

    /// A working grant of client `main`, generation 5, with a credential of each name.
    pub(super) fn grant(&mut self, account: Option<&str>, users: &[&str]) -> GrantId {
        let id = GrantId::random();
        self.0.grants.push(GrantFacts {
            id: id.clone(),
            tenant: key("any").tenant,
            account: account.map(str::to_owned),
            generation: Generation(5),
            version: 9,
            ..sample::facts(client("main"), &tokens("old"), BEFORE)
        });
        for name in users {
            self.0.credentials.push(Credential {
                key: key(name),
                grant: id.clone(),
                labels: labels(name),
                created_at: BEFORE,
                version: 1,
            });
        }
        id
    }

    /// Like [`grant`](Self::grant), but it is dead.
    pub(super) fn dead_grant(&mut self, account: Option<&str>, users: &[&str]) -> GrantId {
        let id = self.grant(account, users);
        self.facts(&id).state = GrantState::Invalidated(death("token_revoked"));
        id
    }

    pub(super) fn facts(&mut self, id: &GrantId) -> &mut GrantFacts {
        let mut grants = self.0.grants.iter_mut();
        let grant = grants.find(|grant| grant.id == *id);
        grant.unwrap()
    }

    /// An attempt with this fencing token holds the grant.
    pub(super) fn lease(&mut self, id: &GrantId, epoch: u64) {
        self.facts(id).lease = Some(Lease {
            owner: OwnerToken::random(),
            epoch: Epoch(epoch),
            left: Duration::from_secs(45),
        });
    }

    /// An integration that needs these credentials, as it stands now.
    pub(super) fn integration(&mut self, name: &str, needs: &[&str]) {
        self.integration_with(name, needs, |_| {});
    }

    pub(super) fn integration_with(
        &mut self,
        name: &str,
        needs: &[&str],
        change: impl FnOnce(&mut Facts),
    ) {
        let needs = needs.iter().map(|name| Need {
            credential: credential_id(name),
            fault: self.fault(name),
        });
        let mut facts = Facts {
            needs: needs.collect(),
            ..Facts::default()
        };
        change(&mut facts);
        self.0.integrations.push(Integration {
            key: integration_key(name),
            status: facts.status(),
            cause: facts.cause(),
            facts,
            labels: labels(name),
            status_changed_at: BEFORE,
            version: 3,
        });
    }

    fn fault(&self, credential: &str) -> Option<Fault> {
        let mut credentials = self.0.credentials.iter();
        let Some(found) = credentials.find(|known| known.key == key(credential)) else {
            return Some(Fault::Deleted);
        };
        let mut grants = self.0.grants.iter();
        let grant = grants.find(|grant| grant.id == found.grant).unwrap();
        let dead = grant.state.invalidation()?;
        Some(Fault::invalidated(dead.reason, &dead.provider_error))
    }
}

/// What a change tells, in its order, e.g. `a died`, `i Enabled -> Error`.
pub(super) fn told(change: &ChangeSet) -> Vec<String> {
    let events = change.events.iter();
    events
        .map(|event| match event {
            EventBody::CredentialInvalidated(event) => format!("{} died", event.credential.id),
            EventBody::CredentialRestored(event) => {
                format!("{} works as {}", event.credential.id, event.generation)
            }
            EventBody::CredentialDeleted(event) => format!("{} is deleted", event.credential.id),
            EventBody::IntegrationStatusChanged(event) => {
                format!(
                    "{} {:?} -> {:?}",
                    event.integration.id, event.from, event.to
                )
            }
            other => format!("{:?}", other.kind()),
        })
        .collect()
}

/// What a change writes, in its order, after checking that no row is written twice.
pub(super) fn written(change: &ChangeSet) -> Vec<String> {
    assert_eq!(change.revision, 7);
    let distinct = change.distinct_writes().expect("each row is written once");
    let mut rows = distinct.into_iter().map(write).collect::<Vec<_>>();
    rows.sort();
    rows
}

fn write(write: &Write) -> String {
    match write {
        Write::InsertGrant(new) => format!("insert grant of generation {}", new.generation),
        Write::StoreTokens { base, next, .. } => format!("store tokens {base} -> {next}"),
        Write::KeepTokens { .. } => "keep tokens".into(),
        Write::InvalidateGrant { generation, .. } => format!("invalidate grant {generation}"),
        Write::DateGrant { announced, .. } => {
            let days = announced.map_or(0, |ahead| ahead.days());
            format!("date grant, {days} days announced")
        }
        Write::ReportDeath { generation, .. } => format!("report death {generation}"),
        Write::HoldGrant { generation, .. } => format!("hold grant {generation}"),
        Write::NoteRefusal { .. } => "note refusal".into(),
        Write::SetBrake(brake) => format!("brake since {}", brake.since),
        Write::ReleaseBrake { .. } => "release brake".into(),
        Write::TouchGrant(_) => "touch grant".into(),
        Write::DeleteGrant(_) => "delete grant".into(),
        Write::InsertCredential(new) => format!("insert {}", new.key.id),
        Write::UpdateCredentialLabels { key, .. } => format!("label {}", key.id),
        Write::MoveCredential { key, .. } => format!("move {}", key.id),
        Write::DeleteCredential(key) => format!("delete {}", key.id),
        Write::InsertIntegration(new) => format!("insert {}", new.key.id),
        Write::UpdateIntegration(next) => {
            assert_eq!(next.version, 4, "one more than before");
            format!("update {} to {:?}", next.key.id, next.status)
        }
        Write::DeleteIntegration(key) => format!("delete {}", key.id),
        Write::SetClientHealth(health) => format!("client rejected: {}", health.rejected),
        Write::RememberDelivery(_) => "remember a delivery".into(),
        Write::NoteKilled(killed) => {
            let (generation, credentials) = (killed.generation, killed.credentials);
            format!("note killed {generation}, {credentials} credentials")
        }
    }
}

/// The integration of that name as the change leaves it.
pub(super) fn left(change: &ChangeSet, name: &str) -> Integration {
    let mut writes = change.writes.iter();
    let found = writes.find_map(|write| match write {
        Write::UpdateIntegration(next) if next.key == integration_key(name) => Some(next.clone()),
        _ => None,
    });
    found.expect("the integration is written")
}

/// The status and the cause of an integration as the change leaves it.
pub(super) fn standing(change: &ChangeSet, name: &str) -> (IntegrationStatus, String) {
    let integration = left(change, name);
    (integration.status, integration.cause)
}

/// The grant that a change inserts.
pub(super) fn inserted(change: &ChangeSet) -> NewGrant {
    let mut writes = change.writes.iter();
    let found = writes.find_map(|write| match write {
        Write::InsertGrant(new) => Some((**new).clone()),
        _ => None,
    });
    found.expect("a grant is inserted")
}
