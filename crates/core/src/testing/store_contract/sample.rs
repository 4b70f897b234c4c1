//! Rows to fill a store with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::StoreHarness;
use crate::ageing::Dates;
use crate::change::{ChangeSet, Connecting, NewGrant, Scope, Write};
use crate::clock::Timestamp;
use crate::events::{CredentialRestored, EventBody};
use crate::grant::{GrantType, Invalidation, InvalidationReason, Means, TokenSet};
use crate::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, Generation, GrantId, IntegrationId,
    IntegrationKey, ProviderName, TenantId,
};
use crate::integration::{Facts, Fault, Integration, IntegrationStatus, Need};
use crate::minted::{Fingerprint, MintedBy};
use crate::secret::{AccessToken, Parameter, RefreshToken, SigningKey};
use crate::store::{ApplyError, Credential, Store};

pub(super) const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub(super) fn credential_id(name: &str) -> CredentialId {
    CredentialId::parse(name).unwrap()
}

/// `tenant/name`, or a name of tenant `t1`.
pub(super) fn key(name: &str) -> CredentialKey {
    let (tenant_name, name) = name.split_once('/').unwrap_or(("t1", name));
    CredentialKey {
        tenant: tenant(tenant_name),
        id: credential_id(name),
    }
}

pub(super) fn integration_key(name: &str) -> IntegrationKey {
    IntegrationKey {
        tenant: tenant("t1"),
        id: IntegrationId::parse(name).unwrap(),
    }
}

pub(super) fn client(provider: &str) -> ClientKey {
    ClientKey {
        provider: ProviderName::parse(provider).unwrap(),
        client: ClientName::parse("main").unwrap(),
    }
}

/// Tokens without a refresh token, of an account at Slack.
pub(super) fn connecting(account: &str) -> Connecting {
    Connecting {
        client: client("slack"),
        account: Some(account.to_owned()),
        refresh_token: None,
    }
}

pub(super) fn tokens(name: &str) -> TokenSet {
    TokenSet {
        access_token: AccessToken::new(format!("hush-access-{name}")),
        token_type: "Bearer".into(),
        expires_at: Some(Timestamp::from_millis(1_700_003_600_123)),
        refresh_token: Some(RefreshToken::new(format!("hush-refresh-{name}"))),
        refresh_expires_at: None,
        scopes: vec!["chat:write".into(), "with \"quotes\" and ü".into()],
        metadata: BTreeMap::from([("instance_url".into(), "https://ex.test/ü\n\"".into())]),
        means: means(name),
        minted_by: Some(MintedBy {
            fingerprint: Fingerprint::new(std::array::from_fn(|index| 255 - index as u8)),
            since: Timestamp::from_millis(1_699_999_999_999),
        }),
    }
}

/// Means with every field filled in that is kept.
pub(super) fn means(name: &str) -> Means {
    Means {
        parameters: BTreeMap::from([("corpid".into(), Parameter::new(format!("hush-{name}\"ü")))]),
        signing_key: Some(SigningKey::new(format!("hush-key-{name}\n"))),
        scopes: ["b", "a \"b\""].map(str::to_owned).into_iter().collect(),
        subject_token: None,
    }
}

/// The dates of a grant that nothing ends of.
pub(super) fn due(due_at: Option<Timestamp>) -> Dates {
    Dates {
        due_at,
        ..Dates::default()
    }
}

pub(super) fn new_grant(tenant_name: &str, provider: &str) -> NewGrant {
    NewGrant {
        id: GrantId::random(),
        tenant: tenant(tenant_name),
        client: client(provider),
        account: None,
        grant_type: GrantType::AuthorizationCode,
        parent: None,
        generation: Generation(1),
        tokens: tokens("first"),
        issued_at: T0,
        dates: due(Some(T0)),
    }
}

pub(super) fn new_credential(key: CredentialKey, grant: &GrantId) -> Credential {
    Credential {
        key,
        grant: grant.clone(),
        labels: BTreeMap::new(),
        created_at: T0,
        version: 1,
    }
}

