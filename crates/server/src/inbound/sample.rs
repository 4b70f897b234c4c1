//! An inbox with a store in memory, and what Slack would send it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use aws_lc_rs::hmac;
use evergrant_core::change::plan::CreateCredential;
use evergrant_core::change::run::Changes;
use evergrant_core::clock::Clock;
use evergrant_core::grant::{GrantType, InvalidationReason, Means, TokenSet};
use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, ProviderName, TenantId,
};
use evergrant_core::memory::Memory;
use evergrant_core::provider::Renewal;
use evergrant_core::registry::Registry;
use evergrant_core::secret::AccessToken;
use evergrant_core::store::Directory;
use evergrant_core::testing::clock::ManualClock;
use evergrant_core::testing::coordinator::MemoryCoordinator;
use evergrant_core::testing::store::MemoryStore;
use evergrant_providers::jwks::KeySets;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio_util::task::TaskTracker;

use super::*;
use crate::config::Config;

const CONFIG: &str = "
[providers]
dir = \"\"
[inbound]
listen = \"127.0.0.1:0\"
[inbound.receivers.slack]
kind = \"slack\"
provider = \"slack\"
signing_secret = \"hush\"
[inbound.receivers.google]
kind = \"set\"
provider = \"google\"
issuer = \"https://issuer.example\"
audience = [\"client-1\"]
jwks_url = \"http://127.0.0.1:9/jwks\"
";

/// An inbox with the receivers `slack` and `google`, the former with the secret `hush`.
pub(super) struct Scene {
    pub(super) inbox: Inbox,
    pub(super) store: Arc<MemoryStore>,
    pub(super) clock: Arc<ManualClock>,
    registry: Registry,
}

impl Scene {
    pub(super) fn new() -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(CONFIG.as_bytes()).unwrap();
        let config = Config::load(Some(file.path()), std::iter::empty(), Vec::new()).unwrap();
        let clock = ManualClock::new();
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let bus = MemoryCoordinator::new();
        let memory = Arc::new(Memory::new(10));
        let registry = Registry::new(Changes::new(store.clone(), bus, memory));
        let port: Arc<dyn Clock> = clock.clone();
        let key_sets = Arc::new(KeySets::new(Arc::clone(&port)).unwrap());
        let receivers = config.inbound.unwrap();
        let tasks = TaskTracker::new();
        let inbox = Inbox::new(&receivers, &key_sets, registry.clone(), port, tasks);
        Self {
            inbox,
            store,
            clock,
            registry,
        }
    }

    /// Stores a credential of provider `slack` with this account.
    pub(super) async fn connect(&self, tenant: &str, account: &str) -> CredentialKey {
        let new = CreateCredential {
            key: CredentialKey {
                tenant: TenantId::parse(tenant).unwrap(),
                id: CredentialId::parse("c").unwrap(),
            },
            client: ClientKey {
                provider: ProviderName::parse("slack").unwrap(),
                client: ClientName::parse("main").unwrap(),
            },
            grant_type: GrantType::AuthorizationCode,
            account: Some(account.into()),
            labels: BTreeMap::new(),
            tokens: tokens(),
            issued_at: self.clock.now(),
            renewal: Renewal::default(),
        };
        self.registry.create_credential(&new).await.unwrap();
        new.key
    }

    /// Why a credential is dead, if it is.
    pub(super) async fn death(&self, key: &CredentialKey) -> Option<(InvalidationReason, String)> {
        let view = self.store.credential(key).await.unwrap().unwrap();
        let dead = view.grant.state.invalidation()?;
        Some((dead.reason, dead.provider_error.clone()))
    }

    /// Slack's word, at this moment, that its app was uninstalled from `team`.
    pub(super) fn uninstalled(&self, id: &str, team: &str) -> Request<Full<Bytes>> {
        let seconds = self.clock.now().as_millis() / 1_000;
        let body = serde_json::json!({
            "type": "event_callback", "team_id": team, "event": { "type": "app_uninstalled" },
            "event_id": id, "event_time": seconds,
        });
        let body = body.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"hush");
        let tag = hmac::sign(&key, format!("v0:{seconds}:{body}").as_bytes());
        let digits: String = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Request::post("/slack")
            .header("content-type", "application/json; charset=utf-8")
            .header("x-slack-request-timestamp", seconds)
            .header("x-slack-signature", format!("v0={digits}"))
            .body(Full::from(body))
            .unwrap()
    }

    pub(super) async fn status(&self, request: Request<Full<Bytes>>) -> u16 {
        self.inbox.answer(request).await.status().as_u16()
    }
}

fn tokens() -> TokenSet {
    TokenSet {
        access_token: AccessToken::new("hush-access".into()),
        token_type: "Bearer".into(),
        expires_at: None,
        refresh_token: None,
        refresh_expires_at: None,
        scopes: Vec::new(),
        metadata: BTreeMap::new(),
        means: Means::default(),
        minted_by: None,
    }
}

pub(super) async fn text(response: Response<Full<Bytes>>) -> String {
    let body = response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}
