//! Replicas over one store, one coordination service and one provider.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::broker::Broker;
use evergrant_core::change::plan::CreateCredential;
use evergrant_core::clock::Clock;
use evergrant_core::events::{Event, EventBody, EventKind};
use evergrant_core::grant::{Grant, GrantType, Means, TokenSet};
use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, ProviderName, ReplicaName, TenantId,
};
use evergrant_core::provider::{Providers, Renewal};
use evergrant_core::refresh::{Limits, Ports};
use evergrant_core::store::{EventLog, GrantStore};
use evergrant_core::testing::attempts::MemoryAttempts;
use evergrant_core::testing::clock::ManualClock;
use evergrant_core::testing::coordinator::MemoryCoordinator;
use evergrant_core::testing::provider::ScriptedProviders;
use evergrant_core::testing::store::MemoryStore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use super::replica::*;

pub const LIMITS: Limits = Limits {
    attempt_timeout: Duration::from_secs(15),
    store_timeout: Duration::from_secs(5),
    lease: Duration::from_secs(45),
    per_client: 1_000,
};

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn client() -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("acme").unwrap(),
        client: ClientName::parse("main").unwrap(),
    }
}

pub fn key(name: &str) -> CredentialKey {
    CredentialKey {
        tenant: TenantId::parse("t1").unwrap(),
        id: CredentialId::parse(name).unwrap(),
    }
}

pub struct World {
    pub clock: Arc<ManualClock>,
    pub store: Arc<MemoryStore>,
    pub coordinator: Arc<MemoryCoordinator>,
    pub provider: Arc<ScriptedProviders>,
    pub attempts: Arc<MemoryAttempts>,
    pub limits: Limits,
}

