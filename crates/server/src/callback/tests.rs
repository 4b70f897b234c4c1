use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::Method;
use evergrant_core::change::run::Changes;
use evergrant_core::failure::FailureReason;
use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, ProviderName, TenantId,
};
use evergrant_core::memory::Memory;
use evergrant_core::provider::UnknownClient;
use evergrant_core::registry::Registry;
use evergrant_core::testing::coordinator::MemoryCoordinator;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::*;
use crate::clock::SystemClock;
use crate::consent::{
    Answer, Authority, Begin, Denied, DeviceAnswer, DeviceCodes, Facts, Granted, Outcome, Parts,
    Pending, Unfit, Way,
};
use crate::seal::{Sealer, SealingKey};
use crate::store::{SqlStore, StoreOptions, StoreUrl};

const DONE: &str = "https://app.example/done?tab=2";

/// A provider that is out of reach, and counts who asks.
#[derive(Default)]
struct Absent(AtomicUsize);

#[async_trait]
impl Authority for Absent {
    fn facts(&self, _client: &ClientKey) -> Result<Facts, UnknownClient> {
        Ok(Facts {
            redirect_uris: vec![
                "https://evergrant.example/oauth/callback".into(),
                "http://127.0.0.1/callback".into(),
            ],
            ..Facts::default()
        })
    }

    fn check(&self, _pending: &Pending, _way: Way) -> Result<(), Unfit> {
        Ok(())
    }

    fn url(
        &self,
        _pending: &Pending,
        _state: &str,
        _parameters: &BTreeMap<String, String>,
    ) -> Result<Url, Unfit> {
        Ok(Url::parse("https://acme.example/authorize").unwrap())
    }

    async fn redeem(
        &self,
        _pending: &Pending,
        _state: &str,
        _code: &str,
        _timeout: Duration,
    ) -> Result<Granted, Denied> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(Denied {
            reason: Some(FailureReason::ProviderUnavailable),
            code: String::new(),
            message: "acme did not answer".into(),
        })
    }

    async fn begin_device(
        &self,
        _pending: &Pending,
        _timeout: Duration,
    ) -> Result<DeviceCodes, Denied> {
        unreachable!("nobody has a device here")
    }

    async fn poll_device(
        &self,
        _pending: &Pending,
        _device_code: &str,
        _timeout: Duration,
    ) -> Result<DeviceAnswer, Denied> {
        unreachable!("nobody has a device here")
    }
}

struct Scene {
    consents: Consents,
    provider: Arc<Absent>,
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("grants.db"));
        let ring = BTreeMap::from([("k1".to_owned(), SealingKey::generate())]);
        let sealer = Sealer::new("k1", ring).unwrap();
        let store = SqlStore::connect(&url, sealer, StoreOptions::default()).await;
        let store = Arc::new(store.unwrap());
        let memory = Arc::new(Memory::new(10));
        let changes = Changes::new(store.clone(), MemoryCoordinator::new(), memory);
        let provider = Arc::new(Absent::default());
        let consents = Consents::new(Parts {
            registry: Registry::new(changes),
            store,
            authority: provider.clone(),
            clock: Arc::new(SystemClock),
            return_urls: vec![DONE.into()],
            timeout: Duration::from_secs(1),
            tasks: TaskTracker::new(),
        });
        Self {
            consents,
            provider,
            _folder: folder,
        }
    }

    async fn begin(&self, return_url: &str) -> String {
        self.begin_for("", return_url).await
    }

    async fn begin_for(&self, redirect_uri: &str, return_url: &str) -> String {
        let begun = self.consents.begin(Begin {
            key: CredentialKey {
                tenant: TenantId::parse("t1").unwrap(),
                id: CredentialId::parse("c1").unwrap(),
            },
            client: ClientKey {
                provider: ProviderName::parse("acme").unwrap(),
                client: ClientName::parse("main").unwrap(),
            },
            labels: BTreeMap::new(),
            scopes: Vec::new(),
            redirect_uri: redirect_uri.to_owned(),
            parameters: BTreeMap::new(),
            placeholders: BTreeMap::new(),
            allow_account_change: false,
            return_url: return_url.to_owned(),
        });
        begun.await.unwrap().state
    }

    async fn visit(&self, method: Method, query: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{PATH}?{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        router(self.consents.clone())
            .oneshot(request)
            .await
            .unwrap()
    }

    fn asked(&self) -> usize {
        self.provider.0.load(Ordering::SeqCst)
    }
}

