mod account;
mod device;

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
            only_openid_names: false,
            issuer: Some("https://acme.example".into()),
            scope_parameter: "scope".into(),
            renewal: Renewal::default(),
            placeholders: vec!["shop".into()],
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

#[tokio::test]
async fn a_consent_ends_with_a_credential_of_what_was_asked_and_granted() {
    let scene = Scene::new().await;
    let begun = scene
        .consents
        .begin(Begin {
            placeholders: BTreeMap::from([("shop".into(), "one".into())]),
            parameters: BTreeMap::from([("login_hint".into(), "u1".into())]),
            ..begin()
        })
        .await
        .unwrap();
    let url = Url::parse(&begun.url).unwrap();
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["state"], begun.state);
    assert_eq!(query["scope"], "read write");
    assert_eq!(query["login_hint"], "u1");
    assert_eq!(URL_SAFE_NO_PAD.decode(&begun.state).unwrap().len(), 32);
    let left = begun.expires_at.since(SystemClock.now());
    assert!(
        left > Duration::from_secs(590) && left <= LIFETIME,
        "{left:?}"
    );

    let ended = scene.consents.complete(code(&begun.state), None).await;
    let done = ended.result.unwrap();
    assert!(done.created);
    let view = scene.view().await;
    assert_eq!(view.credential.labels["team"], "x");
    assert_eq!(view.grant.account.as_deref(), Some("a1"));
    assert_eq!(
        view.grant.scopes,
        ["read", "write"],
        "none stated: those asked for"
    );
    let grant = scene.store.grant_of(&key("c1")).await.unwrap().unwrap();
    assert_eq!(grant.tokens.access_token.expose(), "at-a1");
    assert_eq!(grant.tokens.metadata["shop"], "one");
    assert_eq!(grant.tokens.metadata["team"], "T1");

    let redeemed = scene.authority.redeemed.lock().unwrap();
    let (code, pending, state) = &redeemed[0];
    assert_eq!((code.as_str(), state), ("code-1", &begun.state));
    let verifier = pending.code_verifier.as_ref().unwrap().expose_secret();
    assert_eq!(verifier.len(), 43, "RFC 7636 section 4.1");
    assert!(
        pending
            .nonce
            .as_ref()
            .is_some_and(|nonce| nonce.len() == 43)
    );
    assert_eq!(pending.redirect_uri, "https://app.example/callback");
}

#[tokio::test]
async fn scopes_are_stored_as_the_provider_states_them() {
    let scene = Scene::new().await;
    let mut fewer = granted("a1");
    fewer.issued.scopes = Some(vec!["read".into()]);
    scene.next_answer(Ok(fewer));
    scene.consent(begin()).await.unwrap();
    assert_eq!(scene.view().await.grant.scopes, ["read"]);
}

#[tokio::test]
async fn without_pkce_or_openid_there_is_neither_verifier_nor_nonce() {
    let scene = Scene::with(|facts| (facts.pkce, facts.openid) = (false, false)).await;
    scene.consent(begin()).await.unwrap();
    let redeemed = scene.authority.redeemed.lock().unwrap();
    assert!(redeemed[0].1.code_verifier.is_none() && redeemed[0].1.nonce.is_none());
}

#[tokio::test]
async fn a_state_is_good_once_and_only_for_its_tenant() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin(begin()).await.unwrap();
    let stranger = Some(vec![TenantId::parse("t2").unwrap()]);
    for (state, tenants) in [
        (begun.state.as_str(), stranger),
        ("unknown", None),
        ("", None),
    ] {
        let ended = scene.consents.complete(code(state), tenants).await;
        assert_eq!(ended.result, Err(ConsentError::StateInvalid));
        assert_eq!(ended.about, None);
    }
    assert_eq!(scene.redeemed(), 0);
    let own = Some(vec![TenantId::parse("t1").unwrap()]);
    let ended = scene.consents.complete(code(&begun.state), own).await;
    assert!(ended.result.is_ok());
    let again = scene.consents.complete(code(&begun.state), None).await;
    assert_eq!(again.result, Err(ConsentError::StateInvalid));
    assert_eq!(scene.redeemed(), 1);
}