impl World {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        Self {
            store: Arc::new(MemoryStore::new(clock.clone())),
            coordinator: MemoryCoordinator::new(),
            provider: ScriptedProviders::new(clock.clone()),
            clock,
            attempts: Arc::default(),
            limits: LIMITS,
        }
    }

    /// A world with one replica and the credential `a`, whose token has expired.
    pub async fn with_expired() -> (Self, Replica, CredentialKey) {
        let (world, replica, key) = Self::with_fresh().await;
        world.expire();
        (world, replica, key)
    }

    /// A world with one replica and the credential `a`, whose token is fresh.
    pub async fn with_fresh() -> (Self, Replica, CredentialKey) {
        let world = Self::new();
        let key = world.connect("a").await;
        let replica = world.replica();
        (world, replica, key)
    }

    pub fn ports(&self) -> Ports {
        Ports {
            store: self.store.clone(),
            locks: self.coordinator.clone(),
            escrow: self.coordinator.clone(),
            bus: self.coordinator.clone(),
            providers: self.provider.clone(),
            clock: self.clock.clone(),
            attempts: self.attempts.clone(),
            replica: ReplicaName::parse("replica").unwrap(),
        }
    }

    pub fn replica(&self) -> Replica {
        self.replica_with(self.ports())
    }

    /// A replica whose wall clock shows a later time than the store's and the provider's.
    pub fn replica_ahead(&self, by: Duration) -> Replica {
        let clock = ManualClock::new();
        clock.shift(self.clock.now().since(ManualClock::START) + by);
        self.replica_with(Ports {
            clock,
            ..self.ports()
        })
    }

    fn replica_with(&self, ports: Ports) -> Replica {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let broker = Broker::new(ports, self.limits, 10_000, &tracker, stop.clone());
        Replica {
            broker: Arc::new(broker),
            tracker,
            stop,
        }
    }

    pub fn replicas(&self, count: usize) -> Vec<Replica> {
        (0..count).map(|_| self.replica()).collect()
    }

    /// Stores a credential of a fresh consent.
    pub async fn connect(&self, name: &str) -> CredentialKey {
        self.connect_with(name, None, self.provider.consent(name))
            .await
    }

    pub async fn connect_with(
        &self,
        name: &str,
        account: Option<&str>,
        tokens: TokenSet,
    ) -> CredentialKey {
        let new = CreateCredential {
            key: key(name),
            client: client(),
            grant_type: GrantType::AuthorizationCode,
            account: account.map(str::to_owned),
            labels: BTreeMap::new(),
            tokens,
            issued_at: self.clock.now(),
            renewal: self.renewal(),
        };
        let registry = self.replica().broker.registry();
        registry.create_credential(&new).await.unwrap();
        new.key
    }

    /// Stores a credential whose tokens are minted, none of them yet.
    pub async fn mint(&self, name: &str, grant_type: GrantType, means: Means) -> CredentialKey {
        let new = CreateCredential {
            key: key(name),
            client: client(),
            grant_type,
            account: None,
            labels: BTreeMap::new(),
            tokens: TokenSet::to_mint(means),
            issued_at: self.clock.now(),
            renewal: self.renewal(),
        };
        let registry = self.replica().broker.registry();
        registry.create_credential(&new).await.unwrap();
        new.key
    }

    /// A world with one replica and the credential `a`, minted with client credentials.
    pub async fn with_minted() -> (Self, Replica, CredentialKey) {
        let world = Self::new();
        let key = world
            .mint("a", GrantType::ClientCredentials, Means::default())
            .await;
        let replica = world.replica();
        (world, replica, key)
    }

    /// How the provider renews tokens.
    pub fn renewal(&self) -> Renewal {
        self.provider.profile(&client()).unwrap().renewal
    }

    /// Lets every token that was issued so far expire.
    pub fn expire(&self) {
        self.clock.shift(seconds(3_600));
    }

    /// Makes hour-long tokens due soon: still good, and to be renewed in the background.
    pub fn make_due_soon(&self) {
        self.clock.shift(seconds(3_300));
    }

    /// Makes hour-long tokens due: still good for some seconds, and to be renewed first.
    pub fn make_due(&self) {
        self.clock.shift(seconds(3_580));
    }

    pub async fn grant(&self, key: &CredentialKey) -> Grant {
        self.store.grant_of(key).await.unwrap().unwrap()
    }

    pub async fn generation(&self, key: &CredentialKey) -> u64 {
        self.grant(key).await.facts.generation.0
    }

    pub async fn is_active(&self, key: &CredentialKey) -> bool {
        self.grant(key).await.facts.state.invalidation().is_none()
    }

    pub fn calls(&self) -> usize {
        self.provider.calls().len()
    }

    pub async fn events(&self) -> Vec<Event> {
        self.store.events_after(0, u32::MAX).await.unwrap().0
    }

    pub async fn kinds(&self) -> Vec<EventKind> {
        let events = self.events().await;
        events.iter().map(|event| event.body.kind()).collect()
    }

    /// Checks what must hold whenever nothing is under way, with every process alive and none of them paused.
    pub async fn check(&self, key: &CredentialKey) {
        // R3
        assert!(self.provider.most_with_one_token() <= 1, "calls overlapped");
        self.check_after_pause(key).await;
    }

    /// Like [`check`](Self::check), where a process was paused for longer than its lease.
    pub async fn check_after_pause(&self, key: &CredentialKey) {
        let grant = self.grant(key).await;
        // L3
        assert_eq!(grant.facts.lease, None, "a lease is left");
        assert!(self.coordinator.is_quiescent(), "a lock or escrow is left");
        // R5, R8: what the row holds is what the provider accepts, unless it is known to be dead.
        if grant.facts.state.invalidation().is_none()
            && let Some(refresh_token) = &grant.tokens.refresh_token
        {
            assert!(self.provider.accepts(refresh_token), "a rotation was lost");
        }
        self.check_log().await;
    }

    /// E1, E2: numbers are dense, and the events of a credential alternate.
    pub async fn check_log(&self) {
        let mut dead: HashMap<CredentialKey, bool> = HashMap::new();
        for (event, seq) in self.events().await.iter().zip(1..) {
            assert_eq!(event.seq, seq);
            let (credential, dies) = match &event.body {
                EventBody::CredentialInvalidated(event) => (&event.credential, true),
                EventBody::CredentialRestored(event) => (&event.credential, false),
                _ => continue,
            };
            let was_dead = dead.insert(credential.clone(), dies).unwrap_or(false);
            assert_ne!(was_dead, dies, "{credential} changed to what it was");
        }
    }
}