async fn text(response: Response) -> String {
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await;
    String::from_utf8(body.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn who_only_looks_does_not_spend_the_state() {
    let scene = Scene::new().await;
    let query = format!("state={}&code=c", scene.begin("").await);
    let head = scene.visit(Method::HEAD, &query, &[]).await;
    assert_eq!(head.status(), StatusCode::NO_CONTENT);
    for (name, value) in [
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
    ] {
        let early = scene.visit(Method::GET, &query, &[(name, value)]).await;
        assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE, "{name}");
    }
    let post = scene.visit(Method::POST, &query, &[]).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(scene.asked(), 0);

    let come = scene.visit(Method::GET, &query, &[]).await;
    assert_eq!(come.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(scene.asked(), 1);
    let again = scene.visit(Method::GET, &query, &[]).await;
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    assert!(text(again).await.contains("used before or is too old"));
    assert_eq!(scene.asked(), 1);
}

#[tokio::test]
async fn a_browser_is_sent_on_with_the_outcome_and_nowhere_else() {
    let scene = Scene::new().await;
    for (query, outcome, reason) in [
        ("code=c", "failed", "PROVIDER_UNAVAILABLE"),
        ("error=access_denied", "refused", "AUTHORIZATION_REFUSED"),
    ] {
        let state = scene.begin(DONE).await;
        let query = format!("{query}&state={state}&return_url=https%3A%2F%2Fevil.example");
        let back = scene.visit(Method::GET, &query, &[]).await;
        assert_eq!(back.status(), StatusCode::SEE_OTHER);
        let location = back.headers()[header::LOCATION].to_str().unwrap();
        let expected = format!("{DONE}&credential_id=c1&outcome={outcome}&reason={reason}");
        assert_eq!(location, expected);
        assert_eq!(back.headers()[header::REFERRER_POLICY], "no-referrer");
    }
    // Without a known state there is no address that could be trusted.
    let stray = scene.visit(Method::GET, "state=x&code=c", &[]).await;
    assert_eq!(stray.status(), StatusCode::BAD_REQUEST);
    assert!(!stray.headers().contains_key(header::LOCATION));
}

#[tokio::test]
async fn an_address_that_brings_nothing_is_told_so() {
    let scene = Scene::new().await;
    let state = scene.begin("").await;
    for query in [
        "code=c".to_owned(),
        "state=&code=c".to_owned(),
        format!("state={state}"),
        format!("state={state}&code=c&error=e"),
        format!("state={state}&code=c&code=d"),
    ] {
        let bad = scene.visit(Method::GET, &query, &[]).await;
        assert_eq!(bad.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(scene.asked(), 0, "and the state is still good");
    let refusal = format!("state={state}&error=access_denied&error_description=%3Cb%3Eno");
    let refused = text(scene.visit(Method::GET, &refusal, &[]).await).await;
    assert!(refused.contains("access_denied: &lt;b&gt;no"), "{refused}");
}

/// Whoever answers there compares the state with a session, which this callback cannot.
#[tokio::test]
async fn a_consent_that_is_to_end_elsewhere_does_not_end_here_and_stays_good() {
    let scene = Scene::new().await;
    let state = scene.begin_for("http://127.0.0.1:5555/callback", "").await;
    for query in ["code=c", "error=access_denied"] {
        let query = format!("state={state}&{query}");
        let stray = scene.visit(Method::GET, &query, &[]).await;
        assert_eq!(stray.status(), StatusCode::BAD_REQUEST);
        let page = text(stray).await;
        assert!(page.contains("an address of its own"), "{page}");
    }
    assert_eq!(scene.asked(), 0);

    let answer = Answer {
        state: state.into(),
        outcome: Outcome::Code("c".into()),
        issuer: String::new(),
    };
    let ended = scene.consents.complete(answer, None).await;
    assert!(matches!(ended.result, Err(ConsentError::Failed { .. })));
    assert_eq!(scene.asked(), 1, "its own caller has the code redeemed");
}
