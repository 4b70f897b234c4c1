mod account;
mod asked;
mod device;
mod reconnect;
mod redeemed;
mod state;

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use evergrant_core::change::run::Changes;
use evergrant_core::failure::FailureReason;
use evergrant_core::ids::{ClientName, CredentialId, Generation, ProviderName};
use evergrant_core::memory::Memory;
use evergrant_core::provider::{Issued, Renewal, UnknownClient};
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_core::testing::coordinator::MemoryCoordinator;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::time::timeout;
use url::Url;

use super::*;
use crate::clock::SystemClock;
use crate::seal::{Sealer, SealingKey};
use crate::store::{StoreOptions, StoreUrl};

/// A provider that answers what a test says.
#[derive(Default)]
struct Scripted {
    facts: Facts,
    answers: Mutex<VecDeque<Result<Granted, Denied>>>,
    redeemed: Mutex<Vec<(String, Pending, String)>>,
    polls: Mutex<VecDeque<Result<DeviceAnswer, Denied>>>,
}

#[async_trait]
impl Authority for Scripted {
    fn facts(&self, client: &ClientKey) -> Result<Facts, UnknownClient> {
        match client.client.as_str() {
            "main" | "other" => Ok(self.facts.clone()),
            _ => Err(UnknownClient::Provider(client.provider.to_string())),
        }
    }

    /// Consents of one shop can never end.
    fn check(&self, pending: &Pending, way: Way) -> Result<(), Unfit> {
        match pending.placeholders.get("shop").map(String::as_str) {
            Some("closed") => Err(Unfit {
                placeholder: (way == Way::Browser).then(|| "shop".to_owned()),
                why: format!("catalogue entry acme: no {way:?}"),
            }),
            _ => Ok(()),
        }
    }

    fn url(
        &self,
        pending: &Pending,
        state: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Url, Unfit> {
        let mut url = Url::parse("https://acme.example/authorize").unwrap();
        let mut query = url.query_pairs_mut();
        query.append_pair("state", state);
        query.append_pair("scope", &pending.scopes.join(" "));
        query.extend_pairs(parameters);
        drop(query);
        Ok(url)
    }

    async fn redeem(
        &self,
        pending: &Pending,
        state: &str,
        code: &str,
        _timeout: Duration,
    ) -> Result<Granted, Denied> {
        let mut redeemed = self.redeemed.lock().unwrap();
        redeemed.push((code.to_owned(), pending.clone(), state.to_owned()));
        let mut answers = self.answers.lock().unwrap();
        answers.pop_front().unwrap_or_else(|| Ok(granted("a1")))
    }

    async fn begin_device(
        &self,
        _pending: &Pending,
        _timeout: Duration,
    ) -> Result<DeviceCodes, Denied> {
        Ok(DeviceCodes {
            device_code: "device-1".into(),
            user_code: "WDJB-MJHT".into(),
            verification_uri: "https://acme.example/device".into(),
            verification_uri_complete: None,
            expires_in: Duration::from_secs(300),
            interval: Duration::from_secs(5),
        })
    }

    async fn poll_device(
        &self,
        _pending: &Pending,
        device_code: &str,
        _timeout: Duration,
    ) -> Result<DeviceAnswer, Denied> {
        assert_eq!(device_code, "device-1");
        let mut answers = self.polls.lock().unwrap();
        answers.pop_front().expect("a test says what is answered")
    }
}

fn granted(account: &str) -> Granted {
    Granted {
        issued: Issued {
            access_token: AccessToken::new(format!("at-{account}")),
            token_type: "Bearer".into(),
            expires_at: None,
            refresh_token: Some(RefreshToken::new(format!("rt-{account}"))),
            refresh_expires_at: None,
            scopes: None,
            metadata: BTreeMap::from([("team".into(), "T1".into())]),
            minted_by: None,
        },
        account: Some(account.to_owned()),
    }
}

struct Scene {
    consents: Consents,
    store: Arc<SqlStore>,
    authority: Arc<Scripted>,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Facts)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("grants.db"));
        let ring = BTreeMap::from([("k1".to_owned(), SealingKey::generate())]);
        let sealer = Sealer::new("k1", ring).unwrap();
        let store = SqlStore::connect(&url, sealer, StoreOptions::default()).await;
        let store = Arc::new(store.unwrap());
        let mut facts = Facts {
            redirect_uris: vec![
                "https://app.example/callback".into(),
                "http://127.0.0.1/callback".into(),
            ],
            pkce: true,
            openid: true,
            names_account: true,
            issuer: Some("https://acme.example".into()),
            scope_parameter: "scope".into(),
            renewal: Renewal::default(),
            placeholders: vec!["shop".into()],
            address_placeholders: vec!["shop".into()],
            known_placeholders: vec!["region".into(), "shop".into()],
        };
        change(&mut facts);
        let authority = Arc::new(Scripted {
            facts,
            ..Scripted::default()
        });
        let memory = Arc::new(Memory::new(10));
        let changes = Changes::new(store.clone(), MemoryCoordinator::new(), memory);
        let consents = Consents::new(Parts {
            registry: Registry::new(changes),
            store: store.clone(),
            authority: authority.clone(),
            clock: Arc::new(SystemClock),
            return_urls: vec!["https://app.example/done".into()],
            timeout: Duration::from_secs(1),
            tasks: TaskTracker::new(),
        });
        Self {
            consents,
            store,
            authority,
            folder,
        }
    }

    fn next_answer(&self, answer: Result<Granted, Denied>) {
        self.authority.answers.lock().unwrap().push_back(answer);
    }

    fn redeemed(&self) -> usize {
        self.authority.redeemed.lock().unwrap().len()
    }

    async fn consent(&self, begin: Begin) -> Result<Completed, ConsentError> {
        let begun = self.consents.begin(begin).await?;
        self.consents
            .complete(code(&begun.state), None)
            .await
            .result
    }

    async fn view(&self) -> CredentialView {
        self.store.credential(&key("c1")).await.unwrap().unwrap()
    }

    /// A connection of a stranger to the database.
    async fn database(&self) -> DatabaseConnection {
        let file = self.folder.path().join("grants.db");
        let url = format!("sqlite://{}", file.display());
        Database::connect(url).await.unwrap()
    }

    async fn orphans(&self) -> u64 {
        let database = self.database().await;
        let count = "SELECT count(*) AS kept FROM orphans";
        let count = Statement::from_string(database.get_database_backend(), count);
        let row = database.query_one_raw(count).await.unwrap().unwrap();
        row.try_get::<i64>("", "kept").unwrap().unsigned_abs()
    }
}

fn key(id: &str) -> CredentialKey {
    CredentialKey {
        tenant: TenantId::parse("t1").unwrap(),
        id: CredentialId::parse(id).unwrap(),
    }
}

fn client(name: &str) -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("acme").unwrap(),
        client: ClientName::parse(name).unwrap(),
    }
}

fn begin() -> Begin {
    Begin {
        key: key("c1"),
        client: client("main"),
        labels: BTreeMap::from([("team".into(), "x".into())]),
        scopes: vec!["read".into(), "write".into()],
        redirect_uri: String::new(),
        parameters: BTreeMap::new(),
        placeholders: BTreeMap::new(),
        allow_account_change: false,
        return_url: String::new(),
    }
}

fn code(state: &str) -> Answer {
    Answer {
        state: state.into(),
        outcome: Outcome::Code("code-1".into()),
        issuer: String::new(),
    }
}