#[tokio::test]
async fn a_refusal_of_the_user_changes_nothing_and_spends_the_state() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin(begin()).await.unwrap();
    let no = Answer {
        outcome: Outcome::Refused {
            error: "access_denied".into(),
            description: "the user said no\n".into(),
        },
        ..code(&begun.state)
    };
    let ended = scene.consents.complete(no, None).await;
    let message = "the provider refused: access_denied: the user said no";
    assert_eq!(ended.result.unwrap_err().to_string(), message);
    assert_eq!(ended.about.unwrap().key, key("c1"));
    assert_eq!(scene.redeemed(), 0);
    assert_eq!(scene.store.credential(&key("c1")).await.unwrap(), None);
    let again = scene.consents.complete(code(&begun.state), None).await;
    assert_eq!(again.result, Err(ConsentError::StateInvalid));
}

#[tokio::test]
async fn a_refused_code_and_a_failed_exchange_are_told_apart_and_never_tried_again() {
    let scene = Scene::new().await;
    for reason in [None, Some(FailureReason::ProviderUnavailable)] {
        scene.next_answer(Err(Denied {
            reason,
            code: "invalid_grant".into(),
            message: "no".into(),
        }));
        let error = scene.consent(begin()).await.unwrap_err();
        match reason {
            None => assert!(matches!(error, ConsentError::Refused { .. }), "{error:?}"),
            Some(_) => {
                assert!(matches!(error, ConsentError::Failed { .. }), "{error:?}");
                assert!(error.to_string().contains("the state is spent"));
            }
        }
    }
    assert_eq!(scene.redeemed(), 2, "one exchange each");
    assert_eq!(scene.store.credential(&key("c1")).await.unwrap(), None);
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_before_the_code_is_sent() {
    let scene = Scene::new().await;
    for (issuer, sent) in [
        ("https://evil.example", 0),
        ("https://acme.example", 1),
        ("", 2),
    ] {
        let begun = scene.consents.begin(begin()).await.unwrap();
        let answer = Answer {
            issuer: issuer.into(),
            ..code(&begun.state)
        };
        let ended = scene.consents.complete(answer, None).await;
        assert_eq!(ended.result.is_ok(), sent > 0, "{issuer}");
        assert_eq!(scene.redeemed(), sent);
    }
}

#[tokio::test]
async fn a_second_consent_reconnects_and_keeps_the_placeholders() {
    let scene = Scene::new().await;
    let first = Begin {
        placeholders: BTreeMap::from([("shop".into(), "one".into())]),
        ..begin()
    };
    scene.consent(first).await.unwrap();
    let done = scene.consent(begin()).await.unwrap();
    assert!(!done.created);
    assert_eq!(
        scene.view().await.grant.generation,
        Generation::FIRST.next()
    );
    let redeemed = scene.authority.redeemed.lock().unwrap();
    assert_eq!(redeemed[1].1.placeholders["shop"], "one");
    assert_eq!(
        redeemed[1].1.placeholders.len(),
        1,
        "facts of the answer are none"
    );
}

#[tokio::test]
async fn who_guesses_states_takes_no_turn_of_the_writer() {
    let scene = Scene::new().await;
    let database = scene.database().await;
    database
        .execute_unprepared("BEGIN IMMEDIATE")
        .await
        .unwrap();
    let guessed = scene.consents.complete(code("guess"), None);
    let ended = timeout(Duration::from_secs(20), guessed).await.unwrap();
    assert_eq!(ended.result, Err(ConsentError::StateInvalid));
    database.execute_unprepared("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn another_account_is_refused_unless_allowed_and_its_tokens_are_kept_aside() {
    let scene = Scene::new().await;
    scene.consent(begin()).await.unwrap();
    scene.next_answer(Ok(granted("a2")));
    let refused = scene.consent(begin()).await;
    assert_eq!(refused, Err(ConsentError::AccountMismatch(key("c1"))));
    let grant = scene.store.grant_of(&key("c1")).await.unwrap().unwrap();
    assert_eq!(grant.tokens.access_token.expose(), "at-a1");
    assert_eq!(grant.facts.generation, Generation::FIRST);
    assert_eq!(scene.orphans().await, 1);
    let revoked_with_it = scene.store.orphans_of(&grant.facts).await.unwrap();
    assert_eq!(revoked_with_it, [], "they are another consent's");

    scene.next_answer(Ok(granted("a2")));
    let allowed = Begin {
        allow_account_change: true,
        ..begin()
    };
    scene.consent(allowed).await.unwrap();
    assert_eq!(scene.view().await.grant.account.as_deref(), Some("a2"));
    assert_eq!(scene.orphans().await, 1);
}

#[tokio::test]
async fn tokens_of_one_client_never_reach_a_grant_of_another() {
    let scene = Scene::new().await;
    let other = Begin {
        client: client("other"),
        ..begin()
    };
    let late = scene.consents.begin(other.clone()).await.unwrap();
    scene.consent(begin()).await.unwrap();

    let error = scene.consents.begin(other).await.unwrap_err();
    assert!(
        error.to_string().starts_with("credential.client: "),
        "{error}"
    );
    let ended = scene.consents.complete(code(&late.state), None).await;
    assert_eq!(ended.result, Err(ConsentError::Exists(key("c1"))));
    assert_eq!(scene.view().await.grant.generation, Generation::FIRST);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_its_field() {
    let scene = Scene::new().await;
    let with = |change: &dyn Fn(&mut Begin)| {
        let mut ask = begin();
        change(&mut ask);
        ask
    };
    for (field, ask) in [
        (
            "redirect_uri",
            with(&|ask| ask.redirect_uri = "https://evil.example/".into()),
        ),
        ("scopes", with(&|ask| ask.scopes = vec!["a b".into()])),
        (
            "parameters",
            with(&|ask| ask.parameters = BTreeMap::from([("state".into(), "x".into())])),
        ),
        (
            "placeholders",
            with(&|ask| ask.placeholders = BTreeMap::from([("shop".into(), "a\nb".into())])),
        ),
        (
            "placeholders.shopp",
            with(&|ask| ask.placeholders = BTreeMap::from([("shopp".into(), "one".into())])),
        ),
        (
            "placeholders.shop: catalogue entry acme",
            with(&|ask| ask.placeholders = BTreeMap::from([("shop".into(), "closed".into())])),
        ),
        (
            "return_url",
            with(&|ask| ask.return_url = "https://app.example/done?x".into()),
        ),
    ] {
        let error = scene.consents.begin(ask).await.unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("{field}: ")),
            "{error}"
        );
    }
    let stranger = Begin {
        client: client("stranger"),
        ..begin()
    };
    let error = scene.consents.begin(stranger).await.unwrap_err();
    assert!(matches!(error, ConsentError::Unknown(_)));

    let loopback = Begin {
        redirect_uri: "http://127.0.0.1:49152/callback".into(),
        return_url: "https://app.example/done".into(),
        ..begin()
    };
    let begun = scene.consents.begin(loopback).await.unwrap();
    let ended = scene.consents.complete(code(&begun.state), None).await;
    let back = ended.about.unwrap().return_url;
    assert_eq!(back.as_deref(), Some("https://app.example/done"));
    let redeemed = scene.authority.redeemed.lock().unwrap();
    assert_eq!(
        redeemed[0].1.redirect_uri,
        "http://127.0.0.1:49152/callback"
    );
}

#[tokio::test]
async fn a_client_without_redirect_uris_needs_one_to_be_registered() {
    let scene = Scene::with(|facts| facts.redirect_uris.clear()).await;
    let error = scene.consents.begin(begin()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("client main has no redirect_uris"),
        "{error}"
    );
}

#[tokio::test]
async fn a_consent_is_completed_although_its_caller_leaves() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin(begin()).await.unwrap();
    let mut left = Box::pin(scene.consents.complete(code(&begun.state), None));
    let polled =
        std::future::poll_fn(|context| std::task::Poll::Ready(left.as_mut().poll(context)));
    assert!(polled.await.is_pending());
    drop(left);
    let tasks = &scene.consents.parts.tasks;
    tasks.close();
    tasks.wait().await;
    assert_eq!(scene.redeemed(), 1);
    assert!(scene.store.credential(&key("c1")).await.unwrap().is_some());
}