pub(super) fn new_integration(name: &str, needs: &[&str]) -> Integration {
    let needs = needs.iter().map(|name| Need {
        credential: credential_id(name),
        fault: None,
    });
    Integration {
        key: integration_key(name),
        facts: Facts {
            needs: needs.collect(),
            ..Facts::default()
        },
        labels: BTreeMap::from([("colour".into(), "blue".into())]),
        status: IntegrationStatus::Enabled,
        cause: String::new(),
        status_changed_at: T0,
        version: 1,
    }
}

/// The needs of an integration with their faults, e.g. `[("a", ""), ("b", "deleted")]`.
pub(super) fn faults(integration: &Integration) -> Vec<(&str, &str)> {
    let needs = integration.facts.needs.iter();
    needs
        .map(|need| {
            let fault = match &need.fault {
                None => "",
                Some(Fault::Deleted) => "deleted",
                Some(Fault::Invalidated(why)) => why,
            };
            (need.credential.as_str(), fault)
        })
        .collect()
}

pub(super) fn revoked(provider_error: &str) -> Invalidation {
    Invalidation {
        reason: InvalidationReason::GrantRevoked,
        provider_error: provider_error.to_owned(),
        message: "the provider says so".into(),
        at: T0,
        reported: false,
    }
}

pub(super) fn restored(name: &str) -> EventBody {
    EventBody::CredentialRestored(CredentialRestored {
        credential: key(name),
        provider: client("slack").provider,
        generation: Generation(2),
        integrations: Vec::new(),
        at: T0,
        labels: BTreeMap::new(),
    })
}

/// The store of a harness, and short ways to write to it.
pub(super) struct Subject(pub(super) Arc<dyn Store>);

impl Subject {
    pub(super) fn of(harness: &dyn StoreHarness) -> Self {
        Self(harness.store())
    }

    pub(super) async fn revision(&self) -> u64 {
        let scope = Scope::Client(client("none"));
        self.0.snapshot(&scope).await.unwrap().revision
    }

    pub(super) async fn try_apply(
        &self,
        writes: Vec<Write>,
        events: Vec<EventBody>,
    ) -> Result<u64, ApplyError> {
        let revision = self.revision().await;
        self.0
            .apply(&ChangeSet {
                revision,
                writes,
                events,
            })
            .await
    }

    pub(super) async fn write(&self, writes: Vec<Write>) {
        self.try_apply(writes, Vec::new()).await.unwrap();
    }

    /// Stores `grant` with a credential of each name.
    pub(super) async fn add(&self, grant: NewGrant, names: &[&str]) -> GrantId {
        let id = grant.id.clone();
        let mut writes = vec![Write::InsertGrant(Box::new(grant))];
        let credentials = names.iter().map(|name| new_credential(key(name), &id));
        writes.extend(credentials.map(Write::InsertCredential));
        self.write(writes).await;
        id
    }

    /// A grant of provider `slack` with a credential of each name.
    pub(super) async fn add_slack(&self, names: &[&str]) -> GrantId {
        self.add(new_grant("t1", "slack"), names).await
    }

    pub(super) async fn invalidate(&self, grant: &GrantId, provider_error: &str) {
        let generation = self.generation(grant).await;
        self.write(vec![Write::InvalidateGrant {
            grant: grant.clone(),
            generation,
            epoch: None,
            invalidation: revoked(provider_error),
        }])
        .await;
    }

    /// It dies on the word of a caller.
    pub(super) async fn report_dead(&self, grant: &GrantId) {
        let generation = self.generation(grant).await;
        self.write(vec![Write::InvalidateGrant {
            grant: grant.clone(),
            generation,
            epoch: None,
            invalidation: Invalidation {
                reported: true,
                ..revoked("stolen")
            },
        }])
        .await;
    }

    pub(super) async fn generation(&self, grant: &GrantId) -> Generation {
        self.0.grant(grant).await.unwrap().unwrap().facts.generation
    }

    pub(super) async fn version(&self, grant: &GrantId) -> u64 {
        self.0.grant(grant).await.unwrap().unwrap().facts.version
    }
}
