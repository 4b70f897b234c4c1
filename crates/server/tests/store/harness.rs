//! A store on a database of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::ageing::Dates;
use evergrant_core::change::{ChangeSet, NewGrant, Write};
use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{GrantType, Means, TokenSet};
use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, GrantId, ProviderName, TenantId,
};
use evergrant_core::secret::{AccessToken, Parameter, RefreshToken, SigningKey};
use evergrant_core::store::{Credential, Store};
use evergrant_core::testing::store_contract::StoreHarness;
use evergrant_server::seal::{Sealer, SealingKey};
use evergrant_server::store::{OpenStoreError, Pooler, SqlStore, StoreOptions, StoreUrl};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::server::Postgres;

pub struct Harness {
    pub store: Arc<SqlStore>,
    pub url: StoreUrl,
    /// A connection that the store knows nothing of.
    pub database: DatabaseConnection,
    /// Holds the SQLite file.
    pub folder: Option<TempDir>,
}

/// A sealer with a key of each name, sealing with the first.
pub fn sealer(keys: &[&str]) -> Sealer {
    let last = |id: &str| id.bytes().last().unwrap();
    let keys: Vec<_> = keys.iter().map(|id| (*id, last(id))).collect();
    sealer_of(&keys)
}

/// A sealer whose one key consists of `byte`.
pub fn sealer_with(id: &str, byte: u8) -> Sealer {
    sealer_of(&[(id, byte)])
}

/// A sealer whose keys consist of these bytes, sealing with the first.
pub fn sealer_of(keys: &[(&str, u8)]) -> Sealer {
    let key = |byte| SealingKey::new(Zeroizing::new([byte; 32]));
    let ring = keys.iter().map(|(id, byte)| ((*id).to_owned(), key(*byte)));
    Sealer::new(keys[0].0, ring.collect()).unwrap()
}

pub fn postgres_options() -> StoreOptions {
    StoreOptions {
        max_connections: 8,
        ..StoreOptions::default()
    }
}

/// A grant with one credential, `t1/a`, whose tokens all begin with `hush`.
pub fn first_change() -> (GrantId, ChangeSet) {
    let id = GrantId::random();
    let tenant = TenantId::parse("t1").unwrap();
    let at = Timestamp::from_millis(1_700_000_000_000);
    let grant = NewGrant {
        id: id.clone(),
        tenant: tenant.clone(),
        client: ClientKey {
            provider: ProviderName::parse("slack").unwrap(),
            client: ClientName::parse("main").unwrap(),
        },
        account: None,
        grant_type: GrantType::AuthorizationCode,
        parent: None,
        generation: evergrant_core::ids::Generation::FIRST,
        tokens: tokens("first"),
        issued_at: at,
        dates: Dates::default(),
    };
    let credential = Credential {
        key: CredentialKey {
            tenant,
            id: CredentialId::parse("a").unwrap(),
        },
        grant: id.clone(),
        labels: BTreeMap::new(),
        created_at: at,
        version: 1,
    };
    let change = ChangeSet {
        revision: 0,
        writes: vec![
            Write::InsertGrant(Box::new(grant)),
            Write::InsertCredential(credential),
        ],
        events: Vec::new(),
    };
    (id, change)
}

pub fn tokens(name: &str) -> TokenSet {
    TokenSet {
        access_token: AccessToken::new(format!("hush-access-{name}")),
        token_type: "Bearer".into(),
        expires_at: None,
        refresh_token: Some(RefreshToken::new(format!("hush-refresh-{name}"))),
        refresh_expires_at: None,
        scopes: Vec::new(),
        metadata: BTreeMap::from([("instance_url".into(), "hush-metadata".into())]),
        means: Means {
            parameters: BTreeMap::from([(
                "secret".into(),
                Parameter::new("hush-parameter".into()),
            )]),
            signing_key: Some(SigningKey::new("hush-key".into())),
            ..Means::default()
        },
        minted_by: None,
    }
}

impl Harness {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("grants.db");
        let url = format!("sqlite://{}", file.display());
        Self::open(&url, Pooler::None, Some(folder)).await
    }

    pub async fn postgres() -> Self {
        Self::open(&Postgres::shared().new_database(), Pooler::None, None).await
    }

    pub async fn behind_a_pooler() -> Self {
        let url = Postgres::shared().new_database();
        Self::open(&url, Pooler::Transaction, None).await
    }

    async fn open(url: &str, pooler: Pooler, folder: Option<TempDir>) -> Self {
        let store_url = StoreUrl::parse(url).unwrap().behind(pooler);
        let store = SqlStore::connect(&store_url, sealer(&["k1"]), postgres_options()).await;
        Self {
            store: Arc::new(store.unwrap()),
            url: store_url,
            database: Database::connect(url).await.unwrap(),
            folder,
        }
    }

    /// Opens the same database again.
    pub async fn reopen(
        &self,
        keys: &[&str],
        options: StoreOptions,
    ) -> Result<SqlStore, OpenStoreError> {
        SqlStore::connect(&self.url, sealer(keys), options).await
    }

    pub async fn execute(&self, sql: &str) {
        self.database.execute_unprepared(sql).await.unwrap();
    }
}

#[async_trait]
impl StoreHarness for Harness {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Time that the database keeps passes by moving what it has written down into the past.
    async fn pass(&self, duration: Duration) {
        let by = duration.as_millis();
        self.execute(&format!(
            "UPDATE grants SET lease_until = lease_until - {by}"
        ))
        .await;
        self.execute(&format!("UPDATE orphans SET kept_at = kept_at - {by}"))
            .await;
        self.execute(&format!("UPDATE grants SET changed_at = changed_at - {by}"))
            .await;
        self.execute(&format!(
            "UPDATE deleted_grants SET deleted_at = deleted_at - {by}"
        ))
        .await;
        self.execute(&format!("UPDATE refusals SET at = at - {by}"))
            .await;
        self.execute(&format!(
            "UPDATE clients SET since = since - {by}, probed_at = probed_at - {by}"
        ))
        .await;
        self.execute(&format!("UPDATE events SET at = at - {by}"))
            .await;
        self.execute(&format!("UPDATE deliveries SET seen_at = seen_at - {by}"))
            .await;
    }
}
